//! The side that has the services.
//!
//! ```text
//!  Host ── commands ──► task: who is in, with which code ◄── requests ── one task for each stream
//!  HostEvents ◄───────────┘                                     control: JOIN, PING, LEAVE
//!                                                               socket:  CONNECT, data
//! ```

mod slots;
mod socket;
mod stream;
mod task;

use std::{collections::BTreeSet, num::NonZero, sync::Arc, time::Duration};

use starpoint_node::{IncomingError, Multiaddr, Node, PeerId, Stopped};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

pub use crate::register::{Decision, Unlisted};
use crate::{
    PROTOCOL,
    code::{Code, Secret},
    monitor::{Monitor, Monitors},
    refusal::Refusal,
    register::{Register, Rules},
    target::{Offer, TargetName},
};
use task::{Command, Task};

/// Events that wait for [`HostEvents::next`]; what finds no room is left out.
const MAX_WAITING_EVENTS: usize = 1_024;
/// Commands that wait for the task; whoever gives one more waits, too.
const MAX_WAITING_COMMANDS: usize = 16;

/// Settings of a host, read once by [`Host::start`]. A time of more than a year
/// counts as a year.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// What is offered.
    pub offer: Offer,
    /// Clients that are let in without asking, if they have a code. Default: none.
    pub allow: BTreeSet<PeerId>,
    /// What happens to others with a code. Default: each is asked about.
    pub unlisted: Unlisted,
    /// Clients at a time. One that is away gives way to another one that is let
    /// in. Default: 1.
    pub max_clients: NonZero<usize>,
    /// Sockets of one client at a time; more are refused. Default: 1 024.
    pub max_sockets: NonZero<usize>,
    /// Time for a decision about a client. Default: 2 min; at most 18 h.
    pub decision_deadline: Duration,
    /// Time for which a client that was lost may come back. Default: 1 h.
    pub resume_within: Duration,
    /// Time for a target to be resolved and connected. Default: 10 s.
    pub connect_deadline: Duration,
    /// Silence after which a client is lost; it says something every 5 s. Default:
    /// 20 s.
    pub silence_deadline: Duration,
    /// Told of every socket. Default: none.
    pub monitors: Vec<Arc<dyn Monitor>>,
}

impl Config {
    /// Returns the defaults for these targets.
    pub fn new(offer: Offer) -> Self {
        Self {
            offer,
            allow: BTreeSet::new(),
            unlisted: Unlisted::Ask,
            max_clients: NonZero::<usize>::MIN,
            max_sockets: NonZero::new(1_024).expect("it is not zero"),
            decision_deadline: Duration::from_secs(120),
            resume_within: Duration::from_secs(3_600),
            connect_deadline: Duration::from_secs(10),
            silence_deadline: Duration::from_secs(20),
            monitors: Vec::new(),
        }
    }
}

/// How a code may be used.
#[derive(Clone, Copy, Debug)]
pub struct Invitation {
    /// How many clients may come with it. Default: 1.
    pub n_uses: NonZero<u32>,
    /// How long, at most a year. Default: 10 min. Who is in stays in.
    pub valid_for: Duration,
}

impl Default for Invitation {
    fn default() -> Self {
        Self {
            n_uses: NonZero::<u32>::MIN,
            valid_for: Duration::from_secs(600),
        }
    }
}

/// What happens at a host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostEvent {
    /// A client with a code waits for [`Host::decide`].
    Asked {
        /// Who it is, proved by its key.
        client: PeerId,
    },
    /// A client is in.
    Joined {
        /// Who it is.
        client: PeerId,
    },
    /// A client cannot be reached; its sockets are closed, and it may come back.
    Lost {
        /// Who it is.
        client: PeerId,
    },
    /// A client is back.
    Resumed {
        /// Who it is.
        client: PeerId,
    },
    /// A client has left, was dropped, was away for too long or gave way to
    /// another one. Its session is over.
    Left {
        /// Who it is.
        client: PeerId,
    },
    /// Somebody was not let in.
    Refused {
        /// Who it is.
        client: PeerId,
        /// Why.
        refusal: Refusal,
    },
    /// A socket was not connected.
    SocketRefused {
        /// Whose it is.
        client: PeerId,
        /// What it was to be connected to; `None` is the first target.
        target: Option<TargetName>,
        /// Why.
        refusal: Refusal,
    },
}

