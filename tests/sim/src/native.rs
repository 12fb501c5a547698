//! The native profile: a star, members that come, go, break and stop reading, and
//! what should be.
//!
//! Between the star and a member are two queues. What is in them takes its time,
//! and is gone with the connection.

mod member;
mod model;
mod view;

pub use member::Member;
pub use model::Model;
pub use view::View;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use starpoint_broker::{
    AckId, Broker, Command, Config, ConnId, Counters, Ending, Gauges, Input, Message, Offer,
    Output, ProofId, Verdict, quota,
};
use starpoint_wire::{
    Refusal, legacy,
    limits::NONCE_LIFETIME,
    native::{
        self, BATCH_CHANGES, EncodedEvent, FIRST_PAGE_PEERS, Namespace, PAGE_PEERS, PresenceBatch,
        Sync,
    },
};

use crate::{client::Pace, names::Identity, world::source_of};
use member::{Call, Told};

/// The star's time of day; nobody looks at it.
const UNIX_NOW: u64 = 1_800_000_000;

/// What a star and its members are like.
#[derive(Clone, Debug)]
pub struct NativePlan {
    /// How many connections there are at most.
    pub members: usize,
    /// How many identities they share; less than members makes takeovers.
    pub identities: u16,
    /// How many namespaces there are.
    pub namespaces: usize,
    /// About one of so many members does not read; 0 for none.
    pub one_stopped_of: u32,
    /// How much time passes between two acts at most.
    pub pause: Duration,
}

/// A broker, its members, and what should be.
pub struct NativeWorld {
    plan: NativePlan,
    rng: StdRng,
    now: Instant,
    identities: Vec<Identity>,
    namespaces: Vec<Namespace>,
    members: BTreeMap<ConnId, Member>,
    model: Model,
    broker: Broker<StdRng>,
    wake_at: Option<Instant>,
    /// Signatures that are being verified, and whether they are valid. What their
    /// connections say is not heard meanwhile.
    proofs: BTreeMap<ConnId, (ProofId, Verdict)>,
    last_conn: u64,
    last_ack: i64,
    /// Number of the last batch of each namespace that somebody is in.
    last_batch: BTreeMap<Namespace, u64>,
    /// The batches that were read last, and what they were read from: each goes to
    /// many.
    last_read: VecDeque<(Arc<str>, Arc<PresenceBatch>)>,
    /// How often a peer came back and had never left.
    pub n_resumed: usize,
    /// How often a member was told that it has missed something.
    pub n_lost: usize,
}

