//! Hostile input, and readers that have stopped, against the real program.

mod arguments;
mod challenge;
mod closes;
mod crowds;
mod dials;
mod evil_stars;
mod floods;
mod http;
mod memory;
mod native;
mod packets;
mod pipes;
mod polling;
mod presence;
mod proxies;
mod slots;
mod slow_reader;
mod stop;
mod streams;
mod takeover;
