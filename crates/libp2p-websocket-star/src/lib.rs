//! A libp2p transport over a star: peers that can only make outgoing
//! connections meet, find each other, and dial by multiaddr.
//!
//! A *star* is a WebSocketStar server, ours (`starpoint serve`) or the original
//! JavaScript one. Each peer keeps one WebSocket to it; the star says who else is
//! there and carries the streams between them. It sees ciphertext only: Noise
//! or TLS, and Yamux, run between the peers.
//!
//! ```text
//!   alice                                                              bob
//!  ┌──────────────────────┐                           ┌──────────────────────┐
//!  │ Swarm                │                           │                Swarm │
//!  │   ping, kad, yours … │                           │ ping, kad, yours …   │
//!  │   Yamux              │ ◄─ ─ ─ ─ end to end ─ ─ ─ ► │              Yamux   │
//!  │   Noise              │                           │              Noise   │
//!  │ ┌──────────┐ ┌──────┐│                           │┌──────┐ ┌──────────┐ │
//!  │ │Behaviour │◄┤Trans-││                           ││Trans-├►│Behaviour │ │
//!  │ └──────────┘ │port  ││                           ││port  │ └──────────┘ │
//!  └──────────────┴──┬───┘┘          star             └└───┬──┴──────────────┘
//!                    │   WebSocket ┌──────┐ WebSocket      │
//!                    └────────────►│ join │◄───────────────┘
//!                                  │ dial │
//!                                  └──────┘
//! ```
//!
//! # Use
//!
//! ```no_run
//! use libp2p::{
//!     Transport as _,
//!     core::upgrade::Version,
//!     futures::StreamExt as _,
//!     identity::Keypair,
//!     noise,
//!     swarm::{Config as SwarmConfig, Swarm},
//!     yamux,
//! };
//! use libp2p_websocket_star as websocket_star;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let keypair = Keypair::generate_ed25519();
//! let own = keypair.public().to_peer_id();
//! let (transport, behaviour) = websocket_star::new(Default::default(), keypair.clone());
//! let transport = transport
//!     .upgrade(Version::V1Lazy)
//!     .authenticate(noise::Config::new(&keypair)?)
//!     .multiplex(yamux::Config::default())
//!     .boxed();
//! let mut swarm = Swarm::new(transport, behaviour, own, SwarmConfig::with_tokio_executor());
//! swarm.listen_on("/dns4/star.example/tcp/443/wss/p2p-websocket-star".parse()?)?;
//! loop {
//!     println!("{:?}", swarm.select_next_some().await);
//! }
//! # }
//! ```
//!
//! * **Listen** on a star's address to make it a *home*. Any number of homes; one
//!   that is down, restarts, or is lost while the machine sleeps comes back by
//!   itself. The listener reports [`Error`]s and closes only when it is removed.
//! * **Dial** `/…/p2p-websocket-star/p2p/<id>`. A star that is no home is visited
//!   for the dial; the visit is shared, and ends when it is idle. The form
//!   `/…/p2p-websocket-star/p2p-circuit/p2p/<id>` names the same peer. On the
//!   legacy profile a visit joins as this peer, so that the star takes the
//!   address of another process with the same key for it.
//! * **Watch** the [`Behaviour`]: homes that come and go, peers that join and
//!   leave. It never dials.
//!
//! Beside other transports, put this one first: `star.or_transport(relay)
//! .or_transport(dns(tcp))`. libp2p's relay transport answers addresses with
//! `/p2p-circuit`, and its DNS transport those with a name, before anybody
//! behind them is asked.
//!
//! # Profiles
//!
//! With a star of ours the *native profile* is used, unless [`Config::profile`]
//! says otherwise: a join in one round trip, presence by change, and for each
//! stream a WebSocket of its own, a *pipe*, if its peer takes one. A pipe waits
//! for nobody but its reader and outlives the connection of its home. An original
//! star, or an original peer at the same star, gets the historic protocol, in
//! which all streams share one connection. What is known of peers then is in
//! [`Config::namespaces`].
//!
//! # Ends
//!
//! A stream of the transport knows how it ended: a clean end is 0 bytes read,
//! everything else an error. Not so the substreams above it: yamux 0.14 reads a
//! connection that is lost as a clean end, 0 bytes. A protocol to which it
//! matters whether all has come has to say so by itself, by a length or a mark at
//! the end.
//!
//! A process that ends may take with it what it wrote last, because that still
//! waits somewhere on the way to the star. Close the connections of the swarm,
//! then the transport with a [`Closer`], and end then.
//!
//! # Who moves the data
//!
//! By default the swarm's own task, when it polls the transport: nothing is
//! spawned. In a busy swarm the streams are quicker with
//! [`Config::executor`], which gives each star a task that ends with the
//! transport. The streams themselves belong to whoever holds them.
//!
//! # Cost
//!
//! A live home that is idle takes no processor time to speak of: a heartbeat
//! each 25 s and a look at the clock each 15 s. It takes about 115 KiB of memory,
//! most of it the buffers of its WebSocket (200 homes of one process at one star,
//! debug build). A stream holds what waits in it: at most
//! [`Config::stream_buffer_bytes`] to send, as much and one message to read, and
//! nothing when it is idle. A pipe holds at most 64 KiB to send and 64 KiB to read,
//! beside its socket, and no buffer when it is idle.
//!
//! # Errors
//!
//! Each variant of [`Error`] says cause and cure, and whether to
//! [try again](Error::is_retryable). A swarm wraps them; [`Error::find`] gets them
//! out.
//!
//! | you see | because | do |
//! |---|---|---|
//! | [`StarUnreachable`](Error::StarUnreachable) | the star is down, or no network | wait; homes retry |
//! | [`StarLost`](Error::StarLost) | the star went away | dial again; homes retry |
//! | [`ChallengeDisabled`](Error::ChallengeDisabled) | anybody is anybody there | tell its operator, or [consent](Challenge::Optional) |
//! | [`JoinRefused`](Error::JoinRefused), [`JoinRefusedOther`](Error::JoinRefusedOther) | the star is full, draining, or dislikes the key | wait, or see the refusal |
//! | [`StarChanged`](Error::StarChanged), [`StarUnproved`](Error::StarUnproved) | another server in the place of the star | ask its operator before the [pin](StarPins) is removed |
//! | [`StarDenied`](Error::StarDenied), [`StarTwin`](Error::StarTwin) | a server passes for another star | leave it; or its operator names its hosts |
//! | [`TakenOver`](Error::TakenOver) | the key runs twice | give each process its own |
//! | [`Slept`](Error::Slept) | the machine slept and the star forgot it | nothing: the home reconnects |
//! | [`Deadline`](Error::Deadline) | somebody hangs | later, or another address |
//! | [`PeerNotFound`](Error::PeerNotFound) | nobody with that id is there | another star, or later |
//! | [`Refused`](Error::Refused), [`RefusedByPeer`](Error::RefusedByPeer) | the star or the peer says no | see the words |
//! | [`Protocol`](Error::Protocol) | no star answers there | check the address |
//! | [`Key`](Error::Key) | the key cannot sign | load the private key |
//! | [`DialSelf`](Error::DialSelf), [`PeerMissing`](Error::PeerMissing) | the address names oneself, or nobody | append `/p2p/<id>` of the peer |
//! | [`ForeignPeer`](Error::ForeignPeer), [`AlreadyHome`](Error::AlreadyHome) | listening as another, or twice | listen on the star's address, once |
//! | [`TooManyDials`](Error::TooManyDials), [`TooManyVisits`](Error::TooManyVisits) | a bound of the [`Config`] | fewer at once |
//! | [`InboundGone`](Error::InboundGone) | the swarm was too slow, or the star is lost | poll the swarm |
//! | [`Closed`](Error::Closed) | the transport is gone | – |
//! | `WrongPeerId`, of the swarm | who answers has another key | check the id |
//!
//! # Features
//!
//! * `tokio` (default): WebSockets over tokio and rustls (*ring*), and
//!   [`Config::default`]. Without it, bring your own through
//!   [`Config::with_io`]; no tokio type is part of this API.
//!
//! For libp2p 0.57 and Rust 1.94 or later. The normative text is
//! `spec/11-transport.md`.

