//! Tunnels between two nodes at a real star, with real sockets on loopback.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at what concerns it"
)]

mod direct;
mod faults;
mod hostile;
mod programs;
mod services;
mod sessions;
mod sockets;
mod stage;
mod targets;
mod transfer;
