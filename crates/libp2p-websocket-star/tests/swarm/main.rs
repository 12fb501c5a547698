//! Swarms over a real star.

#![expect(
    clippy::unwrap_used,
    reason = "everything here is a test, helpers included"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the events of libp2p are foreign, and a test waits for one of them"
)]

mod node;
mod peer;

mod basics;
mod compose;
mod dials;
mod faults;
mod identity;
mod native;
mod requests;
mod streams;