impl NativeWorld {
    /// Makes an empty world.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn new(seed: u64, plan: NativePlan) -> Self {
        let config = Config {
            max_peers: 100_000.try_into().expect("not zero"),
            ..Config::new(crate::world::star_id())
        };
        let namespace = |number| Namespace::parse(&format!("space-{number}")).expect("a name");
        Self {
            rng: StdRng::seed_from_u64(seed),
            now: Instant::now(),
            identities: (0..plan.identities).map(Identity::new).collect(),
            namespaces: (0..plan.namespaces).map(namespace).collect(),
            members: BTreeMap::new(),
            model: Model::new(config.grace),
            broker: Broker::new(config, StdRng::seed_from_u64(seed ^ 0x5eed)),
            wake_at: None,
            proofs: BTreeMap::new(),
            last_conn: 0,
            last_ack: 0,
            last_batch: BTreeMap::new(),
            last_read: VecDeque::new(),
            n_resumed: 0,
            n_lost: 0,
            plan,
        }
    }

    /// Returns what happened.
    pub fn counters(&self) -> &Counters {
        self.broker.counters()
    }

    /// Returns a member.
    ///
    /// # Panics
    ///
    /// When it is not here.
    pub fn member(&self, conn: ConnId) -> &Member {
        &self.members[&conn]
    }

    /// Lets somebody do something, then some time pass and some messages arrive.
    pub fn step(&mut self) {
        let is_full = self.members.len() >= self.plan.members;
        match self.rng.random_range(0..20) {
            0..9 if !is_full => {
                self.arrive();
            }
            0..12 => self.end(Ending::Closed),
            12 => self.end(Ending::Silent),
            13..15 => self.leave(),
            15..20 if self.plan.one_stopped_of > 0 => self.stop_or_go_on(),
            _ => {}
        }
        let conns: Vec<_> = self.members.keys().copied().collect();
        for conn in conns {
            if self.rng.random_ratio(1, 2) {
                self.settle_proof(conn);
            }
            if self.rng.random_ratio(1, 3) {
                self.hear(conn, 1);
            }
            if self.rng.random_ratio(1, 2) {
                self.write(conn);
            }
        }
        let most = u64::try_from(self.plan.pause.as_micros()).unwrap_or(u64::MAX);
        let pause = self.rng.random_range(0..=most);
        self.advance(Duration::from_micros(pause));
    }

    /// Somebody comes and wants to join.
    pub fn arrive(&mut self) -> ConnId {
        let identity = self.rng.random_range(0..self.identities.len());
        let n_namespaces = self.rng.random_range(1..=self.namespaces.len().min(3));
        let from = self.rng.random_range(0..self.namespaces.len());
        let all = self.namespaces.iter().cycle().skip(from);
        let namespaces = all.take(n_namespaces).cloned().collect();
        let pace = match self.rng.random_range(0..4) {
            0 => Pace::Slow(self.rng.random_range(1..4)),
            _ => Pace::Fast,
        };
        self.arrive_as(identity, namespaces, pace)
    }

    /// Somebody comes as this identity.
    pub fn arrive_as(&mut self, identity: usize, namespaces: Vec<Namespace>, pace: Pace) -> ConnId {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        let peer = self.identities[identity].peer();
        let member = Member::new(identity, peer, namespaces, pace, self.now);
        self.members.insert(conn, member);
        self.broker.handle(
            Input::Connected {
                conn,
                source: source_of(conn),
                offer: Offer::Native { unix_now: UNIX_NOW },
            },
            self.now,
        );
        self.settle();
        conn
    }

    /// Returns the namespace of a number.
    pub fn namespace(&self, number: usize) -> Namespace {
        self.namespaces[number].clone()
    }

    fn somebody(&mut self) -> Option<ConnId> {
        let which = self.rng.random_range(0..self.members.len().max(1));
        self.members.keys().nth(which).copied()
    }

    /// Somebody stops reading, or goes on with it; about so many do not read.
    fn stop_or_go_on(&mut self) {
        let stops = self.rng.random_ratio(1, self.plan.one_stopped_of);
        let Some(conn) = self.somebody() else { return };
        if let Some(member) = self.members.get_mut(&conn) {
            member.pace = if stops { Pace::Stopped } else { Pace::Fast };
        }
    }

    fn leave(&mut self) {
        let Some(conn) = self.somebody() else { return };
        self.leave_as(conn);
    }

    /// A member says that it goes, if it has joined.
    pub fn leave_as(&mut self, conn: ConnId) {
        let member = self.members.get_mut(&conn);
        if let Some(member) = member.filter(|member| !member.views.is_empty()) {
            member.calls.push_back(Call::Leave);
        }
    }

    fn end(&mut self, ending: Ending) {
        let Some(conn) = self.somebody() else { return };
        self.end_as(conn, ending);
    }

    /// A connection ends, and what is under way goes down with it. The star may have
    /// verified its join before it hears of that.
    pub fn end_as(&mut self, conn: ConnId, ending: Ending) {
        if self.rng.random() {
            self.settle_proof(conn);
        }
        let Some(member) = self.members.remove(&conn) else {
            return;
        };
        match ending {
            Ending::Closed => self.model.lose(&member.peer, conn, self.now),
            Ending::Silent => self.model.leave(&member.peer, conn),
        }
        self.broker
            .handle(Input::Disconnected { conn, ending }, self.now);
        self.settle();
    }

    /// Lets calls of a member arrive, at most so many.
    pub fn hear(&mut self, conn: ConnId, most: usize) {
        for _ in 0..most {
            let Some(member) = self.members.get_mut(&conn) else {
                return;
            };
            if member.is_paused || self.proofs.contains_key(&conn) {
                return;
            }
            let Some(call) = member.calls.pop_front() else {
                return;
            };
            self.call(conn, call);
        }
    }

    fn call(&mut self, conn: ConnId, call: Call) {
        self.last_ack += 1;
        let ack = AckId(self.last_ack);
        let Some(member) = self.members.get_mut(&conn) else {
            return;
        };
        let peer = member.peer;
        member.asked.insert(ack, call.clone());
        let call = match call {
            Call::Join(hello) => {
                let namespaces = member.namespaces.clone();
                let identity = &self.identities[member.identity];
                native::Call::Join(Box::new(identity.native_join(&hello, namespaces)))
            }
            Call::Leave => {
                self.model.leave(&peer, conn);
                native::Call::Leave
            }
            Call::Peers(namespace, after) => native::Call::Peers { namespace, after },
        };
        self.forget_empty();
        self.broker.handle(
            Input::Call {
                conn,
                call: Ok(starpoint_wire::Call::Native(call)),
                ack: Some(ack),
            },
            self.now,
        );
        self.settle();
    }

    /// The signature of a member's join is verified, if there is one.
    fn settle_proof(&mut self, conn: ConnId) {
        let Some((ticket, verdict)) = self.proofs.remove(&conn) else {
            return;
        };
        if let Some(member) = self.members.get_mut(&conn) {
            assert_eq!(verdict, Verdict::Valid, "members are honest");
            let namespaces = member.namespaces.clone();
            let (is_resumed, old) = self.model.join(member.peer, conn, &namespaces);
            member.is_resumed = Some(is_resumed);
            self.n_resumed += usize::from(is_resumed);
            if let Some(old) = old.and_then(|old| self.members.get_mut(&old)) {
                old.is_evicted = true;
            }
            self.forget_empty();
        }
        self.broker.handle(
            Input::Verified {
                conn,
                ticket,
                verdict,
            },
            self.now,
        );
        self.settle();
    }

    /// A namespace that nobody is in begins anew with the next one.
    fn forget_empty(&mut self) {
        let model = &self.model;
        self.last_batch
            .retain(|namespace, _| !model.is_empty(namespace));
    }

    /// Lets time pass, and the broker do what is due, each at its time.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.wake_at.filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.model.pass_time(self.now);
            self.forget_empty();
            self.broker.handle(Input::Timeout, self.now);
            self.settle();
        }
        self.now = until;
        self.model.pass_time(until);
        self.forget_empty();
    }

    /// Lets the transport of a member write, and the member read it.
    pub fn write(&mut self, conn: ConnId) {
        let Some(member) = self.members.get_mut(&conn) else {
            return;
        };
        let n_written = match member.pace {
            Pace::Fast => member.told.len(),
            Pace::Slow(most) => most.min(member.told.len()),
            Pace::Stopped => 0,
        };
        let written: Vec<_> = member.told.drain(..n_written).collect();
        for told in written {
            member.read(told);
        }
        if n_written > 0 {
            self.broker.handle(
                Input::Written {
                    conn,
                    packets: n_written,
                    bytes: n_written,
                },
                self.now,
            );
            self.settle();
        }
    }

    fn settle(&mut self) {
        loop {
            match self.broker.poll() {
                Output::Do(command) => self.carry_out(command),
                Output::Wait(at) => {
                    self.wake_at = at;
                    return;
                }
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Send {
                conn,
                message: Message::Hello(hello),
            } => self.tell(conn, Told::Hello(hello)),
            Command::Verify {
                conn,
                ticket,
                proof,
            } => {
                let verdict = if proof.verify() {
                    Verdict::Valid
                } else {
                    Verdict::Invalid
                };
                let before = self.proofs.insert(conn, (ticket, verdict));
                assert_eq!(before, None, "two at a time");
                let member = &self.members[&conn];
                assert!(self.now < member.since + NONCE_LIFETIME, "too late");
            }
            Command::Send {
                conn,
                message: Message::NativeReply(ack, reply),
            } => self.replied(conn, ack, reply),
            Command::Send {
                conn,
                message: Message::NativeEvent(event),
            } => self.emitted(conn, event),
            Command::Send {
                conn,
                message: Message::Event(event),
            } => {
                let is_evicted = self.members.get(&conn).is_some_and(|m| m.is_evicted);
                let is_told = matches!(event, legacy::Event::Evicted { .. });
                assert!(is_evicted && is_told, "{event:?} for {conn:?}");
                self.tell(conn, Told::Nothing);
            }
            Command::Pause { conn } => self.pause(conn, true),
            Command::Resume { conn } => self.pause(conn, false),
            Command::Send {
                message: Message::Reply(..) | Message::Ask(..),
                ..
            }
            | Command::PlacePipe { .. }
            | Command::RefusePipe { .. }
            | Command::OpenPipe { .. }
            | Command::DropPipe { .. }
            | Command::CutPipe { .. }
            | Command::Close { .. } => panic!("nobody here asked for that: {command:?}"),
        }
    }

    fn pause(&mut self, conn: ConnId, is_paused: bool) {
        let member = self.members.get_mut(&conn);
        member.expect("who is paused is here").is_paused = is_paused;
    }

    fn tell(&mut self, conn: ConnId, told: Told) {
        let member = self.members.get_mut(&conn);
        let member = member.expect("who is told is here");
        member.told.push_back(told);
    }

    fn replied(&mut self, conn: ConnId, ack: AckId, reply: native::Reply) {
        let member = self.members.get_mut(&conn);
        let member = member.expect("who is answered is here");
        let call = member.asked.remove(&ack).expect("an answer to a call");
        // What had to wait is as old as its question: it is the view's to judge.
        let is_prompt = member.told.len() < quota::WINDOW_PACKETS / 2 && !member.is_paused;
        match (&call, &reply) {
            (Call::Join(_), native::Reply::Joined { is_resumed, pages }) => {
                assert_eq!(Some(*is_resumed), member.is_resumed);
                for page in pages.iter().filter(|_| is_prompt) {
                    self.model.check_page(page, None, FIRST_PAGE_PEERS);
                }
            }
            (Call::Join(_), native::Reply::Refused { refusal, .. }) => {
                assert_eq!(*refusal, Refusal::ChallengeExpired);
                assert_eq!(member.is_resumed, None);
            }
            (Call::Peers(_, after), native::Reply::Page(page)) => {
                if is_prompt {
                    self.model.check_page(page, *after, PAGE_PEERS);
                }
            }
            (Call::Peers(..), native::Reply::Refused { refusal, .. }) => {
                assert_eq!(*refusal, Refusal::NotAuthorized);
                assert!(!self.model.is_here(&member.peer, conn));
            }
            (Call::Leave, native::Reply::Done) => {}
            (Call::Join(_) | Call::Leave | Call::Peers(..), reply) => {
                panic!("{reply:?} is no answer to {call:?}")
            }
        }
        self.tell(conn, Told::Reply(call, Box::new(reply)));
    }

    fn emitted(&mut self, conn: ConnId, event: EncodedEvent) {
        if let Some((_, batch)) = self
            .last_read
            .iter()
            .find(|(args, _)| Arc::ptr_eq(args, &event.args))
        {
            let batch = Arc::clone(batch);
            self.check_batch(conn, &batch);
            return self.tell(conn, Told::Batch(batch));
        }
        let told = match native::Event::decode(event.name, &event.args) {
            Some(native::Event::Presence(batch)) => {
                self.check_batch(conn, &batch);
                let batch = Arc::new(batch);
                self.last_read.truncate(7);
                self.last_read.push_front((event.args, Arc::clone(&batch)));
                Told::Batch(batch)
            }
            Some(native::Event::Hello(_) | native::Event::Incoming { .. }) | None => {
                panic!("nobody dials: {event:?}")
            }
        };
        self.tell(conn, told);
    }

    fn check_batch(&mut self, conn: ConnId, batch: &PresenceBatch) {
        assert!(batch.joined.len() + batch.left.len() <= BATCH_CHANGES);
        let member = &self.members[&conn];
        let is_member = member.namespaces.contains(&batch.namespace);
        assert!(is_member, "{conn:?} is not in {}", batch.namespace);
        match batch.sync {
            Sync::Lost => {
                assert!(batch.joined.is_empty() && batch.left.is_empty());
                self.n_lost += 1;
            }
            Sync::InOrder => {
                assert!(
                    !batch.joined.is_empty() || !batch.left.is_empty(),
                    "a batch of nothing"
                );
                // One that had to wait is behind the others, and one that has left may
                // get it when the namespace is another one.
                if !self.model.is_here(&member.peer, conn) {
                    return;
                }
                let last = self.last_batch.entry(batch.namespace.clone()).or_default();
                assert!(batch.seq <= *last + 1, "a gap in {}", batch.namespace);
                *last = batch.seq.max(*last);
            }
        }
    }

    /// Lets everybody read and be heard for so long.
    pub fn run(&mut self, time: Duration) {
        const TURN: Duration = Duration::from_millis(100);
        let until = self.now + time;
        while self.now < until {
            let conns: Vec<_> = self.members.keys().copied().collect();
            for conn in conns {
                self.settle_proof(conn);
                self.hear(conn, usize::MAX);
                self.write(conn);
            }
            self.advance(TURN);
        }
    }

    /// Lets everybody read and be heard until nothing moves, and checks that every
    /// member knows who is here.
    ///
    /// # Panics
    ///
    /// When one does not, or something is said though nothing happens.
    pub fn come_to_rest(&mut self) {
        for member in self.members.values_mut() {
            member.pace = Pace::Fast;
        }
        self.run(4 * quota::MAX_BATCH_INTERVAL);
        self.check_views();
        // Those that were away are gone now.
        self.run(quota::GRACE + 2 * quota::MAX_BATCH_INTERVAL);
        let n_views = self.check_views();
        let n_batches = self.counters().presence_batches;
        self.advance(Duration::from_secs(3600));
        assert_eq!(self.counters().presence_batches, n_batches, "an idle star");
        assert_eq!(self.wake_at, None, "a deadline of nobody");
        assert_eq!(self.broker.kept(), self.broker.recounted());
        assert!(n_views > 0, "nobody is left to be checked");
    }

    /// Checks what every member knows; returns how many views that were.
    fn check_views(&self) -> usize {
        let spaces = self.namespaces.iter();
        let members: BTreeMap<_, _> = spaces.map(|n| (n, self.model.members(n))).collect();
        let mut n_views = 0;
        for (conn, member) in &self.members {
            assert!(
                member.calls.is_empty() && member.told.is_empty(),
                "{conn:?}"
            );
            if !self.model.is_here(&member.peer, *conn) {
                continue;
            }
            for namespace in &member.namespaces {
                let view = member.views.get(namespace).and_then(View::whole);
                let (view, expected) = (view.expect("a whole view"), &members[namespace]);
                let unknown: Vec<_> = expected.difference(view).collect();
                let ghosts: Vec<_> = view.difference(expected).collect();
                assert!(
                    unknown.is_empty() && ghosts.is_empty(),
                    "{conn:?} in {namespace}: not known: {unknown:?}, not here: {ghosts:?}"
                );
                n_views += 1;
            }
        }
        n_views
    }

    /// Lets everybody go, and checks that nothing is left behind.
    ///
    /// # Panics
    ///
    /// When something is.
    pub fn leave_all(&mut self) {
        while let Some(conn) = self.members.keys().next().copied() {
            self.end_as(conn, Ending::Closed);
        }
        self.advance(2 * quota::GRACE);
        assert!(self.broker.is_empty());
        assert_eq!(self.broker.gauges(), Gauges::default());
        assert_eq!(self.wake_at, None, "a deadline of nobody");
    }
}
