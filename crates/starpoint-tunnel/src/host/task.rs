//! The task that knows who is in.

use std::{
    collections::BTreeMap,
    future,
    sync::Arc,
    time::{Duration, Instant},
};

use starpoint_node::{Incoming, PeerId, Stream};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    Config, Decision, HostEvent, Invitation, Standing,
    slots::{Slots, Whose},
    stream::{self, Context},
};
use crate::{
    code::{CodeProof, Secret, SessionId},
    monitor::Monitors,
    refusal::Refusal,
    register::{Joined, Register, TimedOut},
    target::{Target, TargetName},
    wire::Frame,
};

/// Requests of streams that wait for the task; whoever has one more waits, too.
const MAX_WAITING_REQUESTS: usize = 256;
/// Frames that wait to be told to a client; one that takes none is lost.
pub(super) const MAX_WAITING_FRAMES: usize = 8;
/// Time for clients to be told that the host stops.
const STOP_DEADLINE: Duration = Duration::from_secs(3);

/// What the handle asks for.
#[derive(Debug)]
pub(super) enum Command {
    Invite(Secret, Invitation, oneshot::Sender<()>),
    Decide(PeerId, Decision, oneshot::Sender<bool>),
    Clients(oneshot::Sender<Vec<(PeerId, Standing)>>),
    DropClient(PeerId, oneshot::Sender<bool>),
    Unban(PeerId, oneshot::Sender<bool>),
    Stop(oneshot::Sender<()>),
}

/// What a stream asks for.
#[derive(Debug)]
pub(super) enum Request {
    Join {
        peer: PeerId,
        session: SessionId,
        proof: CodeProof,
        control: Control,
    },
    Connect {
        peer: PeerId,
        target: Option<TargetName>,
        reply: oneshot::Sender<Result<Grant, Refusal>>,
    },
    /// A control stream has ended.
    Gone {
        peer: PeerId,
        control: ControlId,
        how: Gone,
    },
    SocketRefused {
        peer: PeerId,
        target: Option<TargetName>,
        refusal: Refusal,
    },
}

/// How a client went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It said so.
    Left,
    /// It may come back.
    Lost,
}

/// Tells control streams apart: a client that comes back has a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ControlId(pub(super) u64);

/// The way to a control stream. What is refused ends it.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) id: ControlId,
    pub(super) frames: mpsc::Sender<Frame>,
}

/// That a client may connect to a target.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) target: Target,
    pub(super) permit: OwnedSemaphorePermit,
    /// Ends the socket with the client's session.
    pub(super) cut: CancellationToken,
}

/// A client with a control stream.
#[derive(Debug)]
struct Client {
    control: Control,
    sockets: Arc<Semaphore>,
    cut: CancellationToken,
}

pub(super) struct Task {
    incoming: Incoming,
    commands: mpsc::Receiver<Command>,
    requests: mpsc::Receiver<Request>,
    events: mpsc::Sender<HostEvent>,
    register: Register,
    clients: BTreeMap<PeerId, Client>,
    streams: JoinSet<()>,
    slots: Slots,
    config: Config,
    context: Context,
    next_control: u64,
}

impl Task {
    pub(super) fn new(
        incoming: Incoming,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<HostEvent>,
        register: Register,
        config: Config,
        monitors: Monitors,
    ) -> Self {
        let (to_task, requests) = mpsc::channel(MAX_WAITING_REQUESTS);
        let context = Context {
            requests: to_task,
            monitors,
            connect_deadline: config.connect_deadline,
            silence_deadline: config.silence_deadline,
        };
        Self {
            incoming,
            commands,
            requests,
            events,
            register,
            clients: BTreeMap::new(),
            streams: JoinSet::new(),
            slots: Slots::new(config.max_sockets),
            config,
            context,
            next_control: 0,
        }
    }

