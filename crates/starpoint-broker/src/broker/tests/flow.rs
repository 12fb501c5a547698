use super::*;

const CHUNK: usize = 16 * 1024;

fn chunk() -> Vec<u8> {
    vec![7; CHUNK]
}

/// 1 writes to 2 in a stream `d` that 2 reads.
fn pair() -> (Star, ConnId, ConnId) {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    star.open_link((a, 1), (b, 2), "d");
    (star, a, b)
}

/// Writes chunks until the writer is no longer read; returns what went out.
fn fill(star: &mut Star, writer: ConnId, dial: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    for _ in 0..10_000 {
        if star.paused.contains(&writer) {
            return commands;
        }
        commands.extend(star.tell(writer, queue(dial, DIALER, chunk())));
    }
    panic!("never paused")
}

fn in_flight(commands: &[Command], to: ConnId) -> usize {
    let sent = commands
        .iter()
        .filter(|command| command.sends_to() == Some(to));
    sent.map(|command| size(command).1).sum()
}

#[test]
fn r_flow_1_a_transport_holds_one_window_and_at_most_one_message_more() {
    let (mut star, a, b) = pair();
    star.stop_reading(b);
    let commands = fill(&mut star, a, "d");
    let held = in_flight(&commands, b);
    assert!(
        (quota::WINDOW_BYTES..quota::WINDOW_BYTES + 2 * CHUNK).contains(&held),
        "{held}"
    );
    let commands = star.read_one(b);
    let more = in_flight(&commands, b);
    assert!(more >= CHUNK, "what is written makes room: {more}");
}

#[test]
fn r_flow_1_small_packets_are_counted_too() {
    let (mut star, a, b) = pair();
    star.stop_reading(b);
    let mut packets = 0;
    for _ in 0..quota::WINDOW_PACKETS {
        for command in star.tell(a, queue("d", DIALER, "x")) {
            packets += size(&command).0;
        }
    }
    assert_eq!(packets, quota::WINDOW_PACKETS);
}

#[test]
fn r_flow_1_a_message_beyond_the_window_goes_out_alone() {
    let (mut star, a, b) = pair();
    star.stop_reading(b);
    let huge = vec![0; 4 * quota::WINDOW_BYTES];
    assert_eq!(star.tell(a, queue("d", DIALER, huge)).len(), 1);
    assert_eq!(star.tell(a, queue("d", DIALER, "x")), []);
    assert_eq!(star.read_one(b).len(), 1);
}

#[test]
fn r_flow_2_a_stream_above_its_mark_pauses_its_writer_until_it_is_low() {
    let (mut star, a, b) = pair();
    star.stop_reading(b);
    fill(&mut star, a, "d");
    let high = star.waiting_bytes();
    assert!(high > quota::STREAM_HIGH_BYTES);
    assert!(high <= quota::STREAM_HIGH_BYTES + CHUNK + quota::CHUNK_OVERHEAD_BYTES);
    assert_eq!(star.gauges().paused, 1);
    while star.paused.contains(&a) {
        assert!(star.waiting_bytes() >= quota::STREAM_LOW_BYTES);
        star.read_one(b);
    }
    assert!(star.waiting_bytes() < quota::STREAM_LOW_BYTES);
    assert_eq!(star.gauges().paused, 0);
    assert_eq!(star.broker.counters().pauses, 1);
}

#[test]
fn r_flow_2_late_packets_of_a_paused_writer_are_not_lost() {
    let (mut star, a, b) = pair();
    star.stop_reading(b);
    let mut commands = fill(&mut star, a, "d");
    let sent = in_flight(&commands, b);
    assert!(sent > 0);
    star.tell(a, queue("d", DIALER, "late"));
    star.tell(a, end("d", DIALER));
    commands.clear();
    commands.extend(star.read_on(b));
    let (bytes, end) = received(&commands, b, &stream("d", DIALER));
    assert!(bytes.ends_with(b"late"));
    assert_eq!(end, Some(StreamEnd::Clean));
}

