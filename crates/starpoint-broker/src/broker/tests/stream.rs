use super::*;

/// A star in which 1 has dialed 2 under the name `d`; nobody reads yet.
fn dialed() -> (Star, ConnId, ConnId) {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    let (link, _) = star.dial((a, 1), 2, "d");
    star.answer(link, legacy::CalleeAnswer::Accepted);
    (star, a, b)
}

fn open() -> (Star, ConnId, ConnId) {
    let (mut star, a, b) = dialed();
    star.tell(a, accept("d", LISTENER));
    star.tell(b, accept("d", DIALER));
    (star, a, b)
}

fn strays(star: &Star) -> u64 {
    star.broker.counters().stray_stream_events
}

#[test]
fn r_stream_1_nothing_goes_to_a_reader_before_it_accepts() {
    let (mut star, a, b) = dialed();
    assert_eq!(star.tell(a, queue("d", DIALER, "1")), []);
    assert_eq!(star.tell(a, end("d", DIALER)), []);
    assert_eq!(star.tell(b, queue("d", LISTENER, "2")), []);
    assert_eq!(
        star.tell(b, accept("d", DIALER)),
        [chunk_event(b, "d", DIALER, "1"), end_event(b, "d", DIALER)]
    );
    assert_eq!(
        star.tell(a, accept("d", LISTENER)),
        [chunk_event(a, "d", LISTENER, "2")]
    );
    assert_eq!(star.tell(a, accept("d", LISTENER)), [], "once is enough");
}

#[test]
fn r_stream_2_chunks_arrive_in_order_and_as_they_were() {
    let (mut star, a, b) = dialed();
    let chunks: Vec<Bytes> = (0..50u8).map(|n| vec![n; usize::from(n)].into()).collect();
    for chunk in &chunks[..30] {
        star.tell(a, queue("d", DIALER, chunk.clone()));
    }
    let mut heard = star.tell(b, accept("d", DIALER));
    for chunk in &chunks[30..] {
        heard.extend(star.tell(a, queue("d", DIALER, chunk.clone())));
    }
    let expected: Vec<_> = chunks
        .iter()
        .map(|chunk| chunk_event(b, "d", DIALER, chunk.clone()))
        .collect();
    assert_eq!(heard, expected, "the empty one included");
    let bytes: usize = chunks.iter().map(Bytes::len).sum();
    assert_eq!(star.broker.counters().bytes_relayed, bytes as u64);
}

#[test]
fn r_stream_3_each_direction_ends_by_itself() {
    let (mut star, a, b) = open();
    assert_eq!(star.tell(a, end("d", DIALER)), [end_event(b, "d", DIALER)]);
    assert_eq!(star.gauges().streams, 1);
    assert_eq!(
        star.tell(b, queue("d", LISTENER, "on")),
        [chunk_event(a, "d", LISTENER, "on")]
    );
    let wrong = StreamEnd::Error("went wrong".into());
    let call = Call::Legacy(legacy::Call::StreamError {
        stream: stream("d", LISTENER),
        end: wrong.clone(),
    });
    let event = legacy::Event::StreamError {
        stream: stream("d", LISTENER),
        end: wrong,
    };
    assert_eq!(
        star.tell(b, call),
        [emit(a, event)],
        "in the words of the writer"
    );
    assert_eq!(star.gauges().links, 0);
}

#[test]
fn r_stream_4_only_the_writer_writes_and_only_the_reader_accepts() {
    let (mut star, a, b) = open();
    let stranger = star.joined(3);
    for (conn, call) in [
        (b, queue("d", DIALER, "x")),
        (b, end("d", DIALER)),
        (a, queue("d", LISTENER, "x")),
        (a, accept("d", DIALER)),
        (b, accept("d", LISTENER)),
        (stranger, queue("d", DIALER, "x")),
        (stranger, end("d", LISTENER)),
        (stranger, accept("d", DIALER)),
        (a, queue("other", DIALER, "x")),
        (a, accept("other", LISTENER)),
        (a, end("other", DIALER)),
    ] {
        let before = strays(&star);
        assert_eq!(star.tell(conn, call.clone()), [], "{call:?}");
        assert_eq!(strays(&star), before + 1, "{call:?}");
    }
    let commands = star.tell(a, queue("d", DIALER, "on"));
    assert_eq!(commands, [chunk_event(b, "d", DIALER, "on")]);
}

#[test]
fn r_stream_4_nothing_is_taken_behind_an_end() {
    let (mut star, a, _) = open();
    star.tell(a, end("d", DIALER));
    assert_eq!(star.tell(a, queue("d", DIALER, "late")), []);
    assert_eq!(star.tell(a, end("d", DIALER)), []);
    assert_eq!(strays(&star), 2);
    assert_eq!(star.gauges().bytes_queued, 0);
}

