//! The task that owns the broker: events in, commands out.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Instant, SystemTime},
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use rand::rngs::StdRng;
use starpoint_broker::{
    Broker, Command, Config, ConnId, Counters, Ending, Gauges, Input, LinkId, Message, Offer,
    Output, SourceId,
};
use starpoint_wire::{legacy, native};
use tokio::sync::{mpsc, oneshot};

use crate::{
    outlet::{Answer, Outlet, Unsent},
    pipes::Pipes,
    proofs::{Proofs, Verified},
    session::{Event, Session},
    source::Source,
};

/// Events handled before the task looks at deadlines and commands again.
const EVENTS_PER_TURN: usize = 64;

/// What the rest of the server asks of the star.
#[derive(Debug)]
pub(crate) enum Request {
    /// Counters and gauges, now.
    Snapshot(oneshot::Sender<Snapshot>),
    /// Shut down: refuse what is new. Answered when every connection is gone.
    Drain(oneshot::Sender<()>),
    /// End every stream. Answered with how many had not ended.
    Cut(oneshot::Sender<usize>),
}

/// The star's numbers at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) counters: Counters,
    pub(crate) gauges: Gauges,
}

/// A client, as the star sees it.
struct Client {
    session: Arc<Session>,
    outlet: Outlet,
    /// What waits for a signature of the client to be verified; `None` when none is.
    held: Option<VecDeque<Event>>,
    seen_packets: u64,
    seen_bytes: u64,
}

/// A source with clients, or whose clients have gone and left bytes on their way.
struct Writers {
    source: Arc<Source>,
    n_clients: usize,
}

pub(crate) struct Star {
    broker: Broker<StdRng>,
    clients: BTreeMap<ConnId, Client>,
    sources: BTreeMap<SourceId, Writers>,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    events: mpsc::UnboundedReceiver<Event>,
    requests: mpsc::Receiver<Request>,
    drained: Option<oneshot::Sender<()>>,
    next_deadline: Option<Instant>,
    pipes: Pipes,
    proofs: Proofs,
}

impl Star {
    pub(crate) fn new(
        config: Config,
        events: mpsc::UnboundedReceiver<Event>,
        requests: mpsc::Receiver<Request>,
        pipes: Pipes,
    ) -> Self {
        Self {
            broker: Broker::new(config, rand::make_rng()),
            clients: BTreeMap::new(),
            sources: BTreeMap::new(),
            answers: FuturesUnordered::new(),
            events,
            requests,
            drained: None,
            next_deadline: None,
            pipes,
            proofs: Proofs::default(),
        }
    }

    /// Runs until nobody can ask for anything any more.
    pub(crate) async fn run(mut self) {
        loop {
            // An answer is looked at before the events that its client sent after it.
            tokio::select! {
                biased;
                Some((link, answer)) = self.answers.next(), if !self.answers.is_empty() => {
                    self.answered(link, answer);
                }
                verified = self.proofs.next() => self.verified(&verified),
                Some(event) = self.events.recv() => {
                    self.turn(event);
                    // However many events there are, requests have their turn.
                    if let Ok(request) = self.requests.try_recv() {
                        self.request(request);
                    }
                }
                request = self.requests.recv() => match request {
                    Some(request) => self.request(request),
                    None => return,
                },
                () = sleep_until(self.next_deadline) => {}
            }
            let now = Instant::now();
            if self.next_deadline.is_some_and(|at| at <= now) {
                self.broker.handle(Input::Timeout, now);
            }
            self.execute_commands();
        }
    }

    /// Handles one event and what has queued up behind it, as long as no answer is
    /// waiting to be looked at.
    fn turn(&mut self, first: Event) {
        self.event(first);
        for _ in 1..EVENTS_PER_TURN {
            self.execute_commands();
            while let Some(Some((link, answer))) = self.answers.next().now_or_never() {
                self.answered(link, answer);
            }
            while let Some(verified) = self.proofs.next_now() {
                self.verified(&verified);
            }
            match self.events.try_recv() {
                Ok(event) => self.event(event),
                Err(_) => return,
            }
        }
    }

