//! The native profile: joins, presence, grace, and legacy peers beside it.

mod pipes;
mod private;
mod quotas;
mod slots;

use libp2p_identity::PeerId;
use starpoint_wire::native::{
    self, BATCH_CHANGES, FIRST_PAGE_PEERS, Hello, HostPattern, JoinCall, JoinTerms, Namespace,
    Page, PeerRecord, PipeToken, PresenceBatch, StarHost, Sync,
};

use super::*;
use crate::{PipeId, PipeSide};

const UNIX_NOW: u64 = 1_800_000_000;
const GRACE: Duration = quota::GRACE;

fn id(peer: u8) -> PeerId {
    keypair(peer).public().to_peer_id()
}

fn text(peer: u8) -> String {
    id(peer).to_base58()
}

fn token(n: u8) -> PipeToken {
    PipeToken::from_random([n; 32])
}

fn default_space() -> Vec<Namespace> {
    vec![Namespace::default()]
}

fn host(text: &str) -> StarHost {
    StarHost::parse(text).expect("a host and a port")
}

fn terms(hello: &Hello) -> JoinTerms {
    JoinTerms {
        star: hello.star,
        challenge: hello.challenge,
        expires: hello.expires,
    }
}

/// A join whose signature is still to be made.
fn unsigned_join(peer: u8, namespaces: Vec<Namespace>) -> JoinCall {
    JoinCall {
        key: Vec::new(),
        signature: Vec::new(),
        host: host("star.example:443"),
        address: Some(address(peer)),
        namespaces,
        record: PeerRecord::new(&[peer; 8]),
    }
}

fn signed(join: JoinCall, peer: u8, hello: &Hello) -> JoinCall {
    let signed = join.sign(&terms(hello), &keypair(peer));
    signed.expect("Ed25519 always signs")
}

fn native_join(peer: u8, hello: &Hello, namespaces: Vec<Namespace>) -> JoinCall {
    signed(unsigned_join(peer, namespaces), peer, hello)
}

impl Star {
    fn greeted(&mut self) -> (ConnId, Hello) {
        self.greeted_from(1_000 + self.last_conn)
    }

    fn greeted_from(&mut self, source: u64) -> (ConnId, Hello) {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        self.broker.handle(
            Input::Connected {
                conn,
                source: SourceId(source),
                offer: Offer::Native { unix_now: UNIX_NOW },
            },
            self.now,
        );
        let commands = self.drain();
        let [
            Command::Send {
                message: Message::Hello(hello),
                ..
            },
        ] = &commands[..]
        else {
            panic!("no hello first: {commands:?}")
        };
        (conn, (**hello).clone())
    }

    fn star_reply(&mut self, conn: ConnId, call: native::Call) -> native::Reply {
        let (ack, commands) = self.ask(conn, Call::Native(call));
        star_reply_in(&commands, conn, ack).expect("an answer")
    }

    fn join_as(&mut self, conn: ConnId, join: JoinCall) -> native::Reply {
        self.star_reply(conn, native::Call::Join(Box::new(join)))
    }

    /// A connection that has joined natively, in the default namespace.
    fn native(&mut self, peer: u8) -> ConnId {
        self.native_in(peer, default_space()).0
    }

    /// The same, from a source.
    fn native_from(&mut self, source: u64, peer: u8) -> ConnId {
        let (conn, hello) = self.greeted_from(source);
        let join = native_join(peer, &hello, default_space());
        let reply = self.join_as(conn, join);
        assert!(matches!(reply, native::Reply::Joined { .. }), "{reply:?}");
        conn
    }

    fn native_in(&mut self, peer: u8, namespaces: Vec<Namespace>) -> (ConnId, bool, Vec<Page>) {
        let (conn, hello) = self.greeted();
        let reply = self.join_as(conn, native_join(peer, &hello, namespaces));
        let native::Reply::Joined { is_resumed, pages } = reply else {
            panic!("refused: {reply:?}")
        };
        (conn, is_resumed, pages)
    }

    fn star_dial(&mut self, conn: ConnId, to: u8, token: PipeToken) -> (AckId, Vec<Command>) {
        self.ask(conn, Call::Native(native::Call::Dial { to: id(to), token }))
    }

