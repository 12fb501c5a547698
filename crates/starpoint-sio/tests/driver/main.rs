//! The connection over real sockets: against real stars, and against servers
//! that misbehave.

#![cfg(feature = "tokio")]

mod hostile;
mod peer;
mod pipe;
mod star;
mod tls;
