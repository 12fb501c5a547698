//! A star with honest peers, each from a network of its own, and a crowd from one
//! network that wants to keep them out. The crowd proves its keys where it has to; it
//! comes, goes, breaks, asks and dials as fast as it can, and half of it reads nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use starpoint_broker::{
    AckId, Broker, Command, Config, ConnId, Counters, Ending, Input, Message, Offer, Output,
    SourceId, Verdict,
};
use starpoint_wire::{
    Call, Refusal, legacy,
    native::{self, Hello, Namespace},
};

use crate::names::Identity;

/// Most peers of the star; 64 may be from one network.
const MAX_PEERS: usize = 200;
/// Honest peers, each from a network of its own.
const N_HONEST: u16 = 24;
/// Connections that the crowd has at most.
const MAX_CROWD: usize = 250;
/// Keys of the crowd.
const N_HOSTILE: u16 = 300;
/// Where the crowd comes from.
const CROWD: SourceId = SourceId(u64::MAX);
/// The star's time of day; nobody looks at it.
const UNIX_NOW: u64 = 1_800_000_000;

/// What a call came to.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Legacy(legacy::Reply),
    Native(native::Reply),
}

impl Answer {
    fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Legacy(legacy::Reply::Refused(refusal))
            | Self::Native(native::Reply::Refused { refusal, .. }) => Some(*refusal),
            Self::Legacy(
                legacy::Reply::Done
                | legacy::Reply::Joined(_)
                | legacy::Reply::Challenge(_)
                | legacy::Reply::RefusedByPeer(_),
            )
            | Self::Native(
                native::Reply::Joined { .. }
                | native::Reply::Page(_)
                | native::Reply::Dialed { .. }
                | native::Reply::Done,
            ) => None,
        }
    }
}

/// A connection.
#[derive(Debug)]
struct Guest {
    is_honest: bool,
    /// It does not read, and its transport writes nothing.
    is_deaf: bool,
    hello: Option<Box<Hello>>,
    /// An address that it has joined with.
    address: Option<String>,
    answers: BTreeMap<AckId, Answer>,
}

/// A star under siege.
pub struct Siege {
    rng: StdRng,
    now: Instant,
    broker: Broker<StdRng>,
    honest: Vec<Identity>,
    hostile: Vec<Identity>,
    guests: BTreeMap<ConnId, Guest>,
    /// The connection of each honest peer that is here.
    homes: BTreeMap<usize, ConnId>,
    /// The connections of the crowd.
    crowd: Vec<ConnId>,
    last_conn: u64,
    last_ack: i64,
    last_dial: u64,
    wake_at: Option<Instant>,
    /// Calls of honest peers that were answered.
    pub n_served: usize,
}