/// The events of a host, in order; at most 1 024 wait, and more are left out.
/// [`Host::clients`] says what is true now. Dropping this is fine.
#[derive(Debug)]
pub struct HostEvents(mpsc::Receiver<HostEvent>);

impl HostEvents {
    /// Waits for the next event; `None` once the host has stopped.
    ///
    /// Cancel safe: no event is lost.
    pub async fn next(&mut self) -> Option<HostEvent> {
        self.0.recv().await
    }
}

/// How a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Somebody has to decide about it.
    Waiting,
    /// It is in.
    Here,
    /// It is in, and cannot be reached now.
    Away,
    /// It was [dropped](Host::drop_client): no code lets it in.
    Banned,
}

/// A running host. When it is dropped, every socket is reset and every client
/// sees it as lost: [`stop`](Self::stop) is polite.
#[derive(Debug)]
pub struct Host {
    own_id: PeerId,
    commands: mpsc::Sender<Command>,
    _task: AbortOnDropHandle<()>,
}

impl Host {
    /// Offers what `config` says to whoever comes to `node` with a code. Has to
    /// be called in a tokio runtime.
    ///
    /// # Errors
    ///
    /// The node has a host already.
    pub fn start(node: &Node, config: Config) -> Result<(Self, HostEvents), IncomingError> {
        let incoming = node.incoming(PROTOCOL)?;
        let (commands, given) = mpsc::channel(MAX_WAITING_COMMANDS);
        let (events, waiting) = mpsc::channel(MAX_WAITING_EVENTS);
        let register = Register::new(Rules {
            own_id: node.peer_id(),
            allow: config.allow.clone(),
            unlisted: config.unlisted,
            max_clients: config.max_clients.get(),
            decision_deadline: config.decision_deadline,
            resume_within: config.resume_within,
        });
        let monitors = Monitors::new(config.monitors.clone());
        let task = Task::new(incoming, given, events, register, config, monitors);
        let host = Self {
            own_id: node.peer_id(),
            commands,
            _task: AbortOnDropHandle::new(tokio::spawn(task.run())),
        };
        Ok((host, HostEvents(waiting)))
    }

    /// Makes a code with which clients find this host at `stars`, of which the
    /// first four are in it. 256 codes are remembered; then the oldest is
    /// forgotten.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn invite(
        &self,
        stars: impl IntoIterator<Item = Multiaddr>,
        invitation: Invitation,
    ) -> Result<Code, Stopped> {
        let secret = Secret::new(rand::random());
        let code = Code::new(self.own_id, stars, secret.clone());
        self.ask(|done| Command::Invite(secret, invitation, done))
            .await?;
        Ok(code)
    }

    /// Decides about a client that waits; returns whether it did.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn decide(&self, client: PeerId, decision: Decision) -> Result<bool, Stopped> {
        self.ask(|done| Command::Decide(client, decision, done))
            .await
    }

    /// Returns the clients and the banned peers, and how they stand.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn clients(&self) -> Result<Vec<(PeerId, Standing)>, Stopped> {
        self.ask(Command::Clients).await
    }

    /// Bans a peer: its session ends, its sockets are reset, and no code lets it in
    /// until [`unban`](Self::unban) or the end of this host. Returns whether it was
    /// in or waited. A ban is by id, and whoever makes a new key has a new id.
    ///
    /// 4 096 banned peers are remembered; then the oldest is forgotten.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn drop_client(&self, client: PeerId) -> Result<bool, Stopped> {
        self.ask(|done| Command::DropClient(client, done)).await
    }

    /// Lifts a ban; returns whether there was one. The peer has to join again, as
    /// anybody.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn unban(&self, peer: PeerId) -> Result<bool, Stopped> {
        self.ask(|done| Command::Unban(peer, done)).await
    }

    /// Tells every client that the session is over, resets every socket and ends,
    /// within 3 s. The node goes on; shut it down next, so that what was told
    /// arrives.
    pub async fn stop(self) {
        // It has stopped already, or it does now.
        let _ = self.ask(Command::Stop).await;
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