#[test]
fn r_flow_2_a_destination_above_its_mark_pauses_whoever_writes_to_it() {
    let mut star = Star::open();
    let (reader, free) = (star.joined(1), star.joined(2));
    let writers: Vec<_> = (10..20).map(|peer| (star.joined(peer), peer)).collect();
    for (conn, peer) in &writers {
        star.open_link((*conn, *peer), (reader, 1), &peer.to_string());
    }
    star.open_link(writers[0], (free, 2), "free");
    star.stop_reading(reader);
    // Each stays below the mark of its stream.
    for _ in 0..14 {
        for (conn, peer) in &writers {
            star.tell(*conn, queue(&peer.to_string(), DIALER, chunk()));
        }
    }
    assert!(star.waiting_bytes() > quota::DESTINATION_HIGH_BYTES);
    assert_eq!(star.gauges().paused, writers.len());
    while star.waiting_bytes() >= quota::DESTINATION_LOW_BYTES {
        assert_eq!(star.gauges().paused, writers.len());
        star.read_one(reader);
    }
    assert_eq!(star.gauges().paused, 0);
}

#[test]
fn r_flow_2_a_reader_that_leaves_frees_its_writers() {
    let (mut star, a, b) = pair();
    star.stop_reading(b);
    fill(&mut star, a, "d");
    for _ in 0..80 {
        star.tell(a, queue("d", DIALER, chunk()));
    }
    assert!(star.waiting_bytes() > quota::DESTINATION_HIGH_BYTES);
    let commands = star.disconnect(b);
    assert!(
        commands.contains(&Command::Resume { conn: a }),
        "{commands:?}"
    );
    assert_eq!((star.gauges().paused, star.waiting_bytes()), (0, 0));
}

#[test]
fn r_flow_3_whoever_does_not_take_its_replies_is_no_longer_read() {
    let mut star = Star::open();
    let a = star.joined(1);
    let caller = star.joined(2);
    star.stop_reading(a);
    let mut asked = 0;
    while !star.paused.contains(&a) {
        star.ask_raw(
            a,
            Err(CallError {
                kind: CallKind::Leave,
            }),
        );
        asked += 1;
        assert!(asked < 10_000, "never paused");
    }
    let per_reply = legacy::Reply::Refused(Refusal::InvalidArguments).weight();
    assert!((asked - quota::WINDOW_PACKETS) * per_reply < quota::CONTROL_HIGH_BYTES + 1024);
    let busy = dial(&address(2), &address(1), "d");
    assert_eq!(star.refusal_of(caller, busy), Refusal::TooManyDials);
    let commands = star.read_on(a);
    assert!(commands.contains(&Command::Resume { conn: a }));
    assert_eq!(star.gauges().paused, 0);
    star.dial((caller, 2), 1, "d");
}

#[test]
fn r_flow_3_replies_do_not_starve_the_streams() {
    let (mut star, a, b) = pair();
    // An answer is about as large as a chunk.
    for host in 0..quota::MAX_JOIN_LIST {
        let conn = star.conn();
        star.ask(conn, join(&anonymous(host), ""));
    }
    star.stop_reading(b);
    let mut heard = fill(&mut star, a, "d");
    let before = received(&heard, b, &stream("d", DIALER)).0.len();
    for _ in 0..40 {
        // It asks for more than it takes.
        star.advance(Duration::from_millis(100));
        for _ in 0..2 {
            heard.extend(star.ask(b, join(&address(2), "")).1);
        }
        heard.extend(star.read_one(b));
    }
    let after = received(&heard, b, &stream("d", DIALER)).0.len();
    assert!(after >= before + 10 * CHUNK, "{before} and then {after}");
}

#[test]
fn r_flow_4_a_reader_that_stops_loses_its_streams_and_nobody_else_does() {
    let (mut star, a, b) = pair();
    let c = star.joined(3);
    star.open_link((a, 1), (c, 3), "c");
    star.stop_reading(b);
    fill(&mut star, a, "d");
    let commands = star.advance(quota::STALL_DEADLINE);
    let (_, end) = received(&commands, a, &stream("d", LISTENER));
    assert_eq!(
        end,
        Some(StreamEnd::Error(Cut::ReaderStalled.text().into()))
    );
    assert!(commands.contains(&Command::Resume { conn: a }));
    assert_eq!(star.waiting_bytes(), 0);
    let commands = star.tell(a, queue("c", DIALER, "on"));
    assert_eq!(commands, [chunk_event(c, "c", DIALER, "on")]);

    let commands = star.read_on(b);
    let (_, end) = received(&commands, b, &stream("d", DIALER));
    assert_eq!(
        end,
        Some(StreamEnd::Error(Cut::ReaderStalled.text().into()))
    );
    assert_eq!(star.gauges().links, 1);
    assert_eq!(star.broker.counters().cuts[&Cut::ReaderStalled], 2);
}

