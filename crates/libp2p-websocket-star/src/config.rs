//! What can be set for the transport.

use std::{fmt, num::NonZero, sync::Arc, time::Duration};

use libp2p_swarm::Executor;
use starpoint_sio::{Connector, EngineVersion, Timers};
use starpoint_wire::native::Namespace;
use web_time::SystemTime;

use crate::pins::{MemoryPins, StarPins};

/// Whether a star has to make its peers prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Challenge {
    /// A star that does not challenge is refused with
    /// [`Error::ChallengeDisabled`](crate::Error::ChallengeDisabled): on it
    /// anybody can take anybody's address. The original client does the same.
    #[default]
    Required,
    /// Any star will do. Who one talks to is still proved end to end by Noise or
    /// TLS; what a star without a challenge costs is reachability.
    Optional,
}

/// Which of a star's protocols to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// The native one where the star offers it, else the legacy one. Finding out
    /// takes no time.
    #[default]
    Auto,
    /// The legacy one, for comparison: without back-pressure of its own for each
    /// connection, and with presence by announcements.
    Legacy,
}

/// Settings of a [`Transport`](crate::Transport). The defaults fit a star, ours
/// or the original.
///
/// `Config::default()` has the connector and timers of the feature `tokio`;
/// another environment begins with [`Config::with_io`].
#[derive(Clone)]
pub struct Config {
    /// Version of Engine.IO to speak. Default: 3, which every star understands.
    pub engine: EngineVersion,
    /// What to do with a star that does not challenge. Default: refuse it.
    pub challenge: Challenge,
    /// Which profile to speak. Default: the native one where the star offers it.
    pub profile: Profile,
    /// Namespaces to be in, at a star of the native profile; its peers are told of
    /// each other. Default: the one in which legacy peers are, too. At most
    /// [`MAX_NAMESPACES`](starpoint_wire::native::MAX_NAMESPACES).
    pub namespaces: Vec<Namespace>,
    /// Which star is expected where. Default: [`MemoryPins`], which trusts the first
    /// star at a host, and no other for as long as this value or a clone lives.
    pub pins: Arc<dyn StarPins>,
    /// Time for name, TCP, TLS, WebSocket and Socket.IO together. Default: 8 s.
    pub open_deadline: Duration,
    /// Time for a star to answer a join, signature included. Default: 8 s.
    pub join_deadline: Duration,
    /// Time from a dial until the callee has agreed, with the connection to its
    /// star if there is none yet. Default: 9 s, below the 10 s after which libp2p's
    /// `SwarmBuilder` gives up without a reason.
    pub dial_deadline: Duration,
    /// Time for the swarm to begin with an inbound dial, after which it is
    /// refused. Default: 5 s.
    pub accept_deadline: Duration,
    /// Longest time in which a reader takes less than 64 KiB while it holds up
    /// all others of its star; then its stream is reset. Default: 8 s, below the
    /// 10 s after which a star would end all streams of the connection.
    pub stall_deadline: Duration,
    /// First wait before a lost home is tried again; doubled by each failure and
    /// shortened by a random part of up to half. Default: 1 s.
    pub backoff_base: Duration,
    /// Longest wait before a lost home is tried again. Default: 60 s.
    pub backoff_cap: Duration,
    /// First wait after another process has proved to be this peer; doubled each
    /// time it happens again. Default: 30 s.
    pub takeover_backoff_base: Duration,
    /// Longest such wait. Default: 10 min.
    pub takeover_backoff_cap: Duration,
    /// How long a home has to last for its waits to begin at the base again.
    /// Default: 30 s.
    pub stable_after: Duration,
    /// Time without dials and streams after which the connection to a star that
    /// is no home is closed. Default: 30 s.
    pub visitor_idle: Duration,
    /// Connections to stars that are no homes. Default: 64; beyond it, dials fail
    /// with [`Error::TooManyVisits`](crate::Error::TooManyVisits).
    pub max_visits: usize,
    /// Dials that wait at one star. Default: 256; beyond it, they fail with
    /// [`Error::TooManyDials`](crate::Error::TooManyDials).
    pub max_pending_dials: usize,
    /// Inbound dials of one home that the swarm has not begun with. Default:
    /// 256; one more is refused as `busy`.
    pub max_pending_inbound: usize,
    /// Bytes that may wait in a stream, each way. Default: 256 KiB. The last
    /// message of the remote may exceed it.
    pub stream_buffer_bytes: NonZero<usize>,
    /// Peers of one home that are remembered. Default: 10 000; what a star tells
    /// of more is ignored until one of them has left.
    pub max_peers: usize,
    /// Time between two announcements of a star, from which follows when a peer
    /// that is no longer announced has left. Default: 10 s, the original's.
    pub announce_interval: Duration,
    /// How often a live home looks whether the machine was asleep. Default: 15 s.
    pub wake_check: Duration,
    /// Where the data of stars is moved. Default: `None`, in
    /// [`Transport::poll`](libp2p_core::Transport::poll), so in the swarm's task;
    /// a busy swarm then delays streams. With an executor each star gets a task,
    /// which ends when the transport is dropped.
    pub executor: Option<Arc<dyn Executor + Send + Sync>>,
    /// Opens WebSockets.
    pub connector: Arc<dyn Connector>,
    /// Clock and alarms.
    pub timers: Arc<dyn Timers>,
    /// The time of day; compared with the clock of `timers`, it shows whether the
    /// machine was asleep. Default: the system's.
    pub wall_clock: fn() -> SystemTime,
}

impl Config {
    /// Returns the defaults, with IO and timers of the environment.
    pub fn with_io(connector: Arc<dyn Connector>, timers: Arc<dyn Timers>) -> Self {
        Self {
            engine: EngineVersion::V3,
            challenge: Challenge::Required,
            profile: Profile::Auto,
            namespaces: vec![Namespace::default()],
            pins: Arc::new(MemoryPins::default()),
            open_deadline: Duration::from_secs(8),
            join_deadline: Duration::from_secs(8),
            dial_deadline: Duration::from_secs(9),
            accept_deadline: Duration::from_secs(5),
            stall_deadline: Duration::from_secs(8),
            backoff_base: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(60),
            takeover_backoff_base: Duration::from_secs(30),
            takeover_backoff_cap: Duration::from_secs(600),
            stable_after: Duration::from_secs(30),
            visitor_idle: Duration::from_secs(30),
            max_visits: 64,
            max_pending_dials: 256,
            max_pending_inbound: 256,
            stream_buffer_bytes: NonZero::new(256 * 1024).expect("it is not zero"),
            max_peers: 10_000,
            announce_interval: Duration::from_secs(10),
            wake_check: Duration::from_secs(15),
            executor: None,
            connector,
            timers,
            wall_clock: SystemTime::now,
        }
    }
}

/// With public certificate authorities, the system's among them; reading those
/// takes some milliseconds. The transport has to be polled within a tokio
/// runtime then.
#[cfg(feature = "tokio")]
impl Default for Config {
    fn default() -> Self {
        let connector = starpoint_sio::TokioConnector::new()
            .expect("only an extra certificate can be unusable, and there is none");
        Self::with_io(Arc::new(connector), Arc::new(starpoint_sio::TokioTimers))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("engine", &self.engine)
            .field("challenge", &self.challenge)
            .finish_non_exhaustive()
    }
}
