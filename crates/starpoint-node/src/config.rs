//! What can be set for a node.

use std::{fmt, num::NonZero, time::Duration};

use libp2p::{Multiaddr, PeerId, identity::Keypair};
use libp2p_websocket_star as websocket_star;

/// Settings of a node, read once by [`start`](crate::start).
#[derive(Clone)]
pub struct Config {
    /// Who the node is. From [`KeyFile`](crate::KeyFile), or made for the
    /// occasion.
    pub keypair: Keypair,
    /// Stars at which others can dial this node,
    /// `/dns4/star.example/tcp/443/wss/p2p-websocket-star`. Default: none. A star
    /// that is down is tried again for ever and never keeps a node from starting.
    pub stars: Vec<Multiaddr>,
    /// TCP and QUIC addresses to listen on, `/ip4/0.0.0.0/tcp/0` or
    /// `/ip4/0.0.0.0/udp/0/quic-v1`. Default: none, the node only dials.
    pub listen: Vec<Multiaddr>,
    /// How stars are spoken to. Default: as [`websocket_star::Config::default`],
    /// each star in a task of its own.
    pub star: websocket_star::Config,
    /// What the node calls itself to others. Default: `starpoint/<version>`.
    pub agent: String,
    /// Time for a TCP or QUIC dial, encryption included. Default: 10 s. A dial
    /// through a star has [`dial_deadline`](websocket_star::Config::dial_deadline)
    /// on top.
    pub dial_deadline: Duration,
    /// Time without streams after which a connection is closed. Default: 60 s.
    pub idle_timeout: Duration,
    /// Connections at a time, in both directions. Default: 1 024; more are
    /// refused.
    pub max_connections: u32,
    /// Connections to the same peer. Default: 8; more are refused.
    pub max_connections_per_peer: u32,
    /// Connections that are being set up, each direction. Default: 128; more are
    /// refused.
    pub max_pending_connections: u32,
    /// Streams in one connection, both directions together. Default: 512.
    pub max_streams_per_connection: usize,
    /// Streams of one protocol that wait for
    /// [`Incoming::next`](crate::Incoming::next). Default: 256; one more is reset.
    pub max_waiting_streams: NonZero<usize>,
    /// Events that wait for [`Events::next`](crate::Events::next). Default: 1 024;
    /// more are counted and left out.
    pub max_waiting_events: NonZero<usize>,
    /// Time for [`Node::shutdown`](crate::Node::shutdown) to tell peers and
    /// stars. Default: 3 s.
    pub shutdown_deadline: Duration,
}

impl Config {
    /// Returns the defaults for the peer to whom `keypair` belongs.
    ///
    /// Reads the system's certificate authorities, and so blocks for some
    /// milliseconds.
    pub fn new(keypair: Keypair) -> Self {
        Self {
            keypair,
            stars: Vec::new(),
            listen: Vec::new(),
            star: websocket_star::Config::default(),
            agent: concat!("starpoint/", env!("CARGO_PKG_VERSION")).to_owned(),
            dial_deadline: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            max_connections: 1_024,
            max_connections_per_peer: 8,
            max_pending_connections: 128,
            max_streams_per_connection: 512,
            max_waiting_streams: NonZero::new(256).expect("it is not zero"),
            max_waiting_events: NonZero::new(1_024).expect("it is not zero"),
            shutdown_deadline: Duration::from_secs(3),
        }
    }

    /// Returns the id of the node.
    pub fn peer_id(&self) -> PeerId {
        self.keypair.public().to_peer_id()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("peer", &self.peer_id())
            .field("stars", &self.stars)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}