    /// Runs until the handle asks for an end or is gone, or the node stops.
    pub(super) async fn run(mut self) {
        let done = loop {
            let deadline = self.register.deadline();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Stop(done)) => break Some(done),
                    Some(command) => self.execute(command),
                    None => break None,
                },
                Some(request) = self.requests.recv() => self.answer(request),
                Some(ended) = self.streams.join_next() => log_panic(ended),
                () = sleep_until(deadline) => self.time_out(),
                incoming = self.incoming.next() => match incoming {
                    Some((peer, stream)) => self.take(peer, stream),
                    None => break None,
                },
            }
        };
        if let Some(done) = done {
            self.stop().await;
            let _ = done.send(());
        }
    }

    fn take(&mut self, peer: PeerId, stream: Stream) {
        let whose = if self.register.is_here(peer) {
            Whose::Member
        } else {
            Whose::Stranger
        };
        let Some(slot) = self.slots.take(peer, whose) else {
            tracing::debug!(%peer, ?whose, "Stream reset, its peer has too many");
            return;
        };
        let control = ControlId(self.next_control);
        self.next_control += 1;
        let context = self.context.clone();
        self.streams
            .spawn(stream::serve(context, peer, stream, slot, control));
    }

    fn execute(&mut self, command: Command) {
        // Who asked and does not wait any more has lost interest.
        match command {
            Command::Invite(secret, invitation, reply) => {
                let Invitation { n_uses, valid_for } = invitation;
                self.register
                    .invite(secret, n_uses, valid_for, Instant::now());
                let _ = reply.send(());
            }
            Command::Decide(client, decision, reply) => {
                let _ = reply.send(self.decide(client, decision));
            }
            Command::Clients(reply) => {
                let members = self.register.members().map(|(peer, is_here)| {
                    let standing = if is_here {
                        Standing::Here
                    } else {
                        Standing::Away
                    };
                    (peer, standing)
                });
                let waiting = self.register.waiting();
                let waiting = waiting.map(|peer| (peer, Standing::Waiting));
                let banned = self.register.banned();
                let banned = banned.map(|peer| (peer, Standing::Banned));
                drop(reply.send(members.chain(waiting).chain(banned).collect()));
            }
            Command::DropClient(client, reply) => {
                let was_there = self.register.ban(client);
                self.end(client, Refusal::Dropped);
                if was_there {
                    self.emit(HostEvent::Left { client });
                }
                let _ = reply.send(was_there);
            }
            Command::Unban(peer, reply) => {
                let _ = reply.send(self.register.unban(peer));
            }
            Command::Stop(_) => {}
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Join {
                peer,
                session,
                proof,
                control,
            } => self.join(peer, session, &proof, control),
            Request::Connect {
                peer,
                target,
                reply,
            } => {
                let granted = self.grant(peer, target.as_ref());
                if let Err(refusal) = granted {
                    self.socket_refused(peer, target, refusal);
                }
                drop(reply.send(granted));
            }
            Request::Gone { peer, control, how } => self.gone(peer, control, how),
            Request::SocketRefused {
                peer,
                target,
                refusal,
            } => self.socket_refused(peer, target, refusal),
        }
    }

    fn join(&mut self, client: PeerId, session: SessionId, proof: &CodeProof, control: Control) {
        let joined = self.register.join(client, session, proof, Instant::now());
        self.tell_replaced();
        match joined {
            Ok(Joined::Ask) => {
                self.wait(client, control);
                self.emit(HostEvent::Asked { client });
            }
            Ok(Joined::StillAsked) => self.wait(client, control),
            Ok(Joined::Accepted) => {
                self.hold(client, control);
                self.open(client);
                self.emit(HostEvent::Joined { client });
            }
            Ok(Joined::Resumed) => {
                self.hold(client, control);
                self.open(client);
                self.emit(HostEvent::Resumed { client });
            }
            Err(refusal) => {
                control.send(Frame::Refused(refusal));
                // Who goes on guessing, or was banned, is not worth another line.
                if !matches!(refusal, Refusal::Locked | Refusal::Banned) {
                    self.emit(HostEvent::Refused { client, refusal });
                }
            }
        }
    }

    fn wait(&mut self, client: PeerId, control: Control) {
        let seconds = self.config.decision_deadline.as_secs();
        let seconds = u16::try_from(seconds).unwrap_or(u16::MAX);
        control.send(Frame::Waiting { seconds });
        self.hold(client, control);
    }

    /// Keeps the control stream of a client; an older one ends, and its sockets
    /// with it: the client has given them up.
    fn hold(&mut self, peer: PeerId, control: Control) {
        let client = Client {
            control,
            sockets: Arc::new(Semaphore::new(self.config.max_sockets.get())),
            cut: CancellationToken::new(),
        };
        if let Some(older) = self.clients.insert(peer, client) {
            older.cut.cancel();
        }
    }

    fn open(&mut self, client: PeerId) {
        if let Some(client) = self.clients.get(&client) {
            let targets = self.config.offer.names();
            client.control.send(Frame::Open { targets });
        }
    }

    fn decide(&mut self, client: PeerId, decision: Decision) -> bool {
        let decided = self.register.decide(client, decision);
        self.tell_replaced();
        match decided {
            Some(Ok(_)) => {
                self.open(client);
                self.emit(HostEvent::Joined { client });
                true
            }
            Some(Err(refusal)) => {
                self.end(client, refusal);
                self.emit(HostEvent::Refused { client, refusal });
                true
            }
            None => false,
        }
    }

    fn tell_replaced(&mut self) {
        for client in self.register.replaced() {
            self.emit(HostEvent::Left { client });
        }
    }

    fn grant(&self, peer: PeerId, target: Option<&TargetName>) -> Result<Grant, Refusal> {
        let client = self.clients.get(&peer);
        let client = client.filter(|_| self.register.is_here(peer));
        let client = client.ok_or(Refusal::NotJoined)?;
        let target = self.config.offer.find(target);
        let target = target.ok_or(Refusal::NoSuchTarget)?.clone();
        let permit = Arc::clone(&client.sockets).try_acquire_owned();
        Ok(Grant {
            target,
            permit: permit.map_err(|_| Refusal::Busy)?,
            cut: client.cut.clone(),
        })
    }

    fn gone(&mut self, client: PeerId, control: ControlId, how: Gone) {
        let is_current = |held: &Client| held.control.id == control;
        if !self.clients.get(&client).is_some_and(is_current) {
            return;
        }
        if let Some(held) = self.clients.remove(&client) {
            held.cut.cancel();
        }
        let was_in = self.register.is_here(client);
        match how {
            Gone::Left => drop(self.register.remove(client)),
            Gone::Lost => self.register.lost(client, Instant::now()),
        }
        self.emit(match how {
            Gone::Lost if was_in => HostEvent::Lost { client },
            Gone::Left | Gone::Lost => HostEvent::Left { client },
        });
    }

    fn time_out(&mut self) {
        for timed_out in self.register.time_out(Instant::now()) {
            match timed_out {
                TimedOut::Decision(client) => {
                    let refusal = Refusal::NoDecision;
                    self.end(client, refusal);
                    self.emit(HostEvent::Refused { client, refusal });
                }
                TimedOut::Away(client) => self.emit(HostEvent::Left { client }),
            }
        }
    }

    /// Ends a client's control stream and its sockets.
    fn end(&mut self, client: PeerId, why: Refusal) {
        if let Some(client) = self.clients.remove(&client) {
            client.control.send(Frame::Refused(why));
            client.cut.cancel();
        }
    }

    fn socket_refused(&self, client: PeerId, target: Option<TargetName>, refusal: Refusal) {
        self.emit(HostEvent::SocketRefused {
            client,
            target,
            refusal,
        });
    }

    fn emit(&self, event: HostEvent) {
        // Left out when nobody takes events; the register is what counts.
        let _ = self.events.try_send(event);
    }

    async fn stop(mut self) {
        let clients: Vec<_> = self.clients.keys().copied().collect();
        for client in clients {
            self.end(client, Refusal::Stopped);
        }
        drop(self.incoming);
        // Streams that still ask for something find nobody.
        drop(self.requests);
        let all = async { while self.streams.join_next().await.is_some() {} };
        if time::timeout(STOP_DEADLINE, all).await.is_err() {
            tracing::debug!("Clients not told in time that the host stops");
        }
    }
}

impl Control {
    /// Passes a frame on. A client that takes none ends by its own silence.
    fn send(&self, frame: Frame) {
        let _ = self.frames.try_send(frame);
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline.into()).await,
        None => future::pending().await,
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "Stream of a tunnel ended by a bug");
    }
}
