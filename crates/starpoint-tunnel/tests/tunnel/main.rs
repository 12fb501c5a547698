//! Tunnels between two nodes at a real star, with real sockets on loopback.

mod faults;
mod hostile;
mod services;
mod sessions;
mod sockets;
mod stage;
mod targets;
mod transfer;