#[test]
fn r_flow_4_a_slow_reader_that_takes_something_keeps_its_streams() {
    let (mut star, a, b) = pair();
    star.stop_reading(b);
    fill(&mut star, a, "d");
    for _ in 0..4 {
        star.broker.handle(
            Input::Written {
                conn: b,
                packets: 0,
                bytes: quota::STALL_MIN_BYTES,
            },
            star.now,
        );
        star.advance(quota::STALL_DEADLINE);
        assert_eq!(star.gauges().streams, 2, "in the middle of a large message");
    }
    star.broker.handle(
        Input::Written {
            conn: b,
            packets: 0,
            bytes: quota::STALL_MIN_BYTES - 1,
        },
        star.now,
    );
    star.advance(quota::STALL_DEADLINE);
    assert_eq!(star.broker.counters().cuts[&Cut::ReaderStalled], 2);
}

#[test]
fn r_flow_4_a_reader_that_recovers_is_not_watched_any_more() {
    let (mut star, a, b) = pair();
    star.stop_reading(b);
    fill(&mut star, a, "d");
    star.read_on(b);
    star.advance(10 * quota::STALL_DEADLINE);
    assert_eq!(star.gauges().streams, 2);
    star.stop_reading(b);
    fill(&mut star, a, "d");
    star.advance(quota::STALL_DEADLINE - SECOND);
    assert_eq!(star.gauges().streams, 2, "it begins anew");
}

#[test]
fn r_flow_4_a_reader_that_never_accepts_is_a_reader_that_stops() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    let (link, _) = star.dial((a, 1), 2, "d");
    star.answer(link, legacy::CalleeAnswer::Accepted);
    fill(&mut star, a, "d");
    // It reads everything else as fast as it comes.
    for _ in 0..20 {
        star.broker.handle(
            Input::Written {
                conn: b,
                packets: 0,
                bytes: quota::STALL_MIN_BYTES,
            },
            star.now,
        );
        star.advance(SECOND);
    }
    assert_eq!(star.gauges().paused, 0);
    assert_eq!(star.waiting_bytes(), 0);
    let commands = star.tell(b, accept("d", DIALER));
    assert_eq!(commands, [cut_event(b, "d", DIALER, Cut::ReaderStalled)]);
}

#[test]
fn r_flow_4_many_short_streams_that_nobody_accepts_hold_nobody_for_ever() {
    let mut star = Star::open();
    let (a, b, c) = (star.joined(1), star.joined(2), star.joined(3));
    star.open_link((a, 1), (c, 3), "c");
    star.open_link((c, 3), (b, 2), "e");
    let names: Vec<_> = (0..6).map(|n| format!("d{n}")).collect();
    for name in &names {
        let (link, _) = star.dial((a, 1), 2, name);
        star.answer(link, legacy::CalleeAnswer::Accepted);
        for _ in 0..15 {
            star.tell(a, queue(name, DIALER, chunk()));
        }
    }
    assert!(star.paused.contains(&a));
    for _ in 0..20 {
        star.broker.handle(
            Input::Written {
                conn: b,
                packets: 0,
                bytes: quota::STALL_MIN_BYTES,
            },
            star.now,
        );
        star.advance(SECOND);
    }
    assert!(!star.paused.contains(&a));
    assert_eq!(star.waiting_bytes(), 0);
    let commands = star.tell(c, queue("e", DIALER, "on"));
    assert_eq!(
        commands,
        [chunk_event(b, "e", DIALER, "on")],
        "what it reads goes on"
    );
}

