use super::*;

#[test]
fn r_stop_1_a_star_that_drains_takes_nobody_and_closes_the_idle() {
    let mut star = Star::open();
    let (a, b, idle) = (star.joined(1), star.joined(2), star.joined(3));
    star.open_link((a, 1), (b, 2), "d");
    star.broker.handle(Input::Drain, star.now);
    assert_eq!(star.drain(), [close(idle)]);
    assert_eq!(
        star.refusal_of(a, join(&address(4), "")),
        Refusal::ShuttingDown
    );
    assert_eq!(
        star.refusal_of(a, dial(&address(1), &address(2), "e")),
        Refusal::ShuttingDown
    );
    assert_eq!(star.reply_to(a, leave(&address(1))), legacy::Reply::Done);

    let late = star.conn();
    assert_eq!(star.drain(), [close(late)]);
    assert_eq!(star.ask(late, join(&address(5), "")).1, []);
    let (_, commands) = star.ask(idle, join(&address(3), ""));
    assert_eq!(commands, []);
}

#[test]
fn r_stop_2_a_connection_is_closed_when_its_last_stream_ends() {
    let mut star = Star::open();
    let (a, b, c) = (star.joined(1), star.joined(2), star.joined(3));
    star.open_link((a, 1), (b, 2), "d");
    star.open_link((a, 1), (c, 3), "e");
    star.broker.handle(Input::Drain, star.now);
    assert_eq!(star.drain(), []);
    star.tell(a, queue("d", DIALER, "on"));
    assert_eq!(star.tell(a, end("d", DIALER)), [end_event(b, "d", DIALER)]);
    let commands = star.tell(b, end("d", LISTENER));
    assert_eq!(commands, [end_event(a, "d", LISTENER), close(b)]);
    let commands = star.disconnect(c);
    assert_eq!(
        commands,
        [cut_event(a, "e", LISTENER, Cut::PeerDisconnected), close(a)]
    );
    star.disconnect(a);
    star.disconnect(b);
    assert!(star.broker.is_empty());
    assert_eq!(star.gauges(), Gauges::default());
}

#[test]
fn r_stop_2_a_dial_is_answered_before_its_connections_are_closed() {
    for is_refused in [true, false] {
        let mut star = Star::open();
        let (a, b) = (star.joined(1), star.joined(2));
        let (link, ack) = star.dial((a, 1), 2, "d");
        star.broker.handle(Input::Drain, star.now);
        assert_eq!(star.drain(), []);
        if is_refused {
            let busy = legacy::Reply::RefusedByPeer("busy".into());
            let commands = star.answer(link, legacy::CalleeAnswer::Refused("busy".into()));
            assert_eq!(commands, [reply(a, ack, busy), close(a), close(b)]);
        } else {
            let gone = legacy::Reply::Refused(Refusal::PeerGone);
            assert_eq!(star.disconnect(b), [reply(a, ack, gone), close(a)]);
        }
    }
}

#[test]
fn r_stop_2_what_waits_for_a_connection_is_sent_before_it_is_closed() {
    let mut star = Star::open();
    let (a, _) = (star.joined(1), star.joined(2));
    star.stop_reading(a);
    let mut replies = 0;
    for _ in 0..=quota::WINDOW_PACKETS {
        star.advance(Duration::from_millis(50));
        replies += star.ask(a, leave(&anonymous(1))).1.len();
    }
    assert_eq!(replies, quota::WINDOW_PACKETS);
    star.broker.handle(Input::Drain, star.now);
    assert!(!star.drain().contains(&close(a)), "a reply waits");
    let commands = star.read_on(a);
    assert!(matches!(
        commands[0],
        Command::Send {
            message: Message::Reply(..),
            ..
        }
    ));
    assert_eq!(commands[1..], [close(a)]);
}

#[test]
fn r_stop_3_a_cut_ends_every_stream_with_an_error() {
    let mut star = Star::open();
    let (a, b, c) = (star.joined(1), star.joined(2), star.joined(3));
    star.open_link((a, 1), (b, 2), "d");
    let (_, ack) = star.dial((a, 1), 3, "e");
    star.tell(a, end("d", DIALER));
    star.broker.handle(Input::Drain, star.now);
    star.drain();
    assert_eq!(star.gauges().open_streams(), 3, "one has ended");
    star.broker.handle(Input::Cut, star.now);
    assert_eq!(
        star.drain(),
        [
            cut_event(a, "d", LISTENER, Cut::ShuttingDown),
            close(b),
            reply(a, ack, legacy::Reply::Refused(Refusal::ShuttingDown)),
            close(a),
            close(c),
        ]
    );
    assert_eq!(star.broker.counters().cuts[&Cut::ShuttingDown], 2);
    for conn in [a, b, c] {
        assert_eq!(star.disconnect(conn), []);
    }
    assert_eq!(star.gauges(), Gauges::default());
}

#[test]
fn r_stop_3_a_cut_closes_those_that_do_not_read_as_well() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    star.open_link((a, 1), (b, 2), "d");
    star.stop_reading(b);
    for _ in 0..100 {
        star.tell(a, queue("d", DIALER, vec![0; 16 * 1024]));
    }
    star.broker.handle(Input::Cut, star.now);
    let commands = star.drain();
    assert!(
        commands.contains(&close(a)) && commands.contains(&close(b)),
        "{commands:?}"
    );
    assert_eq!(star.waiting_bytes(), 0);
    assert_eq!(star.read_on(b), [], "nothing is sent behind a close");
    star.disconnect(a);
    star.disconnect(b);
    assert_eq!(star.gauges(), Gauges::default());
}
