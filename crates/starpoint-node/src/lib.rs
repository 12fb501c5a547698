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

pub mod event;
pub mod node;
pub mod ping;
pub mod stream;

pub mod error;

mod behaviour;
mod quiet_identify;
mod swarm;
mod task;

pub use config::Config;
pub use error::{
    DialError, IncomingError, KeyError, OpenStreamError, PingError, StartError, Stopped,
};
pub use event::{Direction, Event, Events};
pub use key::KeyFile;
pub use node::{Node, start};
pub use ping::Pinger;
pub use stream::{Incoming, Stream};

pub use libp2p::{Multiaddr, PeerId, StreamProtocol, identity::Keypair};
pub use libp2p_websocket_star as websocket_star;