impl Siege {
    /// Makes a star that nobody is in.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn new(seed: u64) -> Self {
        let config = Config {
            max_peers: MAX_PEERS.try_into().expect("not zero"),
            ..Config::new(crate::world::star_id())
        };
        Self {
            rng: StdRng::seed_from_u64(seed),
            now: Instant::now(),
            broker: Broker::new(config, StdRng::seed_from_u64(seed ^ 0x51e6e)),
            honest: (0..N_HONEST).map(Identity::new).collect(),
            hostile: (1_000..1_000 + N_HOSTILE).map(Identity::new).collect(),
            guests: BTreeMap::new(),
            homes: BTreeMap::new(),
            crowd: Vec::new(),
            last_conn: 0,
            last_ack: 0,
            last_dial: 0,
            wake_at: None,
            n_served: 0,
        }
    }

    /// Returns what happened.
    pub fn counters(&self) -> &Counters {
        self.broker.counters()
    }

    /// Lets the crowd do its worst for a moment, and then one honest peer what it has to.
    ///
    /// # Panics
    ///
    /// When the star refuses the honest peer anything.
    pub fn step(&mut self) {
        for _ in 0..self.rng.random_range(0..12) {
            self.attack();
        }
        self.honest_act();
        let pause = Duration::from_millis(self.rng.random_range(0..400));
        self.advance(pause);
    }

    /// Checks what the star has counted.
    ///
    /// # Panics
    ///
    /// When it has counted wrong, or let in too many.
    pub fn check(&self) {
        assert_eq!(self.broker.kept(), self.broker.recounted());
        let gauges = self.broker.gauges();
        assert!(gauges.peers + gauges.away <= MAX_PEERS, "{gauges:?}");
    }

    fn honest_act(&mut self) {
        let who = self.rng.random_range(0..self.honest.len());
        let Some(conn) = self.homes.get(&who).copied() else {
            return self.come_home(who);
        };
        match self.rng.random_range(0..8) {
            0 => {
                self.homes.remove(&who);
                self.end(conn, Ending::Closed);
            }
            1..4 => self.list(who, conn),
            4..8 => self.dial(who, conn),
            _ => {}
        }
    }

    /// Odd ones speak the legacy profile.
    fn is_legacy(who: usize) -> bool {
        who % 2 == 1
    }

    fn come_home(&mut self, who: usize) {
        let source = SourceId(u64::try_from(who).expect("few"));
        let conn = if Self::is_legacy(who) {
            let conn = self.connect(source, None);
            let address = self.honest[who].address(4000);
            let key = self.honest[who].public_key.clone();
            let reply = self.ask(conn, join(&address, key));
            let Some(Answer::Legacy(legacy::Reply::Challenge(nonce))) = reply else {
                panic!("no challenge for an honest peer: {reply:?}")
            };
            let proof = self.honest[who].sign(nonce.as_str());
            self.serve(conn, join(&address, proof));
            conn
        } else {
            let conn = self.connect(source, Some(UNIX_NOW));
            let hello = self.guests[&conn].hello.clone().expect("a hello first");
            let join = self.honest[who].native_join(&hello, vec![Namespace::default()]);
            self.serve(conn, Call::Native(native::Call::Join(Box::new(join))));
            conn
        };
        self.homes.insert(who, conn);
    }

    fn list(&mut self, who: usize, conn: ConnId) {
        if !Self::is_legacy(who) {
            let namespace = Namespace::default();
            let call = native::Call::Peers {
                namespace,
                after: None,
            };
            self.serve(conn, Call::Native(call));
        }
    }

    /// An honest legacy peer dials another one, and is answered; both hang up.
    fn dial(&mut self, who: usize, conn: ConnId) {
        let others = self.homes.keys().copied();
        let mut others = others.filter(|other| Self::is_legacy(*other) && *other != who);
        let Some(other) = others.next().filter(|_| Self::is_legacy(who)) else {
            return;
        };
        self.last_dial += 1;
        let call = Call::Legacy(legacy::Call::Dial {
            from: self.honest[who].address(4000),
            to: self.honest[other].address(4000),
            dial_id: format!("honest-{}", self.last_dial),
        });
        self.serve(conn, call);
        self.homes.remove(&who);
        self.end(conn, Ending::Closed);
    }

    /// Makes a call that must not be refused.
    fn serve(&mut self, conn: ConnId, call: Call) {
        let answer = self.ask(conn, call.clone());
        let answer = answer.unwrap_or_else(|| panic!("no answer to {call:?}"));
        assert_eq!(
            answer.refusal(),
            None,
            "an honest peer was refused {call:?}"
        );
        self.n_served += 1;
    }

    fn attack(&mut self) {
        if self.crowd.is_empty() || (self.crowd.len() < MAX_CROWD && self.rng.random()) {
            return self.storm();
        }
        let at = self.rng.random_range(0..self.crowd.len());
        let conn = self.crowd[at];
        match self.rng.random_range(0..40) {
            0 => {
                self.crowd.swap_remove(at);
                self.end(conn, Ending::Closed);
            }
            1 => {
                self.ask(conn, Call::Native(native::Call::Leave));
            }
            2..6 => {
                for _ in 0..50 {
                    let namespace = Namespace::default();
                    let call = native::Call::Peers {
                        namespace,
                        after: None,
                    };
                    self.ask(conn, Call::Native(call));
                }
            }
            6..26 => self.dial_honest(conn),
            _ => self.join_again(conn),
        }
    }

    /// One more of the crowd comes, as a legacy peer, a native one, or a visitor.
    fn storm(&mut self) {
        let key = self.rng.random_range(0..self.hostile.len());
        let kind = self.rng.random_range(0..3);
        let conn = self.connect(CROWD, (kind > 0).then_some(UNIX_NOW));
        self.crowd.push(conn);
        let is_deaf = self.rng.random();
        let Some(guest) = self.guests.get_mut(&conn) else {
            return;
        };
        guest.is_deaf = is_deaf;
        let Some(hello) = guest.hello.clone() else {
            return self.join_as(conn, key);
        };
        let spaces = self.rng.random_range(0..16);
        let mut namespaces = vec![Namespace::default()];
        namespaces.extend((0..spaces).filter_map(|n| Namespace::parse(&format!("{key}-{n}"))));
        let join = match kind {
            1 => self.hostile[key].native_join(&hello, namespaces),
            _ => self.hostile[key].visit(&hello),
        };
        self.ask(conn, Call::Native(native::Call::Join(Box::new(join))));
    }

    fn join_again(&mut self, conn: ConnId) {
        let key = self.rng.random_range(0..self.hostile.len());
        self.join_as(conn, key);
    }

    /// Joins with one more address, by a right or a wrong signature.
    fn join_as(&mut self, conn: ConnId, key: usize) {
        let port = self.rng.random_range(1..60_000);
        let address = self.hostile[key].address(port);
        let proof = self.hostile[key].public_key.clone();
        let answer = self.ask(conn, join(&address, proof));
        if let Some(Answer::Legacy(legacy::Reply::Challenge(nonce))) = answer {
            let signer = if self.rng.random_ratio(1, 20) { 0 } else { key };
            let proof = self.hostile[signer].sign(nonce.as_str());
            let answer = self.ask(conn, join(&address, proof));
            let is_joined = matches!(answer, Some(Answer::Legacy(legacy::Reply::Joined(_))));
            if let Some(guest) = self.guests.get_mut(&conn).filter(|_| is_joined) {
                guest.address = Some(address);
            }
        }
    }

    fn dial_honest(&mut self, conn: ConnId) {
        let Some(from) = self.guests.get(&conn).and_then(|g| g.address.clone()) else {
            return;
        };
        let to = self.rng.random_range(0..self.honest.len());
        let to = self.honest[to].address(4000);
        for _ in 0..4 {
            self.last_dial += 1;
            let call = Call::Legacy(legacy::Call::Dial {
                from: from.clone(),
                to: to.clone(),
                dial_id: format!("hostile-{}", self.last_dial),
            });
            self.ask(conn, call);
        }
    }

    fn connect(&mut self, source: SourceId, native: Option<u64>) -> ConnId {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        let guest = Guest {
            is_honest: source != CROWD,
            is_deaf: false,
            hello: None,
            address: None,
            answers: BTreeMap::new(),
        };
        self.guests.insert(conn, guest);
        match native {
            Some(unix_now) => self.broker.handle(
                Input::Connected {
                    conn,
                    source,
                    offer: Offer::Native { unix_now },
                },
                self.now,
            ),
            None => self.broker.handle(
                Input::Connected {
                    conn,
                    source,
                    offer: Offer::Legacy,
                },
                self.now,
            ),
        }
        self.settle();
        conn
    }

    fn end(&mut self, conn: ConnId, ending: Ending) {
        self.guests.remove(&conn);
        self.broker
            .handle(Input::Disconnected { conn, ending }, self.now);
        self.settle();
    }

    fn ask(&mut self, conn: ConnId, call: Call) -> Option<Answer> {
        self.last_ack += 1;
        let ack = AckId(self.last_ack);
        self.broker.handle(
            Input::Call {
                conn,
                call: Ok(call),
                ack: Some(ack),
            },
            self.now,
        );
        self.settle();
        self.guests.get_mut(&conn)?.answers.remove(&ack)
    }

    fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.wake_at.filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.broker.handle(Input::Timeout, self.now);
            self.settle();
        }
        self.now = until;
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
        if let Some(conn) = command.sends_to()
            && self.guests.get(&conn).is_some_and(|guest| !guest.is_deaf)
        {
            self.broker.handle(
                Input::Written {
                    conn,
                    packets: 1,
                    bytes: 1,
                },
                self.now,
            );
        }
        match command {
            Command::Send {
                conn,
                message: Message::Hello(hello),
            } => {
                if let Some(guest) = self.guests.get_mut(&conn) {
                    guest.hello = Some(hello);
                }
            }
            Command::Verify {
                conn,
                ticket,
                proof,
            } => {
                let is_valid = proof.verify();
                let verdict = if is_valid {
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
            Command::Send {
                conn,
                message: Message::Reply(ack, reply),
            } => self.answered(conn, ack, Answer::Legacy(reply)),
            Command::Send {
                conn,
                message: Message::NativeReply(ack, reply),
            } => {
                self.answered(conn, ack, Answer::Native(reply));
            }
            Command::Send {
                conn,
                message: Message::Ask(link, event),
            } => {
                let legacy::Event::Incoming { dial_id, .. } = event else {
                    panic!("{event:?} is no question")
                };
                let is_honest = dial_id.as_str().starts_with("honest");
                if is_honest && self.guests.contains_key(&conn) {
                    let answer = legacy::CalleeAnswer::Accepted;
                    self.broker
                        .handle(Input::Answered { link, answer }, self.now);
                }
            }
            Command::Close { conn, .. } | Command::Pause { conn } => {
                let guest = self.guests.get(&conn);
                let is_honest = guest.is_some_and(|guest| guest.is_honest);
                assert!(!is_honest, "{command:?} for an honest peer");
            }
            Command::Send {
                message: Message::Event(_) | Message::NativeEvent(_),
                ..
            }
            | Command::PlacePipe { .. }
            | Command::RefusePipe { .. }
            | Command::OpenPipe { .. }
            | Command::DropPipe { .. }
            | Command::CutPipe { .. }
            | Command::Resume { .. } => {}
        }
    }

    fn answered(&mut self, conn: ConnId, ack: AckId, answer: Answer) {
        if let Some(guest) = self.guests.get_mut(&conn) {
            guest.answers.insert(ack, answer);
        }
    }
}

fn join(address: &str, proof: String) -> Call {
    Call::Legacy(legacy::Call::Join {
        address: address.to_owned(),
        proof,
    })
}