/// Fills the star above its mark through writers that then rest, each below the
/// marks of its stream and destination.
fn crowded(star: &mut Star) -> usize {
    let mut hosts = 0;
    while star.waiting_bytes() <= quota::TOTAL_HIGH_BYTES {
        let (writer, reader) = (star.conn(), star.conn());
        let (from, to) = (anonymous(hosts), anonymous(hosts + 1));
        star.ask(writer, join(&from, ""));
        star.ask(reader, join(&to, ""));
        hosts += 2;
        let (_, commands) = star.ask(writer, dial(&from, &to, "d"));
        let (_, link, _) = asked(&commands).expect("the callee is asked");
        star.answer(link, legacy::CalleeAnswer::Accepted);
        for _ in 0..15 {
            star.tell(writer, queue("d", DIALER, chunk()));
        }
    }
    hosts / 2
}

#[test]
fn r_flow_5_above_the_total_only_writers_to_busy_destinations_are_paused() {
    let (mut star, a, b) = pair();
    star.stop_reading(b);
    crowded(&mut star);
    let paused = star.gauges().paused;
    star.read_on(b);
    let commands = star.tell(a, queue("d", DIALER, chunk()));
    assert_eq!(commands.len(), 1, "an idle destination takes it");
    assert_eq!(star.gauges().paused, paused);

    star.stop_reading(b);
    while !star.paused.contains(&a) {
        star.tell(a, queue("d", DIALER, chunk()));
        assert!(star.waiting_bytes() < quota::TOTAL_HIGH_BYTES + 100 * CHUNK);
    }
    assert!(star.waiting_bytes() <= quota::TOTAL_HIGH_BYTES + 3 * CHUNK);
    let commands = star.read_on(b);
    assert!(
        commands.contains(&Command::Resume { conn: a }),
        "it is idle again"
    );
}

#[test]
fn r_flow_5_those_that_take_nothing_make_room_for_the_others() {
    let (mut star, a, b) = pair();
    let pairs = crowded(&mut star);
    star.stop_reading(b);
    while !star.paused.contains(&a) {
        star.tell(a, queue("d", DIALER, chunk()));
    }
    for _ in 0..30 {
        star.broker.handle(
            Input::Written {
                conn: b,
                packets: 0,
                bytes: quota::STALL_MIN_BYTES,
            },
            star.now,
        );
        star.advance(SECOND);
    }
    assert!(star.waiting_bytes() < quota::TOTAL_LOW_BYTES);
    assert!(star.paused.is_empty());
    let cuts = star.broker.counters().cuts[&Cut::ReaderStalled];
    assert!(cuts < 2 * pairs as u64, "no more than it takes");
    let commands = star.tell(a, queue("d", DIALER, "on"));
    assert_eq!(commands, [], "whoever takes something keeps its streams");
    let (bytes, end) = received(&star.read_on(b), b, &stream("d", DIALER));
    assert!(bytes.ends_with(b"on") && end.is_none());
}

#[test]
fn r_flow_6_streams_of_one_destination_take_turns() {
    let mut star = Star::open();
    let (reader, a, b) = (star.joined(1), star.joined(2), star.joined(3));
    star.open_link((a, 2), (reader, 1), "a");
    star.open_link((b, 3), (reader, 1), "b");
    star.stop_reading(reader);
    for _ in 0..quota::WINDOW_PACKETS {
        star.tell(a, queue("a", DIALER, "from a"));
    }
    for _ in 0..5 {
        star.tell(b, queue("b", DIALER, "from b"));
    }
    let commands = star.read_on(reader);
    let turns: Vec<_> = commands
        .iter()
        .filter_map(|command| {
            let Command::Send {
                message: Message::Event(event),
                ..
            } = command
            else {
                return None;
            };
            let legacy::Event::StreamQueue { stream, .. } = event else {
                return None;
            };
            Some(stream.dial.as_str().to_owned())
        })
        .take(10)
        .collect();
    assert_eq!(turns, ["a", "b", "a", "b", "a", "b", "a", "b", "a", "b"]);
}

#[test]
fn empty_chunks_are_bounded_too() {
    let (mut star, a, b) = pair();
    star.stop_reading(b);
    let mut sent = 0;
    while !star.paused.contains(&a) {
        star.tell(a, queue("d", DIALER, ""));
        sent += 1;
        assert!(sent < 10_000, "never paused");
    }
}