    /// Opens a side of a pipe.
    fn arrive(&mut self, token: &PipeToken) -> (Result<(PipeId, PipeSide), Refusal>, Vec<Command>) {
        let input = Input::PipeArrived {
            arrival: ArrivalId(1),
            token: Some(*token),
        };
        self.broker.handle(input, self.now);
        let mut commands = self.drain();
        let result = match commands.remove(0) {
            Command::PlacePipe { pipe, side, .. } => Ok((pipe, side)),
            Command::RefusePipe { refusal, .. } => Err(refusal),
            other @ (Command::Send { .. }
            | Command::Verify { .. }
            | Command::OpenPipe { .. }
            | Command::DropPipe { .. }
            | Command::CutPipe { .. }
            | Command::Pause { .. }
            | Command::Resume { .. }
            | Command::Close { .. }) => panic!("{other:?} before the place of an arrival"),
        };
        (result, commands)
    }

    /// An open pipe.
    fn open_pipe(&mut self, from: ConnId, to: u8, n: u8) -> PipeId {
        let (_, commands) = self.star_dial(from, to, token(n));
        let (_, _, for_callee) = incoming(&commands).expect("the callee is told");
        self.arrive(&token(n)).0.expect("the dialer's side");
        self.arrive(&for_callee).0.expect("the callee's side").0
    }

    fn silent(&mut self, conn: ConnId) -> Vec<Command> {
        self.broker.handle(
            Input::Disconnected {
                conn,
                ending: Ending::Silent,
            },
            self.now,
        );
        self.drain()
    }
}

fn star_reply_in(commands: &[Command], to: ConnId, number: AckId) -> Option<native::Reply> {
    commands.iter().find_map(|command| {
        let Command::Send {
            conn,
            message: Message::NativeReply(ack, reply),
        } = command
        else {
            return None;
        };
        ((*conn, *ack) == (to, number)).then(|| reply.clone())
    })
}

/// Returns the native events with their receivers.
fn star_events(commands: &[Command]) -> impl Iterator<Item = (ConnId, native::Event)> {
    commands.iter().filter_map(|command| {
        let Command::Send {
            conn,
            message: Message::NativeEvent(event),
        } = command
        else {
            return None;
        };
        let event = native::Event::decode(event.name, &event.args);
        Some((*conn, event.expect("an event reads back")))
    })
}

fn incoming(commands: &[Command]) -> Option<(ConnId, PeerId, PipeToken)> {
    star_events(commands).find_map(|(conn, event)| {
        let native::Event::Incoming { from, token, .. } = event else {
            return None;
        };
        Some((conn, from, token))
    })
}

/// Returns the batches that a connection got.
fn batches(commands: &[Command], to: ConnId) -> Vec<PresenceBatch> {
    star_events(commands)
        .filter(|(conn, _)| *conn == to)
        .filter_map(|(_, event)| match event {
            native::Event::Presence(batch) => Some(batch),
            native::Event::Hello(_) | native::Event::Incoming { .. } => None,
        })
        .collect()
}

fn names(ids: &[std::sync::Arc<str>]) -> Vec<String> {
    ids.iter().map(|id| id.to_string()).collect()
}

fn refused(reply: native::Reply) -> Refusal {
    let native::Reply::Refused { refusal, .. } = reply else {
        panic!("not refused: {reply:?}")
    };
    refusal
}

#[test]
fn r_native_2_a_connection_that_has_not_offered_it_does_not_speak_it() {
    let mut star = Star::guarded();
    let legacy = star.joined(1);
    let commands = star.tell(legacy, Call::Native(native::Call::Leave));
    assert_eq!(commands, []);
    let (_, commands) = star.star_dial(legacy, 2, token(1));
    assert_eq!(commands, []);
    assert_eq!(star.broker.counters().malformed[&CallKind::Unknown], 2);
    let kind = CallKind::StarJoin;
    let (_, commands) = star.ask_raw(legacy, Err(CallError { kind }));
    assert_eq!(commands, []);
    assert_eq!(star.broker.counters().malformed[&CallKind::Unknown], 3);
}

