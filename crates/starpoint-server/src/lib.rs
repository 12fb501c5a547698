//! A running star: sockets, TLS, HTTP and metrics in front of the broker.

#![deny(missing_docs)]

pub mod config;
mod server;

pub use config::{Challenge, Config, ConfigError, Metrics, TlsFiles};
pub use server::{BindError, Listening, Server, Shutdown, ShutdownReport};
