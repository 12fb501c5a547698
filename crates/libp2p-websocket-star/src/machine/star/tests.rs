//! The machine, one packet at a time.

use std::time::Duration;

use starpoint_wire::{
    Refusal, legacy,
    native::{self, ClientNonce, Hello, Nonce32, Openness},
};

use super::*;
use crate::error::Violation;

const NONCE: &str = "2259d308-9abe-4f75-9af4-ba84711b32a5d1bdbb5f-735f-4a32-896b-4f5385aea019";
const CHALLENGED: &str =
    r#"[null,"2259d308-9abe-4f75-9af4-ba84711b32a5d1bdbb5f-735f-4a32-896b-4f5385aea019"]"#;

struct Peer {
    star: Star,
    keypair: Keypair,
    now: Instant,
}

impl Peer {
    fn new(change: impl FnOnce(&mut Config), purpose: Purpose) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let keypair = Keypair::generate_ed25519();
        let now = Instant::now();
        let address: StarAddress = "/ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star"
            .parse()
            .unwrap();
        let star = Star::new(&config, keypair.clone(), address, purpose, now);
        Self { star, keypair, now }
    }

    fn home() -> Self {
        Self::new(|_| {}, Purpose::Home)
    }

    fn joined(mut self) -> Self {
        self.answer(&CallTag::Join, CHALLENGED);
        self.answer(&CallTag::Join, "[null,null,[]]");
        assert!(matches!(self.events()[..], [Event::Joined]));
        self.commands();
        self
    }

    fn own_address(&self) -> String {
        self.star.address.clone()
    }

    fn commands(&mut self) -> Vec<Command> {
        std::iter::from_fn(|| self.star.next_command()).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.star.next_event()).collect()
    }

    fn answer(&mut self, tag: &CallTag, args: &str) {
        self.star.handle_answer(tag, args, self.now);
    }

    fn event(&mut self, name: &str, args: &str) {
        self.star.handle_event(name, args, &[], None, self.now);
    }

    fn incoming(&mut self, token: u64, dial: &str, from: &str) -> bool {
        let args = format!(r#"["{dial}","{from}"]"#);
        let token = Some(Token(token));
        self.star
            .handle_event("ss-incomming", &args, &[], token, self.now)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.star.handle_timeout(self.now);
    }

    fn failure(&mut self) -> Error {
        match self.events().pop() {
            Some(Event::Failed(error)) => error,
            other => panic!("{other:?} is no failure"),
        }
    }
}

fn dial_id(text: &str) -> DialId {
    DialId::parse(text).unwrap()
}

fn someone() -> (PeerId, String) {
    let peer = PeerId::random();
    let address = format!("/ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star/ipfs/{peer}");
    (peer, address)
}

/// A link that is open for reading and writing, dialed by this side.
fn open_link(peer: &mut Peer, dial: &DialId) {
    let deadline = peer.now + Duration::from_secs(20);
    peer.star.dial(dial.clone(), PeerId::random(), deadline);
    peer.event(&format!("socket.io-pull-stream.accept.{dial}.dialer"), "[]");
    peer.answer(&CallTag::Dial(dial.clone()), "[]");
    peer.commands();
    peer.events();
}

#[test]
fn r_trans_1_a_join_shows_the_key_and_signs_the_challenge() {
    let mut peer = Peer::home();
    let address = peer.own_address();
    let proof = challenge::encode_public_key(&peer.keypair.public());
    let shows_key = Call::Legacy(legacy::Call::Join {
        address: address.clone(),
        proof,
    });
    assert_eq!(peer.commands(), [Command::Call(CallTag::Join, shows_key)]);
    peer.answer(&CallTag::Join, CHALLENGED);
    let commands = peer.commands();
    let [Command::Call(CallTag::Join, Call::Legacy(legacy::Call::Join { proof, .. }))] =
        &commands[..]
    else {
        panic!("{commands:?}");
    };
    assert_eq!(*proof, challenge::sign(&peer.keypair, NONCE).unwrap());
    peer.answer(&CallTag::Join, "[null,null,[]]");
    assert!(matches!(peer.events()[..], [Event::Joined]));
}

#[test]
fn r_trans_5_a_star_without_challenge_is_refused_unless_configured() {
    let mut strict = Peer::home();
    strict.answer(&CallTag::Join, "[null,null,[]]");
    assert!(matches!(strict.failure(), Error::ChallengeDisabled));
    let mut lax = Peer::new(|c| c.challenge = Challenge::Optional, Purpose::Home);
    lax.answer(&CallTag::Join, "[null,null,[]]");
    assert!(matches!(lax.events()[..], [Event::Joined]));
}

