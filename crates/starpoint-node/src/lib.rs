//! A running libp2p peer: what programs embed.
//!
//! [`start`] builds a swarm out of one [`Config`] and runs it in a task of its
//! own. What comes back is a [`Node`], a cheap handle with which to dial, open
//! and take streams, and [`Events`], what the node tells by itself.
//!
//! ```text
//!            your program
//!       Node │        ▲ Events
//!   commands ▼        │ bounded, see there
//!        ┌──────────────────────┐
//!        │  one task: the swarm │   identify · ping · limits · raw streams
//!        ├──────────────────────┤
//!        │    Noise and Yamux   │   end to end, also across a star
//!        ├──────┬───────┬───────┤
//!        │ star │ dns ► tcp│quic│   each address goes to its own transport
//!        └──────┴───────┴───────┘
//! ```
//!
//! # Example
//!
//! ```no_run
//! use starpoint_node::{Config, KeyFile, StreamProtocol};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let keypair = KeyFile::new("peer.key").load_or_create()?;
//! let mut config = Config::new(keypair);
//! config.stars = vec!["/dns4/star.example/tcp/443/wss/p2p-websocket-star".parse()?];
//! let (node, mut events) = starpoint_node::start(config)?;
//!
//! let mut incoming = node.incoming(StreamProtocol::new("/hello/1"))?;
//! while let Some(event) = events.next().await {
//!     println!("{event:?}");
//! }
//! # drop(incoming.next().await);
//! # Ok(())
//! # }
//! ```
//!
//! # Streams and their ends
//!
//! A stream that others open waits in a bounded queue for its protocol until
//! [`Incoming::next`] takes it; beyond the bound it is reset and counted. Streams
//! that come together are not lost.
//!
//! * Closing a stream ends the own direction. The reader reads 0 bytes.
//! * Dropping one resets it.
//! * A lost connection reads as 0 bytes, too: so does yamux 0.14. A protocol to
//!   which it matters whether all has come says so by itself, by a length or a
//!   mark at the end, as `starpoint listen` and `connect` do
//!   (`spec/12-pipe-command.md`).
//! * What was written before [`Node::shutdown`] is sent before the node stops, if
//!   the others take it in time. A process that ends without it may take the last
//!   bytes with it.
//!
//! # Features
//!
//! `quic` (default): addresses with `/udp/…/quic-v1`. It builds a second
//! cryptography library, aws-lc-rs; a program that has rustls with both has to
//! name a provider wherever it uses rustls by itself. This crate always does.
//!
//! # Reading order
//!
//! 1. [`config`]: everything that can be set.
//! 2. [`key`]: the file that makes a peer the same peer tomorrow.
//! 3. [`node`]: the handle.
//! 4. [`event`]: what the node tells.
//! 5. [`error`]: what can go wrong, one enum for each operation.

#![deny(missing_docs)]

pub mod config;
pub mod key;
pub mod known_stars;

pub mod event;
pub mod node;
pub mod ping;
pub mod stream;

pub mod error;

mod behaviour;
mod file;
mod quiet_identify;
mod swarm;
mod task;

pub use config::Config;
pub use error::{
    DialError, IncomingError, KeyError, KnownStarsError, OpenStreamError, PingError, StartError,
    Stopped,
};
pub use event::{Direction, Event, Events};
pub use key::KeyFile;
pub use known_stars::KnownStars;
pub use node::{Node, start};
pub use ping::Pinger;
pub use stream::{Incoming, Stream};

pub use libp2p::{Multiaddr, PeerId, StreamProtocol, identity::Keypair};
pub use libp2p_websocket_star as websocket_star;
pub use starpoint_file::{FileError, FileKind};
