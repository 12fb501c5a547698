//! Bridges over a channel in memory that delays and reorders: what the users of
//! a bridge see.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, not only tests, fail on what is unexpected"
)]

mod channel;
mod ends;
mod ids;
mod load;
mod reference;
mod service;
