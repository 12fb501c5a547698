//! Body of the fuzz target `transport_star`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use libp2p_identity::{Keypair, PeerId};
use starpoint_wire::{
    DialId, StarAddress, StreamEnd,
    native::{self, ClientNonce, Hello, Nonce32, Openness, Page, PipeToken, PresenceBatch, Sync},
};
use web_time::Instant;

use crate::{
    config::{Challenge, Config},
    error::Error,
    machine::{
        link::Token,
        presence::Change,
        star::{CallTag, Command, Event, Purpose, Star},
    },
};

/// Inbound dials that may wait for the swarm.
const MAX_OFFERS: usize = 4;
/// Peers that a home keeps.
const MAX_PEERS: usize = 3;
/// Peers that the machine may know: those of a snapshot and from before it, and as many
/// whose leaving is not told yet.
const MAX_KNOWN: usize = 4 * MAX_PEERS;
/// Ids that a script can name, so that its lines meet.
const N_IDS: u8 = 8;

/// Runs the input as a script: its first byte is the profile and purpose of the peer,
/// and each further one what the star, the swarm or the clock does.
pub fn star(input: &[u8]) {
    let Some((kind, mut script)) = input.split_first() else {
        return;
    };
    let mut run = Run::new(*kind);
    while let Some((op, rest)) = script.split_first() {
        script = run.step(*op, rest);
        run.settle();
    }
    run.end();
}

struct Run {
    star: Star,
    now: Instant,
    /// Calls without an answer.
    calls: Vec<CallTag>,
    /// Questions of the star's without an answer.
    asked: BTreeSet<u64>,
    n_asked: u64,
    /// Dials of the swarm's without an answer.
    dials: BTreeSet<DialId>,
    n_dials: u32,
    offered: Vec<DialId>,
    pipes: Vec<PipeToken>,
    /// Links that bytes may flow in, and whether the star has ended them.
    open: BTreeMap<DialId, bool>,
    /// Peers that the swarm believes to be here.
    here: BTreeSet<PeerId>,
    n_failures: usize,
    n_joins: usize,
}

/// Keys of the peer and of those that a script can name; number 0 is its own.
fn keys() -> &'static [Keypair] {
    static KEYS: OnceLock<Vec<Keypair>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let key = |number| Keypair::ed25519_from_bytes([number + 1; 32]);
        let keys = (0..N_IDS).map(key);
        keys.map(|key| key.expect("any 32 bytes are a key"))
            .collect()
    })
}

fn peer_of(number: u8) -> PeerId {
    keys()[usize::from(number % N_IDS)].public().to_peer_id()
}

fn token_of(number: u8) -> PipeToken {
    PipeToken::from_random([number % N_IDS; 32])
}

/// Settings with and without a challenge that the star has to set. Made once: the default
/// reads the certificates of the system.
fn configs() -> &'static [Config; 2] {
    static CONFIGS: OnceLock<[Config; 2]> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        [Challenge::Required, Challenge::Optional].map(|challenge| Config {
            max_pending_inbound: MAX_OFFERS,
            max_peers: MAX_PEERS,
            challenge,
            ..Config::default()
        })
    })
}

fn nonce() -> ClientNonce {
    ClientNonce::from_random([7; 16])
}

/// What a star says first: one that challenges legacy peers, and one that does not.
/// Signed once, for speed.
fn hellos() -> &'static [String; 2] {
    static HELLOS: OnceLock<[String; 2]> = OnceLock::new();
    HELLOS.get_or_init(|| {
        [Openness::Proven, Openness::Open].map(|openness| {
            let key = &keys()[7];
            let hello = Hello {
                star: key.public().to_peer_id(),
                challenge: Nonce32([9; 32]),
                expires: 1,
                openness,
                grace: Duration::from_secs(1),
                hosts: Vec::new(),
            };
            hello
                .sign(key, &nonce())
                .expect("the key can sign")
                .encode()
        })
    })
}

/// Answers of a star of the legacy profile.
const LEGACY_ANSWERS: [&str; 8] = [
    r#"[null,"2259d308-9abe-4f75-9af4-ba84711b32a5d1bdbb5f-735f-4a32-896b-4f5385aea019"]"#,
    "[null,null,[]]",
    "[]",
    r#"["peer not found"]"#,
    r#"["no"]"#,
    r#"[{"code":"legacy-peer"}]"#,
    r#"[{"code":"too-many-requests","retry_ms":500}]"#,
    "{}",
];

