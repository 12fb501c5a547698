//! TCP services of one peer, reachable from another one with its consent.

pub mod bridge;