#[test]
fn r_stream_4_a_callee_writes_and_its_stream_is_read_only_after_it_agreed() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    let (link, _) = star.dial((a, 1), 2, "d");
    star.tell(b, queue("d", LISTENER, "x"));
    star.tell(b, end("d", LISTENER));
    star.tell(a, accept("d", LISTENER));
    assert_eq!(strays(&star), 3);
    star.answer(link, legacy::CalleeAnswer::Accepted);
    assert_eq!(star.tell(b, queue("d", LISTENER, "y")), []);
    let commands = star.tell(a, accept("d", LISTENER));
    assert_eq!(commands, [chunk_event(a, "d", LISTENER, "y")]);
}

#[test]
fn r_stream_5_a_disconnect_is_an_error_behind_the_bytes() {
    let (mut star, a, b) = dialed();
    star.tell(a, queue("d", DIALER, "sent"));
    assert_eq!(star.disconnect(a), []);
    assert_eq!(
        star.tell(b, accept("d", DIALER)),
        [
            chunk_event(b, "d", DIALER, "sent"),
            cut_event(b, "d", DIALER, Cut::PeerDisconnected),
        ]
    );
    assert_eq!(star.gauges().links, 0);
    assert_eq!(star.broker.counters().cuts[&Cut::PeerDisconnected], 1);
}

#[test]
fn r_stream_5_an_end_before_the_disconnect_stays_clean() {
    let (mut star, a, b) = dialed();
    star.tell(a, queue("d", DIALER, "sent"));
    star.tell(a, end("d", DIALER));
    star.disconnect(a);
    assert_eq!(
        star.tell(b, accept("d", DIALER)),
        [
            chunk_event(b, "d", DIALER, "sent"),
            end_event(b, "d", DIALER)
        ]
    );
    assert_eq!(
        star.broker.counters().cuts.get(&Cut::PeerDisconnected),
        None
    );
}

#[test]
fn r_stream_5_a_listener_that_leaves_is_told_like_a_dialer() {
    let (mut star, a, b) = open();
    star.tell(a, queue("d", DIALER, "for nobody"));
    assert_eq!(
        star.disconnect(b),
        [cut_event(a, "d", LISTENER, Cut::PeerDisconnected)]
    );
    assert_eq!(star.gauges().links, 0);
    assert_eq!(star.tell(a, queue("d", DIALER, "late")), []);
    assert_eq!(strays(&star), 1);
}

#[test]
fn r_stream_9_an_ended_stream_that_nobody_accepts_is_forgotten() {
    let (mut star, a, b) = dialed();
    star.tell(a, queue("d", DIALER, "unread"));
    star.tell(a, end("d", DIALER));
    star.advance(quota::UNACCEPTED_DEADLINE - SECOND);
    star.tell(b, end("d", LISTENER));
    assert_eq!(star.gauges().streams, 2);
    star.advance(SECOND);
    assert_eq!(star.gauges().streams, 1, "the other one has its own time");
    assert_eq!(star.gauges().bytes_queued, 0);
    star.advance(quota::UNACCEPTED_DEADLINE - 2 * SECOND);
    assert_eq!(star.gauges().streams, 1);
    let commands = star.tell(a, accept("d", LISTENER));
    assert_eq!(commands, [end_event(a, "d", LISTENER)]);
    assert_eq!(star.gauges().links, 0);
}

#[test]
fn r_stream_9_a_stream_that_has_not_ended_is_never_forgotten() {
    let (mut star, a, b) = dialed();
    star.tell(a, queue("d", DIALER, "kept"));
    star.advance(600 * SECOND);
    let commands = star.tell(b, accept("d", DIALER));
    assert_eq!(commands, [chunk_event(b, "d", DIALER, "kept")]);
}

#[test]
fn r_refuse_3_a_cut_reaches_the_reader_with_its_text() {
    let texts: Vec<_> = Cut::ALL.iter().map(|cut| cut.text()).collect();
    let (mut star, a, b) = open();
    star.disconnect(a);
    let (mut star2, a2, b2) = open();
    star2.broker.handle(Input::Cut, star2.now);
    let commands = star2.drain();
    let (_, end) = received(&commands, b2, &stream("d", DIALER));
    assert_eq!(end, Some(StreamEnd::Error(texts[3].into())));
    let (_, end) = received(&commands, a2, &stream("d", LISTENER));
    assert_eq!(end, Some(StreamEnd::Error(texts[3].into())));
    assert_eq!(star.gauges().links, 0);
    assert_eq!(star.tell(b, end_call()), []);
}

fn end_call() -> Call {
    end("d", LISTENER)
}

#[test]
fn r_stream_9_who_accepts_too_late_is_counted() {
    let (mut star, a, b) = dialed();
    star.tell(a, end("d", DIALER));
    star.advance(quota::UNACCEPTED_DEADLINE);
    assert_eq!(star.gauges().links, 1, "the other direction is open");
    assert_eq!(star.tell(b, accept("d", DIALER)), []);
    assert_eq!(strays(&star), 1);
}