#[test]
fn r_native_5_what_cannot_be_read_is_refused_in_the_words_of_its_profile() {
    let mut star = Star::guarded();
    let conn = star.native(1);
    for kind in [
        CallKind::StarJoin,
        CallKind::StarPeers,
        CallKind::StarDial,
        CallKind::StarRefuse,
    ] {
        let (ack, commands) = star.ask_raw(conn, Err(CallError { kind }));
        let reply = star_reply_in(&commands, conn, ack).expect("an answer");
        assert_eq!(refused(reply), Refusal::InvalidArguments, "{kind:?}");
        assert_eq!(star.broker.counters().malformed[&kind], 1);
    }
    let kind = CallKind::Join;
    let (ack, commands) = star.ask_raw(conn, Err(CallError { kind }));
    let refused = legacy::Reply::Refused(Refusal::InvalidArguments);
    assert_eq!(commands, [reply(conn, ack, refused)]);
}

#[test]
fn r_native_4_a_join_is_one_call_and_its_proof_is_bound() {
    let mut star = Star::guarded();
    let (conn, hello) = star.greeted();
    assert_eq!(hello.star, star_key().public().to_peer_id());
    assert_eq!(hello.expires, UNIX_NOW + 60);
    let join = native_join(1, &hello, default_space());
    let reply = star.join_as(conn, join.clone());
    assert!(matches!(
        reply,
        native::Reply::Joined {
            is_resumed: false,
            ..
        }
    ));
    assert_eq!(star.gauges().peers, 1);
    // The same proof on another connection, and a second join on this one.
    let (other, other_hello) = star.greeted();
    assert_ne!(hello.challenge, other_hello.challenge);
    assert_eq!(
        refused(star.join_as(other, join.clone())),
        Refusal::SignatureInvalid
    );
    assert_eq!(refused(star.join_as(conn, join)), Refusal::AlreadyJoined);
}

#[test]
fn r_native_5_a_challenge_dies_with_its_first_answer_and_with_time() {
    let mut star = Star::guarded();
    let (conn, hello) = star.greeted();
    let good = native_join(1, &hello, default_space());
    let mut bad = good.clone();
    bad.signature[0] ^= 1;
    assert_eq!(refused(star.join_as(conn, bad)), Refusal::SignatureInvalid);
    assert_eq!(refused(star.join_as(conn, good)), Refusal::AlreadyJoined);
    let (late, hello) = star.greeted();
    star.advance(60 * SECOND);
    let join = native_join(1, &hello, default_space());
    assert_eq!(refused(star.join_as(late, join)), Refusal::ChallengeExpired);
}

#[test]
fn r_native_5_the_address_must_be_ones_own() {
    let mut star = Star::guarded();
    let (conn, hello) = star.greeted();
    let mut join = unsigned_join(1, default_space());
    join.address = Some(address(2));
    let join = signed(join, 1, &hello);
    assert_eq!(refused(star.join_as(conn, join)), Refusal::IdMismatch);
    let (conn, hello) = star.greeted();
    let mut join = native_join(1, &hello, default_space());
    join.key = vec![1, 2, 3];
    assert_eq!(refused(star.join_as(conn, join)), Refusal::InvalidKey);
}

#[test]
fn r_native_4_nothing_in_a_join_can_be_changed_on_its_way() {
    let mut star = Star::guarded();
    let changes: [fn(&mut JoinCall); 5] = [
        |join| join.host = host("evil.example:443"),
        |join| join.address = None,
        |join| join.address = Some(address(1).replace("443", "444")),
        |join| join.namespaces.clear(),
        |join| join.record = None,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (conn, hello) = star.greeted();
        let mut join = native_join(1, &hello, default_space());
        let before = join.clone();
        change(&mut join);
        assert_ne!(join, before, "change {number}");
        let refusal = refused(star.join_as(conn, join));
        assert_eq!(refusal, Refusal::SignatureInvalid, "change {number}");
    }
    assert_eq!(star.gauges().peers, 0);
}

