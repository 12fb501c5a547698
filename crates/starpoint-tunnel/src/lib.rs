//! TCP services of one peer, reachable from another one with its consent.
//!
//! A *host* offers targets and hands out a [`Code`]; a *client* joins with it,
//! once the host lets it in, and opens sockets. Each TCP connection is one libp2p
//! stream, `/starpoint/tunnel/1`, so a tunnel runs over a star today and over a
//! direct connection where there is one. `spec/15-tunnel.md` says what goes over
//! the wire.
//!
//! ```text
//!  program ─► Client ═══════ libp2p, end to end ═══════ Host ─► service
//!            listen()      one control stream: JOIN …     targets, rules
//!            connect()     one stream per TCP connection  approval
//! ```
//!
//! # Reading order
//!
//! 1. [`code`]: what the host hands over.
//! 2. [`target`]: what may be reached, and the rules for it.
//! 3. [`refusal`] and [`wire`]: what is said, and every way to say no.
//! 4. [`host`] and [`client`]: the two sides.
//! 5. [`monitor`]: counting what passes.

#![deny(missing_docs)]

pub mod code;
pub mod target;

pub mod refusal;
pub mod wire;

pub mod client;
pub mod host;
pub mod monitor;

mod frames;
mod register;
mod splice;

/// Bodies of the fuzz targets, not part of the API.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "../../../fuzz/bodies/tunnel.rs"]
pub mod fuzzing;

pub use client::{Client, ConnectError, JoinError};
pub use code::Code;
pub use host::Host;
pub use refusal::Refusal;
pub use target::{Target, TargetName};

/// The protocol of every stream of a tunnel.
pub const PROTOCOL: starpoint_node::StreamProtocol =
    starpoint_node::StreamProtocol::new("/starpoint/tunnel/1");
