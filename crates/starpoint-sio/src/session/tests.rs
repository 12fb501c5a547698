mod hostile;
mod time;

use proptest::prelude::*;

use super::*;

/// The open packet of the original star, and one of a star that speaks both.
const OPEN_3: &str =
    r#"0{"sid":"kTmu_kNHXeKmQcBsAAAB","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;
const OPEN_4: &str = r#"0{"sid":"mJXPR8kvki2N61ntAAAB","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100000000}"#;
const CONNECT_4: &str = r#"40{"sid":"wVhnIuOIiZv2aymNAAAA"}"#;

const ENGINES: [EngineVersion; 2] = [EngineVersion::V3, EngineVersion::V4];

/// A session and its clock, which stands unless it is moved.
struct World {
    session: Session,
    now: Instant,
}

impl World {
    fn new(engine: EngineVersion) -> Self {
        let now = Instant::now();
        let config = Config {
            engine,
            max_message_bytes: 1_000_000,
            ..Config::default()
        };
        Self {
            session: Session::new(&config, now),
            now,
        }
    }

    /// A session after the handshake, with nothing left to do.
    fn connected(engine: EngineVersion) -> Self {
        let mut world = Self::new(engine);
        match engine {
            EngineVersion::V3 => {
                world.text(OPEN_3);
                world.text("40");
            }
            EngineVersion::V4 => {
                world.text(OPEN_4);
                assert_eq!(world.sent(), [text("40")]);
                world.text(CONNECT_4);
            }
        }
        assert!(matches!(world.session.poll(), Output::Connected));
        world
    }

    fn text(&mut self, text: &str) {
        self.frame(Frame::Text(text.into()));
    }

    fn binary(&mut self, bytes: &[u8]) {
        self.frame(Frame::Binary(bytes.to_vec().into()));
    }

    fn frame(&mut self, frame: Frame) {
        self.session.handle_frame(frame, self.now);
    }

    fn sent(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.session.poll_frame()).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            match self.session.poll() {
                Output::Event(event) => events.push(event),
                Output::Connected => {}
                Output::Closed(_) | Output::Wait(_) => return events,
            }
        }
    }

    fn closed(&self) -> &Closed {
        self.session.closed().expect("the session is over")
    }
}

fn text(text: &str) -> Frame {
    Frame::Text(text.into())
}

fn binary(bytes: &[u8]) -> Frame {
    Frame::Binary(bytes.to_vec().into())
}

fn event(name: &str, args: &str, ack: Option<u64>) -> Event {
    Event::Event {
        name: name.into(),
        args: args.into(),
        attachments: vec![],
        ack: ack.map(AckId),
    }
}

fn answer(id: AckId, args: &str) -> Event {
    Event::Ack {
        id,
        args: args.into(),
        attachments: vec![],
    }
}

#[test]
fn r_sio_2_engine_3_waits_for_the_namespace() {
    let mut world = World::new(EngineVersion::V3);
    world.text(OPEN_3);
    assert!(matches!(world.session.poll(), Output::Wait(Some(_))));
    assert_eq!(world.sent(), []);
    world.text("40");
    assert!(matches!(world.session.poll(), Output::Connected));
    assert_eq!(world.sent(), []);
    assert_eq!(world.session.max_payload(), None);
}

#[test]
fn r_sio_2_engine_4_asks_for_the_namespace() {
    let mut world = World::new(EngineVersion::V4);
    world.text(OPEN_4);
    assert_eq!(world.sent(), [text("40")]);
    world.text(CONNECT_4);
    assert!(matches!(world.session.poll(), Output::Connected));
    assert_eq!(world.session.max_payload(), Some(100_000_000));
}

#[test]
fn r_sio_2_a_server_of_version_3_is_told_from_one_of_version_4() {
    let mut world = World::new(EngineVersion::V4);
    world.text(OPEN_3);
    world.text("40");
    assert!(matches!(
        world.closed(),
        Closed::Protocol(Violation::EngineVersion)
    ));
}

