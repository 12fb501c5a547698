//! The broker's driver, and the checks of what it asks for.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use starpoint_broker::{
    AckId, Broker, Challenge, Command, Config, ConnId, Counters, Ending, Gauges, Input, LinkId,
    Message, Offer, Output, SourceId, Verdict, quota,
};
use starpoint_wire::{Call, Cut, Refusal, StreamEnd, StreamId, legacy, limits::DIAL_DEADLINE};

use crate::{
    client::{Client, Expected, Pace},
    model::{Model, StreamName, content},
    names::{Identity, canonical},
};

/// Returns the id of the star.
pub(crate) fn star_id() -> libp2p_identity::PeerId {
    let keypair = libp2p_identity::Keypair::ed25519_from_bytes([255; 32]);
    keypair.expect("32 bytes are a key").public().to_peer_id()
}

/// Returns where a connection comes from: some come from the same place.
pub(crate) fn source_of(conn: ConnId) -> SourceId {
    SourceId(conn.0 / 3)
}

/// What a world is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whether a join has to be proved.
    pub challenge: Challenge,
    /// How many connections there are at most.
    pub clients: usize,
    /// How many identities they share; less than clients makes takeovers.
    pub identities: u16,
    /// One of so many clients stops reading for ever; 0 for none.
    pub one_stopped_of: u32,
    /// Longest chunk, in bytes.
    pub chunk_bytes: usize,
    /// How much time passes between two acts at most.
    pub pause: Duration,
}

/// A broker, its clients, and what should be.
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: StdRng,
    pub(crate) now: Instant,
    pub(crate) identities: Vec<Identity>,
    pub(crate) clients: BTreeMap<ConnId, Client>,
    pub(crate) model: Model,
    pub(crate) last_dial: u64,
    broker: Broker<StdRng>,
    wake_at: Option<Instant>,
    /// Relayed bytes by source, as the broker tells of them.
    relayed: BTreeMap<SourceId, usize>,
    last_conn: u64,
    last_ack: i64,
    /// Who has to be told of the loss of an address.
    evicted: Vec<(ConnId, String)>,
    /// `ws-peer` events that each connection got.
    pub heard: BTreeMap<ConnId, Vec<String>>,
    /// Whether `heard` is kept.
    pub keeps_heard: bool,
}

impl World {
    /// Makes an empty world.
    pub fn new(seed: u64, plan: Plan) -> Self {
        let config = Config {
            challenge: plan.challenge,
            max_peers: 100_000.try_into().expect("not zero"),
            ..Config::new(star_id())
        };
        Self {
            rng: StdRng::seed_from_u64(seed),
            now: Instant::now(),
            identities: (0..plan.identities).map(Identity::new).collect(),
            clients: BTreeMap::new(),
            model: Model::default(),
            last_dial: 0,
            broker: Broker::new(config, StdRng::seed_from_u64(seed ^ 0x5eed)),
            wake_at: None,
            relayed: BTreeMap::new(),
            last_conn: 0,
            last_ack: 0,
            evicted: Vec::new(),
            heard: BTreeMap::new(),
            keeps_heard: false,
            plan,
        }
    }

    /// Returns what is.
    pub fn gauges(&self) -> Gauges {
        self.broker.gauges()
    }

    /// Returns what happened.
    pub fn counters(&self) -> &Counters {
        self.broker.counters()
    }

