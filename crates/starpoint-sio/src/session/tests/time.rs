//! Heartbeats and deadlines, on a clock that only the test moves.

use super::*;

impl World {
    /// Moves the clock to each time that the session waits for, up to `seconds`
    /// from now.
    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.session.deadline().filter(|at| *at <= end) {
            self.now = at;
            self.session.handle_timeout(at);
        }
        self.now = end;
        self.session.handle_timeout(end);
    }
}

#[test]
fn r_sio_6_engine_3_pings_at_each_interval() {
    let mut world = World::connected(EngineVersion::V3);
    for _ in 0..10 {
        world.pass(24);
        assert_eq!(world.sent(), []);
        world.pass(1);
        assert_eq!(world.sent(), [text("2")]);
        world.text("3");
    }
    assert!(world.session.closed().is_none());
}

#[test]
fn r_sio_6_engine_4_answers_pings() {
    let mut world = World::connected(EngineVersion::V4);
    for _ in 0..10 {
        world.pass(25);
        assert_eq!(world.sent(), []);
        world.text("2");
        assert_eq!(world.sent(), [text("3")]);
    }
    assert!(world.session.closed().is_none());
}

#[test]
fn r_sio_6_a_silent_server_is_given_up() {
    for engine in ENGINES {
        let mut world = World::connected(engine);
        world.pass(44);
        assert!(world.session.closed().is_none());
        world.pass(1);
        assert!(matches!(world.closed(), Closed::Silent));
    }
}

#[test]
fn r_sio_6_every_message_is_a_sign_of_life() {
    for engine in ENGINES {
        let mut world = World::connected(engine);
        for message in ["6", "3", "2", r#"42["ws-peer","/a"]"#] {
            world.pass(44);
            world.text(message);
            world.events();
        }
        world.pass(44);
        assert!(world.session.closed().is_none());
        world.pass(1);
        assert!(matches!(world.closed(), Closed::Silent));
    }
}

#[test]
fn r_sio_6_heartbeats_pass_between_packets_and_merge() {
    let mut world = World::connected(EngineVersion::V4);
    let chunk = vec![Bytes::from_static(b"x")];
    world.session.emit("a", "[]", chunk.clone());
    world.session.emit("b", "[]", chunk);
    assert_eq!(world.session.poll_frame(), Some(text(r#"451-["a"]"#)));
    for _ in 0..1000 {
        world.text("2");
    }
    assert_eq!(
        world.sent(),
        [binary(b"x"), text("3"), text(r#"451-["b"]"#), binary(b"x")]
    );
}

#[test]
fn r_sio_6_time_without_reading_does_not_count_as_silence() {
    let mut world = World::connected(EngineVersion::V3);
    world.pass(40);
    world.sent();
    world.session.hold(world.now);
    world.pass(500);
    assert_eq!(world.sent(), [text("2")], "pings go on, merged");
    world.session.resume(world.now);
    world.pass(4);
    assert!(world.session.closed().is_none());
    world.pass(1);
    assert!(matches!(world.closed(), Closed::Silent));
}

/// The time before a message that came in spite of the hold is over.
#[test]
fn r_sio_6_what_comes_during_a_hold_is_not_counted_twice() {
    for engine in ENGINES {
        let mut world = World::connected(engine);
        world.session.hold(world.now);
        world.pass(3_600);
        world.text("6");
        world.pass(10);
        world.session.resume(world.now);
        world.pass(44);
        assert!(world.session.closed().is_none());
        world.pass(1);
        assert!(matches!(world.closed(), Closed::Silent));
    }
}

#[test]
fn r_sio_6_absurd_times_are_brought_into_bounds() {
    for (interval, timeout, seconds) in [
        ("0", "0", 2),
        ("-1e300", "0.5", 2),
        ("1e300", "18446744073709551615", 600),
    ] {
        let mut world = World::new(EngineVersion::V4);
        world.text(&format!(
            r#"0{{"pingInterval":{interval},"pingTimeout":{timeout}}}"#
        ));
        world.text(CONNECT_4);
        world.pass(seconds - 1);
        assert!(world.session.closed().is_none(), "{interval}");
        world.pass(1);
        assert!(matches!(world.closed(), Closed::Silent), "{interval}");
    }
}

#[test]
fn r_sio_7_the_handshake_has_a_deadline() {
    for packets in [&[][..], &[OPEN_4], &[OPEN_4, "2"]] {
        let mut world = World::new(EngineVersion::V4);
        for packet in packets {
            world.text(packet);
        }
        world.pass(9);
        assert!(world.session.closed().is_none());
        world.pass(1);
        assert!(matches!(world.closed(), Closed::HandshakeTimeout));
    }
}

#[test]
fn r_sio_6_an_idle_session_waits_for_its_heartbeat_only() {
    let mut world = World::connected(EngineVersion::V3);
    let Output::Wait(Some(at)) = world.session.poll() else {
        panic!("nothing to wait for")
    };
    assert_eq!(at, world.now + Duration::from_secs(25));
}