    fn event(&mut self, event: Event) {
        let Some(event) = self.hold(event) else {
            return;
        };
        let now = Instant::now();
        match event {
            Event::Connected { session, outlet } => {
                let conn = session.conn;
                let source = self.note_client(&session.source);
                let is_native = matches!(outlet, Outlet::Native(_));
                let client = Client {
                    session,
                    outlet,
                    held: None,
                    seen_packets: 0,
                    seen_bytes: 0,
                };
                self.clients.insert(conn, client);
                tracing::debug!(conn = conn.0, is_native, "Client connected");
                let offer = if is_native {
                    Offer::Native {
                        unix_now: unix_now(),
                    }
                } else {
                    Offer::Legacy
                };
                let input = Input::Connected {
                    conn,
                    source,
                    offer,
                };
                self.broker.handle(input, now);
            }
            Event::Call {
                conn,
                call,
                ack,
                charge,
            } => {
                self.broker.handle(Input::Call { conn, call, ack }, now);
                if let Some(client) = self.clients.get(&conn) {
                    client.session.handled(charge);
                }
            }
            Event::Progress { conn } => self.progress(conn, now),
            Event::Disconnected { conn, ending } => self.forget(conn, ending, now),
            Event::Answered { link, answer } => {
                self.broker.handle(Input::Answered { link, answer }, now)
            }
            Event::PipeArrived { token, reply } => {
                let arrival = self.pipes.arrived(reply);
                let input = Input::PipeArrived { arrival, token };
                self.broker.handle(input, now);
            }
            Event::PipeLeft { pipe } => self.broker.handle(Input::PipeLeft { pipe }, now),
            Event::PipeEnded { pipe } => {
                self.pipes.ended(pipe);
                self.broker.handle(Input::PipeEnded { pipe }, now);
            }
        }
    }

    /// Keeps an event of a client that has to wait for a signature of that client:
    /// what it has sent behind a join is handled behind the join. The room of its
    /// calls is not given back meanwhile, which bounds them.
    fn hold(&mut self, event: Event) -> Option<Event> {
        let conn = match &event {
            Event::Call { conn, .. } | Event::Disconnected { conn, .. } => *conn,
            Event::Connected { .. }
            | Event::Progress { .. }
            | Event::Answered { .. }
            | Event::PipeArrived { .. }
            | Event::PipeLeft { .. }
            | Event::PipeEnded { .. } => return Some(event),
        };
        match self.clients.get_mut(&conn).and_then(|c| c.held.as_mut()) {
            Some(held) => {
                held.push_back(event);
                None
            }
            None => Some(event),
        }
    }

    /// Ends a join, and handles what has waited for that.
    fn verified(&mut self, verified: &Verified) {
        let client = self.clients.get_mut(&verified.conn);
        let held = client.and_then(|client| client.held.take());
        self.broker.handle(
            Input::Verified {
                conn: verified.conn,
                ticket: verified.ticket,
                verdict: verified.verdict,
            },
            Instant::now(),
        );
        self.execute_commands();
        // A join among them makes the rest wait again.
        for event in held.into_iter().flatten() {
            self.event(event);
            self.execute_commands();
        }
    }