impl Run {
    fn new(kind: u8) -> Self {
        let config = &configs()[usize::from(kind >> 2 & 1)];
        let address: StarAddress = "/ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star"
            .parse()
            .expect("it is an address");
        let purpose = if kind & 2 == 0 {
            Purpose::Home
        } else {
            Purpose::Visit
        };
        let now = Instant::now();
        let key = keys()[0].clone();
        let star = if kind & 1 == 0 {
            Star::new(config, key, address, purpose, now)
        } else {
            Star::native(config, key, address, purpose, None, nonce(), now)
        };
        Self {
            star,
            now,
            calls: Vec::new(),
            asked: BTreeSet::new(),
            n_asked: 0,
            dials: BTreeSet::new(),
            n_dials: 0,
            offered: Vec::new(),
            pipes: Vec::new(),
            open: BTreeMap::new(),
            here: BTreeSet::new(),
            n_failures: 0,
            n_joins: 0,
        }
    }

    /// Does one thing; returns the rest of the script.
    fn step<'a>(&mut self, op: u8, rest: &'a [u8]) -> &'a [u8] {
        let (arg, rest) = rest.split_first().map_or((0, rest), |(arg, r)| (*arg, r));
        match op % 16 {
            0 => self.event("ws-peer", &json(&[&address_of(arg)]), &[]),
            1 => {
                let dial = format!("dial-{}", arg % N_IDS);
                self.event(
                    "ss-incomming",
                    &json(&[&dial, &address_of(arg / N_IDS)]),
                    &[],
                );
            }
            2..5 => self.stream(op % 16, arg),
            5 => self.event("ss-evicted", &json(&[&address_of(0)]), &[]),
            6 => self.answer_legacy(arg),
            7 => self.answer_native(arg),
            8 => self.presence(arg, rest.first().copied().unwrap_or(0)),
            9 => self.offer_pipe(arg),
            10 => self.greet(arg),
            11 => self.dial(arg),
            12 => self.decide(arg),
            13 => self.talk(arg),
            14 => {
                self.now += Duration::from_millis(u64::from(arg) * 100);
                self.star.handle_timeout(self.now);
                let next = self.star.next_deadline();
                assert!(next.is_none_or(|next| next > self.now), "due for ever");
            }
            _ => {
                let (text, after) = rest.split_at(usize::from(arg % 64).min(rest.len()));
                let text = String::from_utf8_lossy(text);
                let (name, args) = text.split_once('\n').unwrap_or(("star-hello", &text));
                self.event(name, args, &[]);
                return after;
            }
        }
        rest
    }

    /// The star says something, and wants an answer.
    fn event(&mut self, name: &str, args: &str, attachments: &[Bytes]) {
        let token = Token(self.n_asked);
        let star = &mut self.star;
        if star.handle_event(name, args, attachments, Some(token), self.now) {
            self.asked.insert(self.n_asked);
        }
        self.n_asked += 1;
    }

    /// The star lets the peer write, sends a chunk, or ends a stream.
    fn stream(&mut self, kind: u8, arg: u8) {
        let (whose, side) = (["dial", "own"], ["dialer", "listener"]);
        let whose = whose[usize::from(arg >> 4 & 1)];
        let side = side[usize::from(arg >> 5 & 1)];
        let stream = format!("{whose}-{}.{side}", arg % N_IDS);
        let prefix = "socket.io-pull-stream";
        let chunk = [Bytes::from_static(b"chunk")];
        match kind {
            2 => self.event(&format!("{prefix}.accept.{stream}"), "[]", &[]),
            3 => {
                let args = r#"[{"_placeholder":true,"num":0}]"#;
                self.event(&format!("{prefix}.queue.{stream}"), args, &chunk);
            }
            _ => self.event(&format!("{prefix}.error.{stream}"), "[true]", &[]),
        }
    }

    fn next_call(&mut self, arg: u8) -> Option<CallTag> {
        let n_calls = self.calls.len();
        let at = usize::from(arg >> 4).checked_rem(n_calls)?;
        Some(self.calls.swap_remove(n_calls - 1 - at))
    }

    fn answer_legacy(&mut self, arg: u8) {
        if let Some(tag) = self.next_call(arg) {
            let answer = LEGACY_ANSWERS[usize::from(arg % 8)];
            self.star.handle_answer(&tag, answer, self.now);
        }
    }

    fn answer_native(&mut self, arg: u8) {
        let Some(tag) = self.next_call(arg) else {
            return;
        };
        let page = Page {
            namespace: Default::default(),
            seq: [u64::from(arg % 4), u64::MAX][usize::from(arg >> 7)],
            total: 0,
            peers: (0..arg % 8).map(|n| text_of(n + arg / 16)).collect(),
            next: (arg & 8 != 0).then(|| peer_of(arg)),
        };
        let answer = match tag {
            CallTag::StarJoin => native::Reply::Joined {
                is_resumed: arg & 8 != 0,
                pages: vec![page],
            },
            CallTag::StarDial(..) => native::Reply::Dialed { record: None },
            CallTag::Page(_) => native::Reply::Page(page),
            CallTag::Join | CallTag::Dial(_) | CallTag::Probe => native::Reply::Done,
        };
        self.star.handle_answer(&tag, &answer.encode(), self.now);
    }

    fn presence(&mut self, arg: u8, who: u8) {
        let texts = |bits: u8| {
            let peers = (0..4).filter(|n| bits >> n & 1 != 0);
            peers.map(|n| text_of(n + (arg >> 6))).collect()
        };
        let batch = PresenceBatch {
            namespace: Default::default(),
            seq: [u64::from(arg % 8), u64::MAX][usize::from(arg >> 5 & 1)],
            joined: texts(who),
            left: texts(who >> 4),
            sync: [Sync::InOrder, Sync::Lost][usize::from(arg >> 3 & 1)],
        };
        let event = native::Event::Presence(batch).encode();
        self.event(event.name, &event.args, &[]);
    }

    fn offer_pipe(&mut self, arg: u8) {
        let event = native::Event::Incoming {
            from: peer_of(arg / N_IDS),
            token: token_of(arg),
            record: None,
        }
        .encode();
        self.event(event.name, &event.args, &[]);
    }

    fn greet(&mut self, arg: u8) {
        match arg % 4 {
            0 | 1 => self.event("star-hello", &hellos()[usize::from(arg >> 7)], &[]),
            2 => self.star.trust(),
            _ if arg >> 2 == 0 => self.star.distrust(Error::StarUnproved),
            _ if arg >> 2 == 1 => self.star.leave(),
            _ => {
                let dial = DialId::parse("probe").expect("it is short");
                self.star.probe(&dial, self.now);
            }
        }
    }

    fn dial(&mut self, arg: u8) {
        // A fresh name each, as the swarm draws them; the star knows the first ones.
        let dial = DialId::parse(&format!("own-{}", self.n_dials)).expect("it is short");
        self.n_dials += 1;
        self.dials.insert(dial.clone());
        let deadline = self.now + Duration::from_millis(u64::from(arg) * 10);
        let peer = peer_of(arg);
        if arg & 8 == 0 {
            self.star.dial(dial, peer, deadline);
        } else {
            self.star.dial_by_pipe(dial, peer, token_of(arg), deadline);
        }
    }

    /// The swarm takes or refuses what was offered.
    fn decide(&mut self, arg: u8) {
        match (arg % 4, self.offered.pop(), self.pipes.pop()) {
            (0, Some(dial), pipe) => {
                self.pipes.extend(pipe);
                assert!(self.star.accept(&dial), "an offer without an end");
                self.open.insert(dial, false);
            }
            (1, Some(dial), pipe) => {
                self.pipes.extend(pipe);
                self.star.refuse(&dial);
            }
            (2, dial, Some(pipe)) => {
                self.offered.extend(dial);
                self.star.pipe_accepted(&pipe);
            }
            (3, dial, Some(pipe)) => {
                self.offered.extend(dial);
                self.star.refuse_pipe(pipe);
            }
            (_, dial, pipe) => {
                self.offered.extend(dial);
                self.pipes.extend(pipe);
            }
        }
    }

    /// The swarm writes into a link, ends or drops it.
    fn talk(&mut self, arg: u8) {
        let n_open = self.open.len();
        let at = usize::from(arg >> 2).checked_rem(n_open).unwrap_or(0);
        let Some(dial) = self.open.keys().nth(at).cloned() else {
            if let Some(dial) = self.dials.pop_first()
                && !self.star.pipe_settled(&dial)
            {
                self.star.forget(&dial, "dropped");
            }
            return;
        };
        match arg % 4 {
            0 | 1 => self.star.write(&dial, Bytes::from_static(b"x")),
            2 => self.star.end(&dial, StreamEnd::Clean),
            _ => {
                self.star.forget(&dial, "dropped");
                self.open.remove(&dial);
                assert!(!self.star.may_write(&dial));
            }
        }
    }

    /// Does what the machine wants, as its driver does after each step.
    fn settle(&mut self) {
        while let Some(command) = self.star.next_command() {
            match command {
                Command::Call(tag, _) => self.calls.push(tag),
                Command::Emit(_) => {}
                Command::Answer(Token(token), _) => {
                    assert!(self.asked.remove(&token), "answered twice, or not asked");
                }
            }
        }
        while let Some(event) = self.star.next_event() {
            self.happened(event);
        }
        assert!(self.offered.len() + self.pipes.len() <= MAX_OFFERS);
        assert!(self.n_joins <= 1 && self.n_failures <= 1);
        // A swarm that is busy takes changes now and then only.
        if self.n_asked.is_multiple_of(4) {
            self.take_changes();
        }
        assert!(self.star.presence().n_known() <= MAX_KNOWN);
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Joined => self.n_joins += 1,
            Event::Failed(_) => self.n_failures += 1,
            Event::Dialed(dial, result) => {
                assert!(self.dials.remove(&dial), "{dial} was answered before");
                if result.is_ok() {
                    self.open.insert(dial, false);
                }
            }
            Event::Incoming(dial, peer) => {
                assert_ne!(peer, peer_of(0), "a dial from itself");
                self.offered.push(dial);
            }
            Event::OfferExpired(dial) => self.offered.retain(|offered| *offered != dial),
            Event::PipeOffered(token, peer) => {
                assert_ne!(peer, peer_of(0), "a dial from itself");
                self.pipes.push(token);
            }
            Event::PipeOfferExpired(token) => self.pipes.retain(|pipe| *pipe != token),
            Event::Data(dial, chunk) => {
                assert_eq!(self.open.get(&dial), Some(&false), "data behind the end");
                assert!(!chunk.is_empty());
            }
            Event::Ended(dial, _) => {
                assert_eq!(self.open.insert(dial, true), Some(false), "a second end");
            }
            Event::Writable(dial) => assert!(self.open.contains_key(&dial)),
            Event::OpenPipe(dial, _) => assert!(self.dials.contains(&dial)),
            Event::AbandonPipe(dial) => assert!(self.dials.contains(&dial)),
            Event::Greeted(_) | Event::TakenOver | Event::Record(..) => {}
        }
    }

    fn take_changes(&mut self) {
        while let Some(change) = self.star.presence().next_change() {
            match change {
                Change::Joined(peer) => {
                    assert_ne!(peer, peer_of(0), "told of itself");
                    assert!(self.here.insert(peer), "joined twice");
                }
                Change::Left(peer) => assert!(self.here.remove(&peer), "left twice"),
            }
        }
        assert!(self.here.len() <= MAX_KNOWN);
    }

    /// After a long time nothing of the swarm's or the star's is left without answer.
    fn end(&mut self) {
        self.now += Duration::from_secs(3_600);
        self.star.handle_timeout(self.now);
        self.settle();
        self.take_changes();
        assert_eq!(self.dials, BTreeSet::new(), "dials without an answer");
        assert_eq!(self.asked, BTreeSet::new(), "questions without an answer");
        assert!(self.offered.is_empty() && self.pipes.is_empty());
    }
}

fn address_of(number: u8) -> String {
    format!(
        "/ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star/ipfs/{}",
        text_of(number)
    )
}

/// The text of an id, as stars spell it.
fn text_of(number: u8) -> Arc<str> {
    static TEXTS: OnceLock<Vec<Arc<str>>> = OnceLock::new();
    let texts = TEXTS.get_or_init(|| (0..N_IDS).map(|n| peer_of(n).to_base58().into()).collect());
    Arc::clone(&texts[usize::from(number % N_IDS)])
}

/// The text of an array of strings that need no escaping.
fn json(texts: &[&str]) -> String {
    format!("[\"{}\"]", texts.join("\",\""))
}

#[cfg(test)]
#[path = "../replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn stars_of_the_corpus_hold() {
        replay("transport_star", super::star);
    }
}