    /// Returns whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.broker.is_empty()
    }

    /// Returns whether a stream may have ended in a way that only the broker knows
    /// of: its reader was given up and has not heard of it.
    pub(crate) fn is_vague(&self) -> bool {
        self.broker
            .counters()
            .cuts
            .contains_key(&Cut::ReaderStalled)
    }

    pub(crate) fn connect(&mut self, client: Client) -> ConnId {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        self.clients.insert(conn, client);
        self.broker.handle(
            Input::Connected {
                conn,
                source: source_of(conn),
                offer: Offer::Legacy,
            },
            self.now,
        );
        self.settle();
        conn
    }

    pub(crate) fn disconnect(&mut self, conn: ConnId) {
        self.clients.remove(&conn);
        self.evicted.retain(|(old, _)| *old != conn);
        self.model.disconnect(conn, self.now);
        for dial in self.model.dials.values_mut() {
            dial.is_answered |= dial.dialer == conn;
        }
        self.broker.handle(
            Input::Disconnected {
                conn,
                ending: Ending::Closed,
            },
            self.now,
        );
        self.settle();
    }

    /// Makes a call that wants an answer, and says which.
    pub(crate) fn ask(&mut self, conn: ConnId, call: Call, expected: Expected) {
        let ack = self.next_ack();
        if let Some(client) = self.clients.get_mut(&conn) {
            client.pending.insert(ack, expected);
        }
        self.broker.handle(
            Input::Call {
                conn,
                call: Ok(call),
                ack: Some(ack),
            },
            self.now,
        );
        self.settle();
    }

    pub(crate) fn next_ack(&mut self) -> AckId {
        self.last_ack += 1;
        AckId(self.last_ack)
    }

    /// Returns the number that the next call will carry.
    pub(crate) fn upcoming_ack(&self) -> AckId {
        AckId(self.last_ack + 1)
    }

    /// Makes a stream call; returns whether the broker took it for stray.
    pub(crate) fn stream_call(&mut self, conn: ConnId, call: Call) -> bool {
        let before = self.broker.counters().stray_stream_events;
        self.broker.handle(
            Input::Call {
                conn,
                call: Ok(call),
                ack: None,
            },
            self.now,
        );
        self.broker.counters().stray_stream_events > before
    }

    pub(crate) fn register(&mut self, conn: ConnId, address: &str) {
        if let Some(old) = self.model.register(address, conn) {
            self.evicted.push((old, address.to_owned()));
        }
    }

    pub(crate) fn answer(&mut self, link: LinkId, id: &str, refusal: Option<&str>) {
        self.model.answer(id, refusal);
        let answer = match refusal {
            Some(text) => legacy::CalleeAnswer::Refused(text.into()),
            None => legacy::CalleeAnswer::Accepted,
        };
        self.broker
            .handle(Input::Answered { link, answer }, self.now);
        self.settle();
    }

    /// Lets time pass, and the broker do what is due, each at its time.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.wake_at.filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.model.pass_time(self.now);
            self.broker.handle(Input::Timeout, self.now);
            self.settle();
        }
        self.now = until;
        self.model.pass_time(until);
    }

    /// Lets the transports write.
    pub fn write(&mut self) {
        let conns: Vec<_> = self.clients.keys().copied().collect();
        for conn in conns {
            let Some(client) = self.clients.get_mut(&conn) else {
                continue;
            };
            if self.rng.random_ratio(1, 4) {
                if let Some(bytes) = client.write_partly() {
                    self.broker.handle(
                        Input::Written {
                            conn,
                            packets: 0,
                            bytes,
                        },
                        self.now,
                    );
                }
            } else if let Some((packets, bytes)) = client.write() {
                self.broker.handle(
                    Input::Written {
                        conn,
                        packets,
                        bytes,
                    },
                    self.now,
                );
            }
            self.settle();
        }
    }

    /// Carries out what the broker asks for, and checks all that can be checked at
    /// any time.
    pub(crate) fn settle(&mut self) {
        loop {
            match self.broker.poll() {
                Output::Do(Command::Verify {
                    conn,
                    ticket,
                    proof,
                }) => {
                    let verdict = if proof.verify() {
                        Verdict::Valid
                    } else {
                        Verdict::Invalid
                    };
                    self.broker.handle(
                        Input::Verified {
                            conn,
                            ticket,
                            verdict,
                        },
                        self.now,
                    );
                }
                Output::Do(command) => self.carry_out(&command),
                Output::Wait(at) => {
                    self.wake_at = at;
                    break;
                }
            }
        }
        self.relayed.extend(self.broker.take_relayed_changes());
        self.relayed.retain(|_, bytes| *bytes > 0);
        let told = |conn: &ConnId| self.clients.get(conn).is_some_and(Client::is_prompt);
        let untold = self.evicted.iter().find(|(conn, _)| told(conn));
        assert_eq!(untold, None, "not told of a takeover");
    }

    /// Checks what takes longer to check.
    ///
    /// # Panics
    ///
    /// When the broker counts differently.
    pub fn check(&mut self) {
        self.model.prune();
        let gauges = self.broker.gauges();
        assert_eq!(gauges.connections, self.clients.len());
        assert_eq!(gauges.peers, self.model.registered.len());
        let paused = self.clients.values().filter(|client| client.is_paused);
        assert_eq!(gauges.paused, paused.count());
        let kept = self.broker.kept();
        assert_eq!(kept, self.broker.recounted());
        assert_eq!(kept.relayed, self.relayed);
        let in_flight = self.clients.values().map(Client::relayed_in_flight);
        let waiting = self.model.waiting_bytes() + in_flight.sum::<usize>();
        if self.is_vague() {
            assert!(
                gauges.bytes_queued <= waiting,
                "{} of {waiting}",
                gauges.bytes_queued
            );
        } else {
            assert_eq!(gauges.bytes_queued, waiting);
            let alive = self
                .model
                .dials
                .keys()
                .filter(|id| self.model.is_link_alive(id));
            assert_eq!(gauges.links, alive.count());
        }
    }

    fn carry_out(&mut self, command: &Command) {
        if let Some(conn) = command.sends_to() {
            let client = self
                .clients
                .get_mut(&conn)
                .expect("sent to somebody who is here");
            assert!(!client.is_closed, "sent behind a close: {command:?}");
            client.give(command);
            if client.is_prompt()
                && let Some((packets, bytes)) = client.write()
            {
                self.broker.handle(
                    Input::Written {
                        conn,
                        packets,
                        bytes,
                    },
                    self.now,
                );
            }
        }
        match command {
            Command::Send {
                conn,
                message: Message::Reply(ack, reply),
            } => self.replied(*conn, *ack, reply),
            Command::Send {
                conn,
                message: Message::Event(event),
            } => self.emitted(*conn, event),
            Command::Send {
                conn,
                message: Message::Ask(link, event),
            } => self.asked(*conn, *link, event),
            Command::Verify { .. } => panic!("verified before"),
            Command::Send {
                message: Message::Hello(_) | Message::NativeReply(..) | Message::NativeEvent(_),
                ..
            }
            | Command::PlacePipe { .. }
            | Command::RefusePipe { .. }
            | Command::OpenPipe { .. }
            | Command::DropPipe { .. }
            | Command::CutPipe { .. } => panic!("nobody here speaks natively: {command:?}"),
            Command::Pause { conn } => {
                let late_calls = self.rng.random_range(0..3);
                let client = self.clients.get_mut(conn).expect("who is paused is here");
                assert!(!client.is_paused, "{conn:?} paused twice");
                client.is_paused = true;
                client.late_calls = late_calls;
            }
            Command::Resume { conn } => {
                let client = self.clients.get_mut(conn).expect("who is resumed is here");
                assert!(client.is_paused, "{conn:?} was not paused");
                client.is_paused = false;
            }
            Command::Close { conn, .. } => {
                let client = self.clients.get_mut(conn).expect("who is closed is here");
                assert!(!client.is_closed, "{conn:?} closed twice");
                client.is_closed = true;
            }
        }
    }

    fn replied(&mut self, conn: ConnId, ack: AckId, reply: &legacy::Reply) {
        let client = self
            .clients
            .get_mut(&conn)
            .expect("who is answered is here");
        let expected = client.pending.remove(&ack);
        let expected = expected.unwrap_or_else(|| panic!("nobody asked: {ack:?} {reply:?}"));
        match (&expected, reply) {
            (Expected::Joined(others), legacy::Reply::Joined(listed)) => {
                let n_others = others.as_ref().map_or(usize::MAX, BTreeSet::len);
                assert_eq!(listed.len(), n_others.min(quota::MAX_JOIN_LIST));
                let once: BTreeSet<_> = listed.iter().cloned().collect();
                assert_eq!(once.len(), listed.len(), "one of them twice");
                let is_known = |others: &BTreeSet<String>| once.is_subset(others);
                assert!(
                    others.as_ref().is_none_or(is_known),
                    "{once:?} of {others:?}"
                );
            }
            (Expected::Challenge(address, since), legacy::Reply::Challenge(nonce)) => {
                let nonce = (nonce.as_str().to_owned(), *since);
                client.nonces.insert(address.clone(), nonce);
            }
            (Expected::Refused(text), legacy::Reply::Refused(refusal)) => {
                assert_eq!(*text, refusal.text());
            }
            (Expected::Done, legacy::Reply::Done) => {}
            (Expected::DialOrBusy(_), legacy::Reply::Refused(Refusal::TooManyDials)) => {}
            (Expected::Dial(id) | Expected::DialOrBusy(id), reply) => self.dialed(id, ack, reply),
            (expected, reply) => panic!("{expected:?} expected, not {reply:?}"),
        }
    }

    fn dialed(&mut self, id: &str, ack: AckId, reply: &legacy::Reply) {
        let now = self.now;
        let is_here = |conn| self.clients.contains_key(&conn);
        let dial = self.model.dials.get_mut(id).expect("a dial that was taken");
        assert_eq!(dial.ack, ack);
        assert!(!dial.is_answered, "{id} answered twice");
        dial.is_answered = true;
        let is_true = match reply {
            legacy::Reply::Done => dial.refusal.is_none(),
            legacy::Reply::RefusedByPeer(value) => value.as_str() == dial.refusal.as_deref(),
            legacy::Reply::Refused(Refusal::DialTimeout) => dial.asked_at + DIAL_DEADLINE <= now,
            legacy::Reply::Refused(Refusal::PeerGone) => !is_here(dial.callee),
            legacy::Reply::Refused(_) | legacy::Reply::Challenge(_) | legacy::Reply::Joined(_) => {
                false
            }
        };
        assert!(is_true, "{reply:?} is no answer to {dial:?}");
    }

    fn asked(&mut self, conn: ConnId, link: LinkId, event: &legacy::Event) {
        let legacy::Event::Incoming { dial_id, from } = event else {
            panic!("{event:?} is no question")
        };
        let id = dial_id.as_str().to_owned();
        let dial = self.model.dials.get(&id).expect("a dial that was taken");
        assert_eq!(dial.callee, conn);
        let client = self.clients.get_mut(&conn).expect("who is asked is here");
        let name = if client.is_modern { "/p2p/" } else { "/ipfs/" };
        assert!(from.contains(name), "{from} is not how it writes");
        client.asked.push((link, id));
    }

    fn emitted(&mut self, conn: ConnId, event: &legacy::Event) {
        match event {
            legacy::Event::Peer { address } => self.announced(conn, address),
            legacy::Event::Evicted { address } => {
                let lost = (conn, canonical(address));
                let at = self.evicted.iter().position(|expected| *expected == lost);
                self.evicted
                    .remove(at.unwrap_or_else(|| panic!("{lost:?} was not taken")));
            }
            legacy::Event::StreamAccept { stream } => {
                let name = (stream.dial.as_str().to_owned(), stream.direction);
                let writer = self.model.streams.get(&name).map(|stream| stream.writer);
                // It may have waited until the link was gone.
                let is_late = writer.is_none() && !self.clients[&conn].is_prompt();
                assert!(
                    writer == Some(conn) || is_late,
                    "{name:?} is not for {conn:?}"
                );
            }
            legacy::Event::StreamQueue {
                stream,
                payload: chunk,
            } => self.arrived(conn, stream, chunk),
            legacy::Event::StreamError { stream, end } => self.ended(conn, stream, end),
            legacy::Event::Incoming { .. } => panic!("a dial that wants no answer"),
        }
    }

    fn announced(&mut self, conn: ConnId, address: &str) {
        let client = &self.clients[&conn];
        let other = if client.is_modern { "/ipfs/" } else { "/p2p/" };
        assert!(!address.contains(other), "{address} is not how it reads");
        if client.is_prompt() {
            let owner = self.model.owner(&canonical(address));
            assert!(
                owner.is_some_and(|owner| owner != conn),
                "{conn:?} told of {owner:?}"
            );
        }
        if self.keeps_heard {
            self.heard.entry(conn).or_default().push(address.to_owned());
        }
    }

    fn arrived(&mut self, conn: ConnId, stream: &StreamId, chunk: &[u8]) {
        let name: StreamName = (stream.dial.as_str().to_owned(), stream.direction);
        let stream = self
            .model
            .streams
            .get_mut(&name)
            .expect("a stream of a dial");
        assert_eq!(stream.reader, conn, "{name:?} went to the wrong one");
        assert!(stream.is_accepted, "{name:?} before it was accepted");
        assert_eq!(stream.reader_end, None, "{name:?} behind its end");
        let len = stream.sent.get(stream.arrived);
        assert_eq!(
            len,
            Some(&chunk.len()),
            "{name:?}, chunk {}",
            stream.arrived
        );
        assert!(
            chunk == content(&name, stream.arrived, chunk.len()),
            "{name:?} damaged"
        );
        stream.arrived += 1;
    }

    fn ended(&mut self, conn: ConnId, stream: &StreamId, end: &StreamEnd) {
        let name: StreamName = (stream.dial.as_str().to_owned(), stream.direction);
        let stream = self
            .model
            .streams
            .get_mut(&name)
            .expect("a stream of a dial");
        assert_eq!(stream.reader, conn, "{name:?} went to the wrong one");
        stream.end(&name, end);
        stream.ended_at.get_or_insert(self.now);
    }

    /// Lets everybody read and answer until nothing moves, and checks that nothing
    /// is left undone.
    ///
    /// # Panics
    ///
    /// When somebody stays paused, unanswered, or without the end of a stream.
    pub fn come_to_rest(&mut self) {
        for pace in [Pace::Slow(usize::MAX), Pace::Fast] {
            for client in self.clients.values_mut() {
                client.pace = pace;
            }
            for _ in 0..100 {
                self.write();
            }
        }
        for _ in 0..60 {
            for _ in 0..4 {
                self.write();
            }
            self.advance(Duration::from_secs(1));
            self.check();
        }
        assert_eq!(self.gauges().paused, 0, "somebody is paused for ever");
        for (conn, client) in &self.clients {
            assert!(client.is_written(), "{conn:?}");
            let is_waiting = !client.pending.is_empty() && !client.is_closed;
            assert!(!is_waiting, "{conn:?} has no answer: {:?}", client.pending);
        }
        for (name, stream) in &self.model.streams {
            let is_read = stream.is_accepted && !stream.is_over;
            let has_heard = stream.reader_end.is_some() || stream.ended_at.is_none();
            assert!(!is_read || has_heard, "{name:?} ended unheard: {stream:?}");
            let has_all = stream.arrived == stream.sent.len() || stream.reader_end.is_some();
            assert!(!is_read || has_all, "{name:?} is stuck: {stream:?}");
        }
    }

    /// Lets everybody go, and checks that nothing is left behind.
    ///
    /// # Panics
    ///
    /// When something is.
    pub fn leave_all(&mut self) {
        while let Some(conn) = self.clients.keys().next().copied() {
            self.disconnect(conn);
        }
        assert!(self.is_empty());
        assert_eq!(self.gauges(), Gauges::default());
        self.advance(Duration::from_secs(100));
        assert_eq!(self.wake_at, None, "a deadline of nobody");
    }
}
