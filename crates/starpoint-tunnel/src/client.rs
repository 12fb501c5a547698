//! The side that uses the services.
//!
//! ```text
//!            refused, or the peer cannot be reached
//!  join() ───────────────────────────────────────────► JoinError
//!    │                                     host ends it, declines, or is gone for too long
//!    ├─► Waiting ──► Open ◄──► Reconnecting ──────────────────────────► Closed
//!    └──────────────►┘                      close()
//! ```

mod mapping;
mod session;
mod socket;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    num::NonZero,
    sync::{Arc, Mutex},
    time::Duration,
};

use starpoint_node::{DialError, Node, OpenStreamError, PeerId};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, watch},
    time,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub use crate::splice::Moved;
use crate::{
    code::Code,
    monitor::{Monitor, Monitors},
    refusal::Refusal,
    target::TargetName,
};
pub use mapping::bind;
use session::Session;
pub use socket::Socket;

/// Events that wait for [`ClientEvents::next`]; what finds no room is left out.
const MAX_WAITING_EVENTS: usize = 1_024;
/// Time for the host to be told that the client leaves.
const LEAVE_DEADLINE: Duration = Duration::from_secs(2);

/// Settings of a client, read once by [`Client::join`].
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Sockets at a time, of all listeners together; more wait to be accepted.
    /// Has to be well below the node's `max_streams_per_connection`, which ends
    /// the connection when it is reached. Default: 256.
    pub max_sockets: NonZero<usize>,
    /// Time for the host to answer a JOIN with anything. Default: 10 s.
    pub answer_deadline: Duration,
    /// Time for a new socket to wait for the session, if it is lost just then.
    /// Default: 10 s.
    pub wait_deadline: Duration,
    /// Time for the host to connect a target. Default: 15 s.
    pub connect_deadline: Duration,
    /// Between two pings of the host, whose silence for three times as long means
    /// that it is lost. Default: 5 s.
    pub ping_interval: Duration,
    /// Longest wait between two attempts to reconnect. Default: 5 s.
    pub max_backoff: Duration,
    /// Time after which a session that is lost is given up. Default: 1 h.
    pub reconnect_for: Duration,
    /// Told of every socket. Default: none.
    pub monitors: Vec<Arc<dyn Monitor>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_sockets: NonZero::new(256).expect("it is not zero"),
            answer_deadline: Duration::from_secs(10),
            wait_deadline: Duration::from_secs(10),
            connect_deadline: Duration::from_secs(15),
            ping_interval: Duration::from_secs(5),
            max_backoff: Duration::from_secs(5),
            reconnect_for: Duration::from_secs(3_600),
            monitors: Vec::new(),
        }
    }
}

/// How a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The host is being asked.
    Waiting,
    /// Sockets can be opened.
    Open {
        /// What the host offers, in its order; the first is the default.
        targets: Vec<TargetName>,
    },
    /// The host or the star is lost; it is tried again by itself.
    Reconnecting,
    /// That was it.
    Closed(Ended),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// [`Client::close`].
    Left,
    /// The host said so.
    Refused(Refusal),
    /// It was lost for [`Config::reconnect_for`].
    GaveUp,
    /// The own node has stopped.
    Stopped,
}

/// Why there is no session. Nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The code names no star, so nobody knows where the host is.
    #[error("session code names no star")]
    NoStar,
    /// The host cannot be reached at any star of the code.
    #[error("cannot reach the host")]
    Dial(#[from] DialError),
    /// The host is there and offers nothing, or is lost just then.
    #[error("cannot join the host")]
    Open(#[from] OpenStreamError),
    /// The host says no.
    #[error("{0}")]
    Refused(Refusal),
    /// The host has taken the stream and ended it, or was lost.
    #[error("connection to the host lost")]
    Lost(#[source] io::Error),
    /// The host does not answer, or not as one does.
    #[error("host does not answer the request")]
    NoAnswer,
}

/// Why a socket was not opened. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The session is not open and was not in time.
    #[error("no connection to the host")]
    NotOpen,
    /// The session is over.
    #[error("session is over")]
    Closed,
    /// The host says no.
    #[error("{0}")]
    Refused(Refusal),
    /// The host did not answer in time, or was lost meanwhile.
    #[error("host was lost")]
    Lost(#[source] io::Error),
}

/// What happens at a client, apart from its [`State`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A program connected to a listener, and was not connected further: its
    /// socket is reset.
    SocketFailed {
        /// To which one.
        listener: SocketAddr,
        /// Why.
        error: ConnectError,
    },
    /// The host was lost.
    Lost {
        /// Why, for people.
        reason: String,
    },
}

/// The events of a client, in order; at most 1 024 wait, and more are left out.
/// Dropping this is fine.
#[derive(Debug)]
pub struct ClientEvents(mpsc::Receiver<ClientEvent>);

impl ClientEvents {
    /// Waits for the next event; `None` once the client is gone.
    ///
    /// Cancel safe: no event is lost.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        self.0.recv().await
    }
}

