//! Servers that break the protocol.

use super::*;

fn violation(engine: EngineVersion, frames: &[Frame]) -> Violation {
    let mut world = World::connected(engine);
    for frame in frames {
        world.frame(frame.clone());
    }
    let Closed::Protocol(violation) = world.closed() else {
        panic!("{:?}", world.closed())
    };
    *violation
}

#[test]
fn r_sio_8_malformed_packets_end_the_session() {
    let huge_id = format!("42{}[\"a\"]", "9".repeat(40));
    for (packet, expected) in [
        ("", Violation::Packet),
        ("x", Violation::Packet),
        ("é", Violation::Packet),
        ("5", Violation::Packet),
        ("4", Violation::Packet),
        ("49", Violation::Packet),
        ("4é", Violation::Packet),
        ("45", Violation::Packet),
        ("45-[]", Violation::Packet),
        ("45x-[]", Violation::Packet),
        ("45+1-[]", Violation::Packet),
        ("43[]", Violation::Packet),
        (&huge_id, Violation::Packet),
        ("42", Violation::Arguments),
        ("42[]", Violation::Arguments),
        ("42[7]", Violation::Arguments),
        ("42[null,1]", Violation::Arguments),
        ("42{}", Violation::Arguments),
        (r#"42"a""#, Violation::Arguments),
        (r#"42["a",]"#, Violation::Arguments),
        (r#"42["a"1]"#, Violation::Arguments),
        (r#"42["a"]]"#, Violation::Arguments),
        (r#"42["a""#, Violation::Arguments),
        ("430", Violation::Arguments),
        ("430{}", Violation::Arguments),
        ("42/admin,[\"a\"]", Violation::Namespace),
        ("41/admin", Violation::Namespace),
        ("459-[]", Violation::TooManyAttachments),
        (
            "4599999999999999999999999-[]",
            Violation::TooManyAttachments,
        ),
        ("40", Violation::Unexpected),
        (OPEN_3, Violation::Unexpected),
    ] {
        let found = violation(EngineVersion::V3, &[text(packet)]);
        assert_eq!(found, expected, "{packet}");
    }
}

#[test]
fn r_sio_8_deep_nesting_does_not_overflow_the_stack() {
    for json in ["[".repeat(900_000), "{\"a\":".repeat(150_000)] {
        let mut world = World::connected(EngineVersion::V3);
        world.text(&format!("42[\"a\",{json}"));
        assert!(world.session.closed().is_some());
    }
}

#[test]
fn r_sio_8_attachments_come_when_they_are_announced_and_not_else() {
    let header = text(r#"452-["a"]"#);
    let part = binary(b"\x04x");
    for (frames, expected) in [
        (vec![part.clone()], Violation::UnannouncedAttachment),
        (
            vec![header.clone(), part.clone(), text(r#"42["b"]"#)],
            Violation::MissingAttachment,
        ),
        (
            vec![header.clone(), header.clone()],
            Violation::MissingAttachment,
        ),
        (
            vec![header.clone(), text("41")],
            Violation::MissingAttachment,
        ),
        (
            vec![header.clone(), part.clone(), part.clone(), part.clone()],
            Violation::UnannouncedAttachment,
        ),
        (vec![header.clone(), binary(b"x")], Violation::Packet),
        (vec![header.clone(), binary(b"")], Violation::Packet),
    ] {
        assert_eq!(violation(EngineVersion::V3, &frames), expected);
    }
    let mut world = World::connected(EngineVersion::V3);
    for frame in [header, part.clone(), text("3"), part] {
        world.frame(frame);
    }
    assert_eq!(world.events().len(), 1, "a heartbeat may come between");
}

#[test]
fn r_sio_8_a_message_and_its_attachments_are_bounded_together() {
    let long = text(&"x".repeat(1_000_001));
    assert_eq!(
        violation(EngineVersion::V3, &[long]),
        Violation::MessageTooLong
    );
    let header = text(r#"453-["a"]"#);
    let part = binary(&[4; 400_000]);
    assert_eq!(
        violation(
            EngineVersion::V3,
            &[header, part.clone(), part.clone(), part]
        ),
        Violation::MessageTooLong
    );
}

#[test]
fn r_sio_8_nothing_but_the_handshake_comes_before_the_handshake() {
    for packet in ["40", "41", "42[\"a\"]", "44", "2", "3", "6"] {
        let mut world = World::new(EngineVersion::V3);
        world.text(packet);
        assert!(
            matches!(world.closed(), Closed::Protocol(Violation::Unexpected)),
            "{packet}"
        );
    }
    for packet in ["42[\"a\"]", "430[]", OPEN_3] {
        let mut world = World::new(EngineVersion::V3);
        world.text(OPEN_3);
        world.text(packet);
        assert!(
            matches!(world.closed(), Closed::Protocol(Violation::Unexpected)),
            "{packet}"
        );
    }
    for open in [
        "0",
        "0{}",
        "0[]",
        "0null",
        r#"0{"pingInterval":"25000","pingTimeout":20000}"#,
        r#"0{"pingInterval":1e999,"pingTimeout":20000}"#,
        r#"0{"pingInterval":25000}"#,
    ] {
        let mut world = World::new(EngineVersion::V3);
        world.text(open);
        assert!(
            matches!(world.closed(), Closed::Protocol(Violation::Open)),
            "{open}"
        );
    }
}

#[test]
fn r_sio_9_answers_that_nobody_reads_end_the_session() {
    let mut world = World::connected(EngineVersion::V3);
    for id in 0..MAX_QUEUED_ANSWERS as u64 {
        world.session.acknowledge(AckId(id), "[]");
    }
    assert!(world.session.closed().is_none());
    world.session.acknowledge(AckId(0), "[]");
    assert!(matches!(
        world.closed(),
        Closed::Protocol(Violation::UnreadAnswers)
    ));
    assert!(!world.session.has_frame(), "what was queued is gone");
}

#[test]
fn r_sio_8_nothing_comes_out_of_a_session_that_is_over() {
    let mut world = World::connected(EngineVersion::V3);
    world.text("41");
    world.text(r#"42["a"]"#);
    world.session.call("a", "[]", vec![]);
    world.session.close();
    assert_eq!(world.events(), []);
    assert_eq!(world.sent(), []);
    assert_eq!(world.session.deadline(), None);
    assert!(matches!(world.closed(), Closed::Disconnected));
}

/// What a server may send, and damaged forms of it.
fn any_frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        ".{0,40}".prop_map(Frame::Text),
        "[0-6][0-6]?[0-9]{0,3}-?[0-9]{0,3}(\\[\"a\"(,[0-9])?\\])?".prop_map(Frame::Text),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|b| Frame::Binary(b.into())),
        Just(binary(b"\x04x")),
        Just(text("451-[\"a\"]")),
        (0usize..OPEN_4.len(), any::<char>()).prop_map(|(at, with)| {
            let mut damaged = OPEN_4.to_owned();
            damaged.replace_range(at..=at, &with.to_string());
            Frame::Text(damaged)
        }),
    ]
}

proptest! {
    #[test]
    fn r_sio_8_any_frames_never_panic(frames in prop::collection::vec(any_frame(), 0..20)) {
        for engine in ENGINES {
            for mut world in [World::new(engine), World::connected(engine)] {
                for frame in &frames {
                    world.frame(frame.clone());
                    world.events();
                    world.now += Duration::from_secs(1);
                    world.session.handle_timeout(world.now);
                    world.sent();
                }
            }
        }
    }

    #[test]
    fn r_sio_8_a_damaged_packet_gives_one_event_or_none(at in 0usize..60, with in any::<char>()) {
        let packet = r#"420["ss-incomming","dial-3",{"a":[1,"]"],"_placeholder":true}]"#;
        let mut damaged = packet.to_owned();
        damaged.replace_range(at..=at, &with.to_string());
        let mut world = World::connected(EngineVersion::V3);
        world.text(&damaged);
        let events = world.events();
        prop_assert!(events.len() <= 1);
        if let Some(Event::Event { args, .. }) = events.first() {
            prop_assert!(serde_json::from_str::<Vec<serde_json::Value>>(args).is_ok());
        }
    }
}
