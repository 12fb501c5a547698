use starpoint_wire::limits::DIAL_DEADLINE;

use super::*;

fn incoming(conn: ConnId, link: LinkId, dial: &str, from: &str) -> Command {
    let event = legacy::Event::Incoming {
        dial_id: DialId::parse(dial).unwrap(),
        from: from.into(),
    };
    Command::Send {
        conn,
        message: Message::Ask(link, event),
    }
}

#[test]
fn r_dial_1_the_events_of_a_dial_come_in_the_recorded_order() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    let (ack, commands) = star.ask(a, dial(&address(1), &address(2), "d"));
    let (_, link, _) = asked(&commands).expect("the callee is asked");
    assert_eq!(
        commands,
        [
            accept_event(a, "d", DIALER),
            incoming(b, link, "d", &address(1))
        ]
    );
    assert_eq!(star.tell(b, accept("d", DIALER)), []);
    let commands = star.answer(link, legacy::CalleeAnswer::Accepted);
    assert_eq!(
        commands,
        [
            accept_event(b, "d", LISTENER),
            reply(a, ack, legacy::Reply::Done)
        ]
    );
    assert_eq!(star.tell(a, accept("d", LISTENER)), []);

    let mut heard_by_b = star.tell(a, queue("d", DIALER, "hello"));
    heard_by_b.extend(star.tell(a, end("d", DIALER)));
    assert_eq!(
        heard_by_b,
        [
            chunk_event(b, "d", DIALER, "hello"),
            end_event(b, "d", DIALER)
        ]
    );
    let mut heard_by_a = star.tell(b, queue("d", LISTENER, "re: hello"));
    heard_by_a.extend(star.tell(b, end("d", LISTENER)));
    assert_eq!(
        heard_by_a,
        [
            chunk_event(a, "d", LISTENER, "re: hello"),
            end_event(a, "d", LISTENER)
        ]
    );
    assert_eq!(star.gauges().links, 0);
}

#[test]
fn r_dial_1_what_the_dialer_sends_before_the_answer_is_kept() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    let (link, _) = star.dial((a, 1), 2, "d");
    assert_eq!(star.tell(a, queue("d", DIALER, "early")), []);
    let commands = star.tell(b, accept("d", DIALER));
    assert_eq!(commands, [chunk_event(b, "d", DIALER, "early")]);
    assert_eq!(star.answer(link, legacy::CalleeAnswer::Accepted).len(), 2);
}

#[test]
fn r_dial_2_an_exact_address_wins_then_the_newest_of_the_peer() {
    let mut star = Star::open();
    let caller = star.joined(9);
    let exact = star.joined(1);
    let newer = star.conn();
    star.ask(newer, join(&address_at(444, 1), ""));
    let newest = star.conn();
    star.ask(newest, join(&address_at(445, 1), ""));

    let mut callee_of = |to: &str, id: &str| {
        let (_, commands) = star.ask(caller, dial(&address(9), to, id));
        asked(&commands).expect("somebody is asked").0
    };
    assert_eq!(callee_of(&address(1), "a"), exact);
    assert_eq!(callee_of(&address_at(444, 1), "b"), newer);
    assert_eq!(
        callee_of(&address(1).replace("/ipfs/", "/p2p/"), "c"),
        exact
    );
    assert_eq!(callee_of(&address_at(446, 1), "d"), newest);
    let unknown = dial(&address(9), &anonymous(1), "e");
    assert_eq!(star.refusal_of(caller, unknown), Refusal::PeerNotFound);
}

#[test]
fn r_dial_3_a_bad_dial_id_is_refused() {
    let mut star = Star::open();
    let (a, _) = (star.joined(1), star.joined(2));
    for bad in ["", "a\"b", "a\nb", &"x".repeat(257)] {
        let call = dial(&address(1), &address(2), bad);
        assert_eq!(star.refusal_of(a, call), Refusal::InvalidDialId, "{bad:?}");
    }
    assert_eq!(star.gauges().links, 0);
}

#[test]
fn r_dial_4_from_must_be_joined_by_the_dialer() {
    let mut star = Star::open();
    let (a, _b, c) = (star.joined(1), star.joined(2), star.conn());
    let not_joined = dial(&address(3), &address(2), "d");
    assert_eq!(star.refusal_of(c, not_joined), Refusal::NotAuthorized);
    let of_another = dial(&address(2), &address(1), "d");
    assert_eq!(
        star.refusal_of(a, of_another.clone()),
        Refusal::NotAuthorized
    );
    assert_eq!(star.refusal_of(c, of_another), Refusal::NotAuthorized);
    let bad_target = dial(&address(1), "nowhere", "d");
    assert_eq!(star.refusal_of(a, bad_target), Refusal::InvalidAddress);
    let bad_from = dial("nowhere", &address(2), "d");
    assert_eq!(star.refusal_of(a, bad_from), Refusal::InvalidAddress);
    assert_eq!(star.broker.counters().dials_failed, 5);
}