/// What listeners, sockets and the session share.
struct Shared {
    node: Node,
    code: Code,
    config: Config,
    monitors: Monitors,
    state: watch::Receiver<State>,
    events: mpsc::Sender<ClientEvent>,
    sockets: Arc<Semaphore>,
    /// Cancelled when the session ends or is lost: the host has cut the sockets.
    cut: Mutex<CancellationToken>,
    /// Round trip to the host in microseconds; 0 before the first.
    round_trip: std::sync::atomic::AtomicU64,
}

/// A joined session. When it is dropped, listeners close, sockets are reset, and
/// the host sees the client as lost: [`close`](Self::close) is polite.
pub struct Client {
    shared: Arc<Shared>,
    mappings: BTreeMap<SocketAddr, AbortOnDropHandle<()>>,
    leave: CancellationToken,
    session: AbortOnDropHandle<()>,
}

impl Client {
    /// Joins the host of a code, at the first of its stars where it can be
    /// reached, and returns once it has answered: [`State::Waiting`] or
    /// [`State::Open`].
    ///
    /// Dropping the future gives up the attempt.
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    pub async fn join(
        node: &Node,
        code: Code,
        config: Config,
    ) -> Result<(Self, ClientEvents), JoinError> {
        let control = session::first(node, &code, &config).await?;
        let (events, waiting) = mpsc::channel(MAX_WAITING_EVENTS);
        let (to_state, state) = watch::channel(control.state.clone());
        let shared = Arc::new(Shared {
            node: node.clone(),
            code,
            monitors: Monitors::new(config.monitors.clone()),
            state,
            events,
            sockets: Arc::new(Semaphore::new(config.max_sockets.get())),
            cut: Mutex::default(),
            round_trip: 0.into(),
            config,
        });
        let leave = CancellationToken::new();
        let session = Session::new(Arc::clone(&shared), to_state, leave.clone());
        let client = Self {
            shared,
            mappings: BTreeMap::new(),
            leave,
            session: AbortOnDropHandle::new(tokio::spawn(session.run(control))),
        };
        Ok((client, ClientEvents(waiting)))
    }

    /// Returns who the host is.
    pub fn host(&self) -> PeerId {
        self.shared.code.host()
    }

    /// Returns how the session stands, now and later.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.clone()
    }

    /// Returns the last round trip to the host.
    pub fn round_trip(&self) -> Option<Duration> {
        let micros = self
            .shared
            .round_trip
            .load(std::sync::atomic::Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    /// Listens on a local address, port 0 for a free one, and connects whoever
    /// comes to `target`, or to the first that the host offers. Returns the
    /// address, by which the listener is [removed](Self::remove).
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub fn listen(
        &mut self,
        address: SocketAddr,
        target: Option<TargetName>,
    ) -> io::Result<SocketAddr> {
        self.serve(bind(address)?, target)
    }

    /// Like [`listen`](Self::listen), with a listener that is there already, of
    /// [`bind`] for one.
    ///
    /// # Errors
    ///
    /// The listener has no address.
    pub fn serve(
        &mut self,
        listener: TcpListener,
        target: Option<TargetName>,
    ) -> io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        let serving = mapping::serve(Arc::clone(&self.shared), listener, address, target);
        let task = AbortOnDropHandle::new(tokio::spawn(serving));
        self.mappings.insert(address, task);
        Ok(address)
    }

    /// Closes a listener and resets its sockets; returns whether there was one.
    pub async fn remove(&mut self, listener: SocketAddr) -> bool {
        let Some(task) = self.mappings.remove(&listener) else {
            return false;
        };
        task.abort();
        // An error is the abort.
        let _ = task.await;
        true
    }

    /// Returns where it listens.
    pub fn listeners(&self) -> impl Iterator<Item = SocketAddr> {
        self.mappings.keys().copied()
    }

    /// Opens one socket to `target`, or to the first that the host offers.
    ///
    /// Cancel safe: dropping the future gives up the socket.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(&self, target: Option<TargetName>) -> Result<Socket, ConnectError> {
        socket::connect(&self.shared, target).await
    }

    /// Closes the listeners, resets the sockets, and tells the host that the
    /// client does not come back, within 2 s. The node goes on.
    pub async fn close(mut self) {
        self.mappings.clear();
        self.leave.cancel();
        // Whoever did not hear it in time hears it from the network.
        let _ = time::timeout(LEAVE_DEADLINE, &mut self.session).await;
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}