#[test]
fn r_sio_3_the_recorded_join_is_spoken() {
    for engine in ENGINES {
        let mut world = World::connected(engine);
        let first = world.session.call("ss-join", r#"["/a","0801"]"#, vec![]);
        let second = world.session.call("ss-join", r#"["/a","sig"]"#, vec![]);
        assert_eq!(
            world.sent(),
            [
                text(r#"420["ss-join","/a","0801"]"#),
                text(r#"421["ss-join","/a","sig"]"#)
            ]
        );
        world.text(r#"430[null,"nonce"]"#);
        world.text("431[null,null,[]]");
        assert_eq!(
            world.events(),
            [
                answer(first, r#"[null,"nonce"]"#),
                answer(second, "[null,null,[]]")
            ]
        );
    }
}

#[test]
fn r_sio_3_the_recorded_dial_is_spoken() {
    for engine in ENGINES {
        let mut world = World::connected(engine);
        world.text(r#"420["ss-incomming","dial-3","/a"]"#);
        world.text(r#"42["socket.io-pull-stream.accept.dial-3.dialer"]"#);
        world.text(r#"42 ["ws-peer" , "/a" ]"#);
        assert_eq!(
            world.events(),
            [
                event("ss-incomming", r#"["dial-3","/a"]"#, Some(0)),
                event("socket.io-pull-stream.accept.dial-3.dialer", "[]", None),
                event("ws-peer", r#"[ "/a" ]"#, None),
            ]
        );
        world.session.acknowledge(AckId(0), "[]");
        world.session.acknowledge(AckId(7), r#"["busy"]"#);
        world.session.emit("ss-leave", r#" [ "/a" ] "#, vec![]);
        world.session.emit("grüße\"", "[]", vec![]);
        assert_eq!(
            world.sent(),
            [
                text("430[]"),
                text(r#"437["busy"]"#),
                text(r#"42["ss-leave","/a"]"#),
                text(r#"42["grüße\""]"#)
            ]
        );
    }
}

#[test]
fn r_sio_4_attachments_have_the_form_of_the_version() {
    const HEADER: &str = r#"451-["queue",{"_placeholder":true,"num":0}]"#;
    for (engine, frame) in [
        (EngineVersion::V3, &b"\x04hello"[..]),
        (EngineVersion::V4, b"hello"),
    ] {
        let mut world = World::connected(engine);
        let chunk = Bytes::from_static(b"hello");
        let args = r#"[{"_placeholder":true,"num":0}]"#;
        world.session.emit("queue", args, vec![chunk.clone()]);
        assert_eq!(world.sent(), [text(HEADER), binary(frame)]);

        world.text(HEADER);
        assert_eq!(world.events(), []);
        world.binary(frame);
        assert_eq!(
            world.events(),
            [Event::Event {
                name: "queue".into(),
                args: args.into(),
                attachments: vec![chunk],
                ack: None
            }]
        );
    }
}

#[test]
fn r_sio_4_answers_may_have_attachments_and_packets_may_have_none() {
    let mut world = World::connected(EngineVersion::V4);
    let id = world.session.call("get", "[]", vec![]);
    world.text(r#"462-0[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#);
    world.binary(b"a");
    world.binary(b"");
    world.text(r#"450-12["none"]"#);
    let events = world.events();
    let Event::Ack {
        id: answered,
        attachments,
        ..
    } = &events[0]
    else {
        panic!("{events:?}")
    };
    assert_eq!(*answered, id);
    assert_eq!(attachments, &["a", ""]);
    assert_eq!(events[1], event("none", "[]", Some(12)));
}

#[test]
fn r_sio_5_a_call_is_answered_at_most_once() {
    let mut world = World::connected(EngineVersion::V3);
    world.text("430[]");
    assert_eq!(world.events(), []);
    let id = world.session.call("a", "[]", vec![]);
    let forgotten = world.session.call("b", "[]", vec![]);
    world.session.forget(forgotten);
    world.text("430[]");
    world.text("430[]");
    world.text("431[]");
    world.text("4399[]");
    assert_eq!(world.events(), [answer(id, "[]")]);
    assert!(world.session.closed().is_none());
}

#[test]
fn r_sio_5_calls_without_an_answer_are_bounded() {
    let mut world = World::connected(EngineVersion::V3);
    let first = world.session.call("a", "[]", vec![]);
    let second = world.session.call("a", "[]", vec![]);
    for _ in 1..MAX_PENDING_CALLS {
        world.session.call("a", "[]", vec![]);
        world.sent();
    }
    assert_eq!(first, AckId(0));
    world.text("430[]");
    world.text("431[]");
    assert_eq!(world.events(), [answer(second, "[]")]);
}

#[test]
fn r_sio_9_the_queue_has_room_until_it_holds_its_bytes() {
    let mut world = World::connected(EngineVersion::V3);
    let chunk = Bytes::from(vec![0; 100_000]);
    for _ in 0..2 {
        assert!(world.session.has_room());
        world.session.emit("a", "[]", vec![chunk.clone()]);
    }
    assert!(world.session.has_room());
    world.session.emit("a", "[]", vec![chunk.clone()]);
    assert!(!world.session.has_room());
    world.sent();
    assert!(world.session.has_room());
}

#[test]
fn r_sio_10_an_orderly_end_sends_what_waits_and_the_disconnect() {
    for engine in ENGINES {
        let mut world = World::connected(engine);
        world.session.emit("a", "[]", vec![]);
        world.session.close();
        world.session.emit("too late", "[]", vec![]);
        assert_eq!(world.sent(), [text(r#"42["a"]"#), text("41")]);
        world.text(r#"42["ignored"]"#);
        world.text("garbage");
        assert_eq!(world.events(), []);
        assert!(world.session.closed().is_none());
    }
}

#[test]
fn r_sio_10_each_way_in_which_a_server_ends_is_told() {
    let mut world = World::connected(EngineVersion::V3);
    world.text("41");
    assert!(matches!(world.closed(), Closed::Disconnected));
    let mut world = World::connected(EngineVersion::V4);
    world.text("1");
    assert!(matches!(world.closed(), Closed::ByServer));
    for (frame, expected) in [
        (r#"44"Invalid\u0007 namespace""#, "Invalid namespace"),
        (r#"44{"message":"not today"}"#, "not today"),
        ("44{}", ""),
        ("44", ""),
    ] {
        let mut world = World::new(EngineVersion::V4);
        world.text(OPEN_4);
        world.text(frame);
        let Closed::Refused { reason } = world.closed() else {
            panic!("{:?}", world.closed())
        };
        assert_eq!(&**reason, expected);
    }
}

fn args() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("[]".to_owned()),
        Just(r#"[null,{"a":[1.5,"]"]},"[\"x\\"]"#.to_owned()),
        ".{0,30}".prop_map(|text| serde_json::to_string(&[text]).unwrap()),
    ]
}

fn chunks() -> impl Strategy<Value = Vec<Bytes>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..=4)
        .prop_map(|chunks| chunks.into_iter().map(Bytes::from).collect())
}

proptest! {
    /// An event has the same form both ways, so that one session can read what
    /// another writes.
    #[test]
    fn r_sio_3_packets_round_trip(name in ".{0,20}", args in args(), chunks in chunks()) {
        for engine in ENGINES {
            let mut from = World::connected(engine);
            let mut to = World::connected(engine);
            let id = from.session.call(&name, &args, chunks.clone());
            for frame in from.sent() {
                to.frame(frame);
            }
            prop_assert_eq!(to.events(), vec![Event::Event {
                name: name.clone(),
                args: args.clone(),
                attachments: chunks.clone(),
                ack: Some(id),
            }]);
            to.session.acknowledge(id, &args);
            for frame in to.sent() {
                from.frame(frame);
            }
            prop_assert_eq!(from.events(), vec![answer(id, &args)]);
        }
    }
}
