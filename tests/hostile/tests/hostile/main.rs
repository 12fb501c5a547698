//! Hostile input, and readers that have stopped, against the real program.

mod arguments;
mod challenge;
mod closes;
mod dials;
mod floods;
mod http;
mod packets;
mod slow_reader;
mod streams;
mod takeover;
