use starpoint_wire::CallKind;

use super::*;

#[test]
fn r_call_1_an_unreadable_call_with_an_ack_is_refused() {
    let mut star = Star::open();
    let a = star.conn();
    for kind in [
        CallKind::Join,
        CallKind::Leave,
        CallKind::Dial,
        CallKind::Stream,
    ] {
        let (ack, commands) = star.ask_raw(a, Err(CallError { kind }));
        let refused = legacy::Reply::Refused(Refusal::InvalidArguments);
        assert_eq!(commands, [reply(a, ack, refused)], "{kind:?}");
        assert_eq!(star.broker.counters().malformed[&kind], 1);
    }
}

#[test]
fn r_call_2_what_cannot_be_read_and_wants_no_answer_is_counted() {
    let mut star = Star::open();
    let a = star.conn();
    for kind in [
        CallKind::Join,
        CallKind::Leave,
        CallKind::Stream,
        CallKind::Unknown,
    ] {
        star.broker.handle(
            Input::Call {
                conn: a,
                call: Err(CallError { kind }),
                ack: None,
            },
            star.now,
        );
        assert_eq!(star.drain(), [], "{kind:?}");
    }
    let (_, commands) = star.ask_raw(
        a,
        Err(CallError {
            kind: CallKind::Unknown,
        }),
    );
    assert_eq!(
        commands,
        [],
        "nobody knows what an unknown event wants to hear"
    );
    assert_eq!(star.broker.counters().malformed[&CallKind::Unknown], 2);
    assert_eq!(
        star.join(a, 1),
        legacy::Reply::Joined(vec![]),
        "the connection stays"
    );
}

#[test]
fn r_call_2_joins_and_dials_without_an_ack_do_nothing() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.conn());
    assert_eq!(star.tell(b, join(&address(2), "")), []);
    assert_eq!(star.tell(a, dial(&address(1), &address(2), "d")), []);
    assert_eq!(star.gauges().peers, 1);
    assert_eq!(star.gauges().links, 0);
    let malformed = &star.broker.counters().malformed;
    assert_eq!(
        (malformed[&CallKind::Join], malformed[&CallKind::Dial]),
        (1, 1)
    );
}

#[test]
fn calls_of_nobody_and_of_the_gone_do_nothing() {
    let mut star = Star::open();
    let a = star.joined(1);
    star.disconnect(a);
    for conn in [a, ConnId(77)] {
        let (_, commands) = star.ask(conn, join(&address(1), ""));
        assert_eq!(commands, []);
        star.broker.handle(
            Input::Written {
                conn,
                packets: 3,
                bytes: 3,
            },
            star.now,
        );
        assert_eq!(star.disconnect(conn), []);
    }
    assert!(star.broker.is_empty());
}