#[test]
fn r_native_15_a_join_at_a_host_that_is_not_the_stars_is_refused() {
    let hosts = ["star.example", "[2001:db8::1]:9090"];
    let hosts = hosts.map(|text| HostPattern::parse(text).expect("a host"));
    let mut star = Star::with(Config {
        hosts: hosts.to_vec(),
        ..config()
    });
    for (text, is_own) in [
        ("star.example:443", true),
        ("[2001:db8::1]:9090", true),
        ("[2001:db8::1]:80", false),
        ("evil.example:443", false),
    ] {
        let (conn, hello) = star.greeted();
        assert_eq!(hello.hosts, hosts);
        let mut join = unsigned_join(1, default_space());
        join.host = host(text);
        let reply = star.join_as(conn, signed(join, 1, &hello));
        let is_let_in = matches!(reply, native::Reply::Joined { .. });
        assert_eq!(is_let_in, is_own, "{text}: {reply:?}");
        if let native::Reply::Refused { refusal, retry } = reply {
            assert_eq!((refusal, retry), (Refusal::WrongHost, None));
        }
    }
    // Nobody was asked to verify what is refused anyway, and nobody is displaced.
    assert_eq!(star.gauges().peers, 1);
    assert_eq!(star.broker.counters().takeovers, 1);
}

#[test]
fn r_native_9_a_newer_join_takes_over_and_the_older_one_is_told() {
    let mut star = Star::guarded();
    let reader = star.native(9);
    let old = star.native(1);
    star.advance(SECOND);
    let (conn, hello) = star.greeted();
    let join = native::Call::Join(Box::new(native_join(1, &hello, default_space())));
    let (_, commands) = star.ask(conn, Call::Native(join));
    let evicted = events(&commands, old).any(|e| matches!(e, legacy::Event::Evicted { .. }));
    assert!(evicted);
    let commands = star.advance(10 * SECOND);
    assert_eq!(batches(&commands, reader), [], "nobody has come or gone");
    // What the older one does and that it goes changes nothing any more.
    star.disconnect(old);
    assert_eq!(batches(&star.advance(60 * SECOND), reader), []);
    assert_eq!(star.gauges().peers, 2);
}

#[test]
fn r_native_10_a_visitor_dials_and_is_not_here() {
    let mut star = Star::guarded();
    let home = star.native(1);
    star.advance(SECOND);
    let (visitor, hello) = star.greeted();
    let mut join = unsigned_join(2, default_space());
    join.address = None;
    let join = signed(join, 2, &hello);
    let reply = star.join_as(visitor, join);
    assert_eq!(
        reply,
        native::Reply::Joined {
            is_resumed: false,
            pages: vec![]
        }
    );
    assert_eq!(star.gauges().peers, 1);
    assert_eq!(batches(&star.advance(10 * SECOND), home), []);
    star.open_pipe(visitor, 1, 7);
    let (ack, commands) = star.star_dial(home, 2, token(8));
    let reply = star_reply_in(&commands, home, ack).expect("an answer");
    assert_eq!(refused(reply), Refusal::PeerNotFound);
}

#[test]
fn r_pres_1_joins_and_leaves_are_told_once_and_nothing_else_is() {
    let mut star = Star::guarded();
    let reader = star.native(1);
    star.advance(SECOND);
    let other = star.native(2);
    let commands = star.advance(SECOND);
    let told = batches(&commands, reader);
    assert_eq!(told.len(), 1);
    assert_eq!(names(&told[0].joined), [text(2)]);
    assert_eq!(star.advance(3600 * SECOND), [], "an idle star is silent");
    star.tell(other, Call::Native(native::Call::Leave));
    let told_next = batches(&star.advance(SECOND), reader);
    assert_eq!(names(&told_next[0].left), [text(2)]);
    assert_eq!(told_next[0].seq, told[0].seq + 1);
}