#[test]
fn r_trans_5_only_a_challenge_is_signed_and_only_once() {
    for (answers, violation) in [
        (&[r#"[null,"sign this"]"#][..], Violation::Challenge),
        (&["{}"], Violation::Answer),
        (&["[null"], Violation::Answer),
        (&[CHALLENGED, CHALLENGED], Violation::SecondChallenge),
    ] {
        let mut peer = Peer::home();
        for answer in answers {
            peer.answer(&CallTag::Join, answer);
        }
        let error = peer.failure();
        assert!(
            matches!(error, Error::Protocol(found) if found == violation),
            "{answers:?}: {error}"
        );
    }
}

#[test]
fn r_trans_4_a_join_that_nobody_answers_fails_at_its_deadline() {
    let mut peer = Peer::home();
    assert_eq!(
        peer.star.next_deadline(),
        Some(peer.now + Duration::from_secs(8))
    );
    peer.pass(Duration::from_secs(8));
    assert!(matches!(peer.failure(), Error::Deadline(Stage::Join)));
    assert_eq!(peer.star.next_deadline(), None);
}

#[test]
fn r_trans_4_refusals_of_a_join_keep_their_kind() {
    let mut peer = Peer::home();
    peer.answer(&CallTag::Join, r#"["Star is full"]"#);
    assert!(matches!(
        peer.failure(),
        Error::JoinRefused(Refusal::StarFull)
    ));
    let mut peer = Peer::home();
    peer.answer(&CallTag::Join, r#"["no\u0007way"]"#);
    let error = peer.failure();
    assert!(matches!(&error, Error::JoinRefusedOther(words) if &**words == "noway"));
}

#[test]
fn r_trans_9_a_dial_uses_the_address_that_the_peer_has_announced() {
    let mut peer = Peer::home().joined();
    let (other, _) = someone();
    let announced = format!("/dns4/alias/tcp/1/ws/p2p-websocket-star/ipfs/{other}");
    peer.event("ws-peer", &format!(r#"["{announced}"]"#));
    let deadline = peer.now + Duration::from_secs(20);
    peer.star.dial(dial_id("x"), other, deadline);
    let stranger = PeerId::random();
    peer.star.dial(dial_id("y"), stranger, deadline);
    let targets: Vec<_> = peer
        .commands()
        .into_iter()
        .map(|command| match command {
            Command::Call(CallTag::Dial(_), Call::Legacy(legacy::Call::Dial { from, to, .. })) => {
                assert_eq!(from, peer.own_address());
                to
            }
            other @ (Command::Call(..) | Command::Emit(_) | Command::Answer(..)) => {
                panic!("{other:?}")
            }
        })
        .collect();
    let unknown = format!("/ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star/ipfs/{stranger}");
    assert_eq!(targets, [announced, unknown]);
}

#[test]
fn r_trans_10_answers_to_a_dial_keep_their_kind() {
    type IsExpected = fn(&Error) -> bool;
    let cases: [(&str, IsExpected); 4] = [
        (r#"["Peer not found"]"#, |e| {
            matches!(e, Error::PeerNotFound)
        }),
        (r#"["Dial timed out"]"#, |e| {
            matches!(e, Error::Refused(Refusal::DialTimeout))
        }),
        (
            r#"["busy"]"#,
            |e| matches!(e, Error::RefusedByPeer(words) if &**words == "busy"),
        ),
        ("{}", |e| matches!(e, Error::Protocol(Violation::Answer))),
    ];
    for (answer, is_expected) in cases {
        let mut peer = Peer::home().joined();
        let deadline = peer.now + Duration::from_secs(20);
        peer.star.dial(dial_id("x"), PeerId::random(), deadline);
        peer.answer(&CallTag::Dial(dial_id("x")), answer);
        match &peer.events()[..] {
            [Event::Dialed(_, Err(error))] => assert!(is_expected(error), "{answer}: {error}"),
            other => panic!("{answer}: {other:?}"),
        }
        assert!(!peer.star.has_links());
    }
}

#[test]
fn r_trans_10_a_dial_that_is_answered_too_late_is_reset() {
    let mut peer = Peer::home().joined();
    let deadline = peer.now + Duration::from_secs(20);
    peer.star.dial(dial_id("x"), PeerId::random(), deadline);
    peer.commands();
    peer.pass(Duration::from_secs(20));
    assert!(matches!(
        peer.events()[..],
        [Event::Dialed(_, Err(Error::Deadline(Stage::Dial)))]
    ));
    peer.answer(&CallTag::Dial(dial_id("x")), "[]");
    let commands = peer.commands();
    let [Command::Emit(Call::Legacy(legacy::Call::StreamError { stream, end }))] = &commands[..]
    else {
        panic!("{commands:?}");
    };
    assert_eq!(stream.to_string(), "x.dialer");
    assert_eq!(*end, StreamEnd::Error(RESET.into()));
    assert!(!peer.star.has_links());
}

#[test]
fn r_trans_14_inbound_dials_are_bounded_and_refused_as_busy() {
    let mut peer = Peer::new(|c| c.max_pending_inbound = 2, Purpose::Home).joined();
    let (_, from) = someone();
    for token in 0..3 {
        assert!(peer.incoming(token, &format!("d{token}"), &from));
    }
    assert_eq!(peer.events().len(), 2);
    assert_eq!(
        peer.commands(),
        [Command::Answer(Token(2), Err(BUSY))],
        "the third is too many"
    );
    assert!(peer.star.accept(&dial_id("d0")));
    peer.incoming(3, "d3", &from);
    assert_eq!(peer.events().len(), 1, "there is room again");
}

#[test]
fn r_trans_14_an_inbound_dial_that_the_swarm_leaves_lying_is_refused() {
    let mut peer = Peer::home().joined();
    let (_, from) = someone();
    peer.incoming(7, "x", &from);
    peer.events();
    peer.pass(Duration::from_secs(5));
    assert!(matches!(peer.events()[..], [Event::OfferExpired(_)]));
    assert_eq!(peer.commands(), [Command::Answer(Token(7), Err(BUSY))]);
    assert!(!peer.star.accept(&dial_id("x")), "it is gone");
    assert_eq!(peer.commands(), []);
}

#[test]
fn r_trans_14_senseless_inbound_dials_are_refused_with_their_reason() {
    let mut peer = Peer::home().joined();
    let (_, from) = someone();
    peer.incoming(0, "x", &from);
    peer.incoming(1, "x", &from);
    peer.incoming(2, "y", "nonsense");
    let own = peer.own_address();
    peer.incoming(3, "z", &own);
    let mut visitor = Peer::new(|_| {}, Purpose::Visit).joined();
    visitor.incoming(4, "x", &from);
    assert_eq!(
        [peer.commands(), visitor.commands()].concat(),
        [
            Command::Answer(Token(1), Err(Refusal::DuplicateDialId.text())),
            Command::Answer(Token(2), Err(Refusal::InvalidAddress.text())),
            Command::Answer(Token(3), Err(Refusal::DialSelf.text())),
            Command::Answer(Token(4), Err(NOT_LISTENING)),
        ]
    );
}

#[test]
fn r_trans_15_nothing_is_written_before_the_reader_has_accepted() {
    let mut peer = Peer::home().joined();
    let (_, from) = someone();
    let dial = dial_id("x");
    peer.incoming(0, "x", &from);
    assert!(peer.star.accept(&dial));
    peer.commands();
    peer.events();
    peer.star.write(&dial, Bytes::from_static(b"early"));
    assert_eq!(peer.commands(), []);
    peer.event("socket.io-pull-stream.accept.x.dialer", "[]");
    assert!(!peer.star.may_write(&dial), "that is not ours to write");
    peer.event("socket.io-pull-stream.accept.x.listener", "[]");
    assert!(matches!(peer.events()[..], [Event::Writable(_)]));
    peer.star.write(&dial, Bytes::from_static(b"now"));
    assert_eq!(peer.commands().len(), 1);
}

#[test]
fn r_trans_16_each_direction_ends_by_itself_and_then_the_link_is_gone() {
    let mut peer = Peer::home().joined();
    let dial = dial_id("x");
    open_link(&mut peer, &dial);
    peer.event("socket.io-pull-stream.error.x.listener", "[true]");
    assert!(matches!(
        peer.events()[..],
        [Event::Ended(_, StreamEnd::Clean)]
    ));
    assert!(peer.star.may_write(&dial), "the other direction goes on");
    peer.star.end(&dial, StreamEnd::Clean);
    assert!(!peer.star.has_links());
    peer.event("socket.io-pull-stream.error.x.listener", "[true]");
    assert!(peer.events().is_empty(), "it is over");
}

#[test]
fn r_trans_17_a_dropped_stream_is_reset_once() {
    let mut peer = Peer::home().joined();
    let dial = dial_id("x");
    open_link(&mut peer, &dial);
    peer.star.forget(&dial, RESET);
    peer.star.forget(&dial, RESET);
    let commands = peer.commands();
    let [Command::Emit(Call::Legacy(legacy::Call::StreamError { end, .. }))] = &commands[..] else {
        panic!("{commands:?}");
    };
    assert_eq!(*end, StreamEnd::Error(RESET.into()));
    assert!(!peer.star.has_links());
}

#[test]
fn r_trans_7_after_a_takeover_links_go_on_and_dials_do_not() {
    let mut peer = Peer::home().joined();
    open_link(&mut peer, &dial_id("x"));
    let evicted = format!(r#"["{}"]"#, peer.own_address());
    peer.event("ss-evicted", &evicted);
    assert!(matches!(peer.events()[..], [Event::TakenOver]));
    assert!(peer.star.may_write(&dial_id("x")));
    peer.star.dial(dial_id("y"), PeerId::random(), peer.now);
    assert!(matches!(
        peer.events()[..],
        [Event::Dialed(_, Err(Error::TakenOver))]
    ));
}

#[test]
fn r_trans_8_a_probe_that_nobody_answers_ends_the_connection() {
    let mut peer = Peer::home().joined();
    peer.star.probe(&dial_id("p"), peer.now);
    assert_eq!(peer.commands().len(), 1);
    peer.answer(&CallTag::Probe, r#"["Not authorized for this address"]"#);
    peer.pass(PROBE_DEADLINE);
    assert!(peer.events().is_empty(), "the star is there");
    peer.star.probe(&dial_id("q"), peer.now);
    peer.pass(PROBE_DEADLINE);
    assert!(matches!(peer.failure(), Error::Slept));
}

#[test]
fn events_that_make_no_sense_change_nothing() {
    let mut peer = Peer::home().joined();
    for (name, args) in [
        ("", "[]"),
        ("ws-peer", "[]"),
        ("ws-peer", r#"["/ip4/127.0.0.1"]"#),
        ("ws-peer", r#"[{"a":1}]"#),
        ("ss-incomming", "[]"),
        ("ss-incomming", r#"["x","/"]"#),
        ("socket.io-pull-stream.accept.nobody.dialer", "[]"),
        ("socket.io-pull-stream.queue.nobody.dialer", r#"["x"]"#),
        ("socket.io-pull-stream.error.nobody.dialer", "[true]"),
        ("disconnect", "[]"),
    ] {
        peer.event(name, args);
    }
    assert_eq!(peer.commands(), []);
    assert!(peer.events().is_empty());
    assert!(!peer.star.has_links());
}

/// A peer at a native star, joined.
fn native() -> Peer {
    let mut peer = Peer::home();
    let nonce = ClientNonce::from_random([7; 16]);
    let (config, address) = (Config::default(), peer.star.star.clone());
    let keypair = peer.keypair.clone();
    peer.star = Star::native(
        &config,
        keypair,
        address,
        Purpose::Home,
        None,
        nonce,
        peer.now,
    );
    let key = Keypair::generate_ed25519();
    let hello = Hello {
        star: key.public().to_peer_id(),
        challenge: Nonce32([1; 32]),
        expires: 1,
        openness: Openness::Proven,
        grace: Duration::ZERO,
        hosts: Vec::new(),
    };
    peer.event("star-hello", &hello.sign(&key, &nonce).unwrap().encode());
    peer.star.trust();
    let joined = native::Reply::Joined {
        is_resumed: false,
        pages: Vec::new(),
    };
    peer.answer(&CallTag::StarJoin, &joined.encode());
    assert!(matches!(
        peer.events()[..],
        [Event::Greeted(_), Event::Joined]
    ));
    peer.commands();
    peer
}

/// A star that says it again, later, must not upset the count of offers.
#[test]
fn a_pipe_that_is_offered_twice_is_one_offer() {
    let mut peer = native();
    let token = PipeToken::from_random([3; 32]);
    let offer = native::Event::Incoming {
        from: PeerId::random(),
        token,
        record: None,
    }
    .encode();
    peer.event(offer.name, &offer.args);
    peer.pass(Duration::from_secs(1));
    peer.event(offer.name, &offer.args);
    assert!(matches!(peer.events()[..], [Event::PipeOffered(..)]));
    assert_eq!(peer.star.n_offers, 1);
    peer.star.pipe_accepted(&token);
    peer.pass(Duration::from_secs(60));
    assert_eq!(peer.star.n_offers, 0);
    assert!(matches!(peer.events()[..], []), "it was taken");
}
