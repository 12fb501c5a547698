//! A running star: sockets, TLS, HTTP and metrics in front of the broker.
//!
//! The broker decides; this crate turns sockets into its inputs and its commands
//! into bytes. One task owns the broker. Each client has a session that its
//! transport and that task share, and a gate below its WebSocket that stops
//! reading when the broker says so.
//!
//! ```text
//!  listen ── http ──┬── websocket ── gate ──┐
//!   (TLS)           └── polling ────────────┤
//!                                       socketio ── session ── star ── broker
//! ```

#![deny(missing_docs)]

pub mod config;
mod server;

mod account;
mod connections;
mod listen;
mod proxy;
mod tls;

mod gate;
mod http;
mod native;
mod outlet;
mod pipe;
mod pipes;
mod socketio;

mod proofs;
mod registry;
mod session;
mod snapshots;
mod source;
mod star;
mod tally;

/// Bodies of the fuzz targets, not part of the API.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "../../../fuzz/bodies/server.rs"]
pub mod fuzzing;

pub use config::{Challenge, Config, ConfigError, Metrics, ProxyProtocol, TlsFiles};
pub use proxy::{InvalidProxy, TrustedProxy};
pub use server::{BindError, Listening, Server, Shutdown, ShutdownReport};