#[test]
fn r_pres_2_the_answer_to_a_join_has_the_first_page_and_others_follow() {
    let mut star = Star::guarded();
    for peer in 1..=100 {
        star.native(peer);
    }
    let (conn, _, pages) = star.native_in(200, default_space());
    let [page] = &pages[..] else {
        panic!("one namespace")
    };
    assert_eq!((page.total, page.peers.len()), (101, FIRST_PAGE_PEERS));
    let mut all: Vec<_> = page.ids().collect();
    let call = native::Call::Peers {
        namespace: Namespace::default(),
        after: page.next,
    };
    let native::Reply::Page(rest) = star.star_reply(conn, call) else {
        panic!("a page")
    };
    assert_eq!(rest.next, None);
    all.extend(rest.ids());
    let mut expected: Vec<_> = (1..=100).chain([200]).map(id).collect();
    expected.sort();
    assert_eq!(all, expected);
}

#[test]
fn r_pres_3_namespaces_do_not_see_each_other() {
    let mut star = Star::guarded();
    let space = |name: &str| Namespace::parse(name).expect("a name");
    let (red, _, _) = star.native_in(1, vec![space("red")]);
    let (blue, _, pages) = star.native_in(2, vec![space("blue")]);
    assert_eq!(pages[0].peers.len(), 1, "oneself");
    star.advance(SECOND);
    star.native_in(3, vec![space("red"), space("green")]);
    let commands = star.advance(SECOND);
    assert_eq!(batches(&commands, red).len(), 1);
    assert_eq!(batches(&commands, blue), []);
    let call = native::Call::Peers {
        namespace: space("green"),
        after: None,
    };
    assert_eq!(refused(star.star_reply(blue, call)), Refusal::NotAuthorized);
    // Known by its id it can be dialed all the same.
    star.open_pipe(blue, 3, 1);
}

#[test]
fn r_pres_4_a_storm_costs_a_reader_a_bounded_number_of_batches() {
    let mut star = Star::guarded();
    let reader = star.native(1);
    star.advance(SECOND);
    let before = star.broker.counters().presence_batches;
    for round in 0..10 {
        for peer in 2..=200 {
            let conn = star.native(peer);
            star.tell(conn, Call::Native(native::Call::Leave));
        }
        let _ = round;
        star.advance(SECOND / 10);
    }
    let told = batches(&star.advance(10 * SECOND), reader);
    assert!(told.len() <= 1, "{told:?}");
    let n_batches = star.broker.counters().presence_batches - before;
    assert!(n_batches <= 11, "{n_batches} batches in a second");
    assert!(
        told.iter()
            .all(|b| b.joined.len() + b.left.len() <= BATCH_CHANGES)
    );
}

#[test]
fn r_pres_4_what_a_page_told_ahead_of_a_batch_is_not_left_out_of_it() {
    let mut star = Star::guarded();
    star.native(1);
    let stays = star.native(2);
    star.advance(SECOND);
    star.tell(stays, Call::Native(native::Call::Leave));
    let passes = star.native(3);
    // The page knows of the third, and not of the second.
    let (reader, _, pages) = star.native_in(4, default_space());
    let mut told: Vec<_> = pages[0].ids().collect();
    told.sort();
    let mut expected = [id(1), id(3), id(4)];
    expected.sort();
    assert_eq!(told, expected);
    star.tell(passes, Call::Native(native::Call::Leave));
    star.native(2);
    let told = batches(&star.advance(SECOND), reader);
    assert_eq!(told.len(), 1);
    assert!(names(&told[0].joined).contains(&text(2)));
    assert_eq!(names(&told[0].left), [text(3)]);
}

#[test]
fn r_pres_5_the_more_readers_the_longer_between_batches() {
    let mut star = Star::guarded();
    let readers: Vec<_> = (1..=250).map(|peer| star.native(peer)).collect();
    star.advance(10 * SECOND);
    let other = star.native(251);
    assert_eq!(
        batches(&star.advance(SECOND), readers[0]).len(),
        1,
        "at once"
    );
    star.tell(other, Call::Native(native::Call::Leave));
    star.native(252);
    let commands = star.advance(10 * SECOND);
    assert_eq!(batches(&commands, readers[0]).len(), 1, "together");
}