#![deny(missing_docs)]

mod close;
mod config;
mod error;
mod gauges;
mod pins;

mod behaviour;
mod transport;

mod machine;
mod net;

/// Bodies of the fuzz targets, not part of the API.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "../../../fuzz/bodies/transport.rs"]
pub mod fuzzing;

mod homes;
mod shared;
mod text;

use std::sync::Arc;

use futures_channel::mpsc;
use libp2p_identity::Keypair;

pub use behaviour::{Behaviour, Event};
pub use close::{Closer, CutShort};
pub use config::{Challenge, Config, Profile};
pub use error::{Error, Failure, Stage, StarChange, StarDenial, StarTwin, Violation};
pub use gauges::Gauges;
pub use net::{Accept, Stream};
pub use pins::{MemoryPins, Pin, StarPins};
pub use transport::Transport;

pub use starpoint_sio as sio;
pub use starpoint_wire::{
    Refusal, StarAddress,
    native::{Namespace, StarHost},
};

/// Notices that wait for the behaviour, besides one for each star. Beyond it they
/// wait at the stars, merged.
const MAX_NOTICES: usize = 256;

/// Makes a transport and its behaviour for the peer that `keypair` belongs to.
///
/// Both go into the same swarm; the key has to be that of its Noise or TLS, or no
/// peer will believe who answers. Nothing is connected before
/// [`listen_on`](libp2p_core::Transport::listen_on) or a dial.
pub fn new(config: Config, keypair: Keypair) -> (Transport, Behaviour) {
    let (to_behaviour, notices) = mpsc::channel(MAX_NOTICES);
    let own = keypair.public().to_peer_id();
    let shared = Arc::new(shared::Shared {
        config,
        keypair,
        own,
        gauges: Gauges::default(),
        external: shared::ExternalAddresses::default(),
        pipes: net::OpenPipes::default(),
        homes: homes::Homes::default(),
    });
    let (gauges, external) = (shared.gauges.clone(), shared.external.clone());
    let transport = Transport::new(shared, to_behaviour);
    let closer = transport.closer();
    let behaviour = Behaviour::new(own, notices, gauges, external, closer);
    (transport, behaviour)
}

/// The snippet of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