    fn progress(&mut self, conn: ConnId, now: Instant) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        let (packets, bytes) = client.session.take_progress();
        let new_packets = packets.saturating_sub(client.seen_packets);
        let new_bytes = bytes.saturating_sub(client.seen_bytes);
        (client.seen_packets, client.seen_bytes) = (packets, bytes);
        let new_packets = usize::try_from(new_packets).unwrap_or(usize::MAX);
        let new_bytes = usize::try_from(new_bytes).unwrap_or(usize::MAX);
        self.broker.handle(
            Input::Written {
                conn,
                packets: new_packets,
                bytes: new_bytes,
            },
            now,
        );
    }

    fn answered(&mut self, link: LinkId, answer: Option<legacy::CalleeAnswer>) {
        // Without an answer the broker's own deadline, or the callee's leaving, ends
        // the dial.
        if let Some(answer) = answer {
            self.broker
                .handle(Input::Answered { link, answer }, Instant::now());
        }
    }

    fn note_client(&mut self, source: &Arc<Source>) -> SourceId {
        let writers = self.sources.entry(source.id).or_insert_with(|| Writers {
            source: Arc::clone(source),
            n_clients: 0,
        });
        writers.n_clients += 1;
        source.id
    }

    fn forget(&mut self, conn: ConnId, ending: Ending, now: Instant) {
        if let Some(client) = self.clients.remove(&conn) {
            tracing::debug!(conn = conn.0, ?ending, "Client gone");
            self.broker
                .handle(Input::Disconnected { conn, ending }, now);
            let source = client.session.source.id;
            if let Some(writers) = self.sources.get_mut(&source) {
                writers.n_clients -= 1;
            }
            self.forget_source_if_unused(source);
        }
    }

    fn request(&mut self, request: Request) {
        let now = Instant::now();
        match request {
            Request::Snapshot(reply) => {
                let snapshot = Snapshot {
                    counters: self.broker.counters().clone(),
                    gauges: self.broker.gauges(),
                };
                // Whoever asked may have gone.
                let _ = reply.send(snapshot);
            }
            Request::Drain(reply) => {
                self.broker.handle(Input::Drain, now);
                self.drained = Some(reply);
            }
            Request::Cut(reply) => {
                let streams = self.broker.gauges().open_streams();
                self.broker.handle(Input::Cut, now);
                self.execute_commands();
                let _ = reply.send(streams);
            }
        }
    }

    /// Carries out everything that the broker wants.
    fn execute_commands(&mut self) {
        loop {
            match self.broker.poll() {
                Output::Do(command) => self.command(command),
                Output::Wait(next) => {
                    self.next_deadline = next;
                    break;
                }
            }
        }
        self.publish();
        if self.broker.is_empty()
            && let Some(drained) = self.drained.take()
        {
            let _ = drained.send(());
        }
    }

    /// Passes on what has changed in the broker's account of relayed bytes.
    fn publish(&mut self) {
        let changes: Vec<_> = self.broker.take_relayed_changes().collect();
        for (source, bytes) in changes {
            if let Some(writers) = self.sources.get(&source) {
                writers.source.share.set_relayed(bytes);
            }
            self.forget_source_if_unused(source);
        }
    }

    /// Forgets a source that has no client and nothing on its way.
    fn forget_source_if_unused(&mut self, source: SourceId) {
        let is_unused = self
            .sources
            .get(&source)
            .is_some_and(|writers| writers.n_clients == 0 && writers.source.share.relayed() == 0);
        if is_unused {
            self.sources.remove(&source);
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Send { conn, message } => self.send(conn, message),
            Command::Verify {
                conn,
                ticket,
                proof,
            } => {
                if let Some(client) = self.clients.get_mut(&conn) {
                    client.held.get_or_insert_default();
                }
                self.proofs.verify(conn, ticket, proof);
            }
            Command::PlacePipe {
                arrival,
                pipe,
                side,
            } => {
                if !self.pipes.place(arrival, pipe, side) {
                    self.broker.handle(Input::PipeLeft { pipe }, Instant::now());
                }
            }
            Command::RefusePipe { arrival, refusal } => {
                self.pipes.refuse_arrival(arrival, refusal);
            }
            Command::OpenPipe {
                pipe,
                dialer,
                callee,
            } => {
                if !self.pipes.open(pipe, dialer, callee) {
                    self.broker
                        .handle(Input::PipeEnded { pipe }, Instant::now());
                }
            }
            Command::DropPipe { pipe, refusal } => self.pipes.refuse(pipe, refusal),
            Command::CutPipe { pipe } => self.pipes.cut(pipe),
            Command::Pause { conn } => self.set_paused(conn, true),
            Command::Resume { conn } => self.set_paused(conn, false),
            Command::Close { conn, reason } => {
                tracing::debug!(conn = conn.0, ?reason, "Closing connection");
                self.end(conn);
            }
        }
    }

    fn set_paused(&self, conn: ConnId, paused: bool) {
        if let Some(client) = self.clients.get(&conn) {
            client.session.set_paused(paused);
        }
    }

    /// Sends a message. A client that cannot be sent to is gone: nothing is lost without
    /// its streams ending with an error.
    fn send(&mut self, conn: ConnId, message: Message) {
        let Some(client) = self.clients.get(&conn) else {
            return;
        };
        if is_join(&message) {
            tracing::debug!(conn = conn.0, "Client joined");
            client.session.set_joined();
        }
        let packets = message.packets();
        match client.outlet.send(message) {
            Ok(answer) => {
                client.session.sent(packets);
                self.answers.extend(answer);
            }
            Err(error) => {
                match error {
                    Unsent::Closed => {}
                    Unsent::Full | Unsent::Encoding => {
                        tracing::warn!(conn = conn.0, ?error, "Connection given up");
                    }
                }
                self.end(conn);
            }
        }
    }

    /// Forgets a client and ends its transport when what was sent is written.
    fn end(&mut self, conn: ConnId) {
        if let Some(client) = self.clients.get(&conn) {
            client.session.finish();
        }
        self.forget(conn, Ending::Closed, Instant::now());
    }
}

/// Returns the time of day, in seconds of Unix time.
fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Waits until a time, or for ever.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Returns whether the message says that a client has joined.
fn is_join(message: &Message) -> bool {
    match message {
        Message::Reply(_, reply) => matches!(reply, legacy::Reply::Joined(_)),
        Message::NativeReply(_, reply) => matches!(reply, native::Reply::Joined { .. }),
        Message::Event(_) | Message::Ask(..) | Message::Hello(_) | Message::NativeEvent(_) => false,
    }
}