#[test]
fn r_pres_6_who_comes_back_in_time_was_never_gone() {
    let mut star = Star::guarded();
    let reader = star.native(1);
    let lost = star.native(2);
    star.advance(SECOND);
    star.disconnect(lost);
    assert_eq!(batches(&star.advance(GRACE - SECOND), reader), []);
    let (ack, commands) = star.star_dial(reader, 2, token(1));
    let reply = star_reply_in(&commands, reader, ack).expect("an answer");
    assert!(matches!(
        reply,
        native::Reply::Refused {
            refusal: Refusal::PeerGone,
            retry: Some(_)
        }
    ));
    let (_, is_resumed, _) = star.native_in(2, default_space());
    assert!(is_resumed);
    assert_eq!(batches(&star.advance(60 * SECOND), reader), []);
}

#[test]
fn r_pres_6_who_does_not_come_back_has_left_after_the_grace() {
    let mut star = Star::guarded();
    let reader = star.native(1);
    let lost = star.native(2);
    star.advance(SECOND);
    star.disconnect(lost);
    star.advance(GRACE - SECOND);
    let told = batches(&star.advance(2 * SECOND), reader);
    assert_eq!(names(&told[0].left), [text(2)]);
    let silent = star.native(3);
    star.advance(SECOND);
    star.silent(silent);
    let told = batches(&star.advance(SECOND), reader);
    assert_eq!(names(&told[0].left), [text(3)], "silence was grace enough");
}

#[test]
fn r_pres_7_a_slow_reader_is_told_that_it_has_missed_something() {
    let mut star = Star::guarded();
    let reader = star.native(1);
    star.advance(SECOND);
    star.stop_reading(reader);
    let mut n_got = 0;
    for peer in 2..=250 {
        star.native(peer);
        n_got += batches(&star.advance(SECOND), reader).len();
    }
    assert!(n_got < 249, "it got what it does not read: {n_got}");
    let mut commands = star.read_on(reader);
    commands.extend(star.advance(SECOND));
    let told = batches(&commands, reader);
    assert_eq!(told.last().map(|b| b.sync), Some(Sync::Lost));
    star.native(251);
    let told = batches(&star.advance(SECOND), reader);
    assert_eq!(told.last().map(|b| b.sync), Some(Sync::InOrder));
}

#[test]
fn r_pres_8_legacy_peers_are_in_the_default_namespace_and_hear_of_native_ones() {
    let mut star = Star::guarded();
    let native = star.native(1);
    star.advance(SECOND);
    let legacy = star.joined(2);
    let told = batches(&star.advance(SECOND), native);
    assert_eq!(names(&told[0].joined), [text(2)]);
    let conn = star.conn();
    let legacy::Reply::Joined(others) = star.join(conn, 3) else {
        panic!("it joins")
    };
    assert!(others.contains(&address(1)));
    star.advance(60 * SECOND);
    // A native peer that comes later is announced; one in another namespace is not.
    let (_, hello) = star.greeted();
    let conn = ConnId(star.last_conn);
    let join = native::Call::Join(Box::new(native_join(4, &hello, default_space())));
    let (_, commands) = star.ask(conn, Call::Native(join));
    assert!(commands.contains(&peer_event(legacy, &address(4))));
    let (conn, hello) = star.greeted();
    let elsewhere = vec![Namespace::parse("elsewhere").expect("a name")];
    let join = native::Call::Join(Box::new(native_join(5, &hello, elsewhere)));
    let (_, mut commands) = star.ask(conn, Call::Native(join));
    commands.extend(star.advance(60 * SECOND));
    assert!(!commands.contains(&peer_event(legacy, &address(5))));
    assert!(
        events(&commands, native).next().is_none(),
        "natives get no ws-peer"
    );
    star.disconnect(legacy);
    let told = batches(&star.advance(SECOND), native);
    assert_eq!(names(&told[0].left), [text(2)]);
}

#[test]
fn namespaces_that_nobody_is_in_are_forgotten() {
    let mut star = Star::guarded();
    let space = Namespace::parse("short-lived").expect("a name");
    let (conn, _, _) = star.native_in(1, vec![space]);
    assert_eq!(star.broker.spaces.len(), 1);
    star.tell(conn, Call::Native(native::Call::Leave));
    assert_eq!(star.broker.spaces.len(), 0);
    assert_eq!(star.gauges().peers, 0);
}