#[test]
fn r_dial_5_the_callee_refuses_in_its_own_words() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    let (link, ack) = star.dial((a, 1), 2, "d");
    let commands = star.answer(link, legacy::CalleeAnswer::Refused("busy".into()));
    assert_eq!(
        commands,
        [reply(a, ack, legacy::Reply::RefusedByPeer("busy".into()))]
    );
    assert_eq!(star.gauges().links, 0);
    assert_eq!(star.tell(b, accept("d", DIALER)), []);
    assert_eq!(
        star.answer(link, legacy::CalleeAnswer::Accepted),
        [],
        "the first answer counts"
    );
    let counters = star.broker.counters();
    assert_eq!((counters.dials, counters.dials_failed), (1, 1));
    assert_eq!(counters.dials_refused_by_peer, 1);
}

#[test]
fn r_dial_6_a_silent_callee_costs_the_dialer_an_error() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    let (link, ack) = star.dial((a, 1), 2, "d");
    star.tell(a, queue("d", DIALER, "early"));
    let before = star.advance(DIAL_DEADLINE - Duration::from_millis(1));
    assert!(!before.iter().any(|c| matches!(
        c,
        Command::Send {
            message: Message::Reply(..),
            ..
        }
    )));
    let commands = star.advance(Duration::from_millis(1));
    let refused = reply(a, ack, legacy::Reply::Refused(Refusal::DialTimeout));
    assert!(commands.contains(&refused), "{commands:?}");
    assert_eq!(star.gauges().bytes_queued, 0);

    assert_eq!(
        star.answer(link, legacy::CalleeAnswer::Accepted),
        [],
        "nobody waits for it"
    );
    let commands = star.tell(b, accept("d", DIALER));
    assert_eq!(commands, [cut_event(b, "d", DIALER, Cut::DialTimeout)]);
    assert_eq!(star.gauges().links, 0);
    assert_eq!(star.broker.counters().dials_failed, 1);
}

#[test]
fn r_dial_6_a_late_refusal_ends_what_is_left() {
    let mut star = Star::open();
    let (a, _) = (star.joined(1), star.joined(2));
    let (link, _) = star.dial((a, 1), 2, "d");
    star.advance(DIAL_DEADLINE);
    assert_eq!(star.gauges().links, 1);
    assert_eq!(
        star.answer(link, legacy::CalleeAnswer::Refused("no".into())),
        []
    );
    assert_eq!(star.gauges().links, 0);
}

#[test]
fn r_dial_6_a_callee_is_not_asked_to_take_what_is_over() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    star.stop_reading(b);
    for number in 0..=quota::WINDOW_PACKETS {
        star.ask(a, dial(&address(1), &address(2), &number.to_string()));
    }
    star.disconnect(a);
    star.advance(quota::UNACCEPTED_DEADLINE);
    assert_eq!(star.gauges().links, 0);
    assert_eq!(asked(&star.read_on(b)), None, "one waited");
}

#[test]
fn r_dial_7_a_dial_id_in_use_is_refused_at_both_sides() {
    let mut star = Star::open();
    let (a, b, c) = (star.joined(1), star.joined(2), star.joined(3));
    star.open_link((a, 1), (b, 2), "d");
    for (conn, from, to) in [(a, 1, 2), (a, 1, 3), (c, 3, 2), (c, 3, 1), (b, 2, 1)] {
        let call = dial(&address(from), &address(to), "d");
        assert_eq!(star.refusal_of(conn, call), Refusal::DuplicateDialId);
    }
    let commands = star.tell(a, queue("d", DIALER, "on"));
    assert_eq!(
        commands,
        [chunk_event(b, "d", DIALER, "on")],
        "the first is not disturbed"
    );

    star.tell(a, end("d", DIALER));
    star.tell(b, end("d", LISTENER));
    star.dial((c, 3), 2, "d");
}

#[test]
fn r_dial_8_a_callee_that_leaves_refuses_the_dial() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    let (link, ack) = star.dial((a, 1), 2, "d");
    star.tell(a, queue("d", DIALER, "early"));
    let commands = star.disconnect(b);
    assert_eq!(
        commands,
        [reply(a, ack, legacy::Reply::Refused(Refusal::PeerGone))]
    );
    assert_eq!(star.gauges().links, 0);
    assert_eq!(star.gauges().bytes_queued, 0);
    assert_eq!(star.answer(link, legacy::CalleeAnswer::Accepted), []);
}

#[test]
fn r_dial_8_a_dialer_that_leaves_ends_what_the_callee_reads() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    let (link, _) = star.dial((a, 1), 2, "d");
    star.tell(a, queue("d", DIALER, "early"));
    assert_eq!(star.disconnect(a), []);
    assert_eq!(star.answer(link, legacy::CalleeAnswer::Accepted), []);
    assert_eq!(
        star.tell(b, accept("d", DIALER)),
        [
            chunk_event(b, "d", DIALER, "early"),
            cut_event(b, "d", DIALER, Cut::PeerDisconnected),
        ]
    );
    assert_eq!(star.gauges().links, 0);
}

#[test]
fn r_dial_9_nobody_dials_itself() {
    let mut star = Star::open();
    let a = star.joined(1);
    star.ask(a, join(&anonymous(1), ""));
    let second = star.conn();
    star.ask(second, join(&address_at(444, 1), ""));
    for to in [
        address(1),
        anonymous(1),
        address_at(444, 1),
        address_at(445, 1),
    ] {
        let call = dial(&address(1), &to, "d");
        assert_eq!(star.refusal_of(a, call), Refusal::DialSelf, "{to}");
    }
    assert_eq!(star.gauges().links, 0);
}
