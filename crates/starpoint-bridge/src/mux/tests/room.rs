//! Room, and what happens without it.

use super::*;

#[test]
fn r_bridge_7_a_writer_stops_when_the_room_is_used_up() {
    let (mut client, near, mut host, far) = joined();
    let piece = Bytes::from(vec![5; 16 * 1024]);
    let mut written = 0;
    for _ in 0..100 {
        if client.writable(near) >= piece.len() {
            client.write(near, piece.clone()).unwrap();
            written += piece.len();
        }
        exchange(&mut client, &mut host);
    }
    assert!(written <= WINDOW + OUTBOX_BYTES, "{written}");
    assert!(host.wants_input());
    let error = client.write(near, vec![5; OUTBOX_BYTES].into());
    assert!(error.is_err());
    let mut read = 0;
    while read < written {
        let (bytes, _) = drain(&mut host, far);
        assert!(!bytes.is_empty(), "room is given as it is taken");
        read += bytes.len();
        exchange(&mut client, &mut host);
    }
    assert_eq!(read, written);
    assert_eq!(client.writable(near), OUTBOX_BYTES);
}

#[test]
fn r_bridge_7_more_than_there_is_room_for_cuts_the_line_only() {
    let mut host = mux(Role::Serves);
    for line in [1, 2] {
        receive(
            &mut host,
            FrameEvent::Connect,
            line,
            0,
            &encode_room(1_000_000),
        );
        let key = incoming(&mut host);
        host.accept(key);
    }
    sent(&mut host);
    for message in 1..10 {
        receive(&mut host, FrameEvent::Data, 1, message, &[0; 16_000]);
    }
    assert_eq!(close_code(&mut host).as_deref(), Some("flood"));
    events(&mut host);
    receive(&mut host, FrameEvent::Data, 2, 1, b"unharmed");
    assert!(matches!(events(&mut host)[..], [Event::Readable(line)] if line.id() == 2));
    assert_eq!(host.counters().cut, 1);
}

#[test]
fn r_bridge_7_a_peer_of_the_reference_is_given_no_room() {
    let (mut host, line) = plain_host();
    for message in 1..20 {
        receive(&mut host, FrameEvent::Data, 1, message, &[0; 16_000]);
        drain(&mut host, line);
    }
    assert_eq!(sent_events(&mut host), [(FrameEvent::Connect, 1)]);
}

#[test]
fn r_bridge_8_the_channel_waits_for_a_reader_without_room_and_then_cuts_it() {
    let (mut host, slow) = plain_host();
    receive(&mut host, FrameEvent::Connect, 2, 0, b"");
    let other = incoming(&mut host);
    host.accept(other);
    let start = Instant::now();
    let mut message = 0;
    while host.wants_input() {
        message += 1;
        host.handle_message(&frame(FrameEvent::Data, 1, message, &[0; 16_000]), start);
    }
    assert!(usize::from(message) * 16_000 <= WINDOW + 16_000);
    let deadline = host.next_deadline().expect("it is watched");
    assert!(deadline <= start + STALL_DEADLINE);
    // Who takes something in time is not cut.
    drain(&mut host, slow);
    assert!(host.wants_input());
    assert_eq!(host.next_deadline(), None);
    while host.wants_input() {
        message += 1;
        host.handle_message(&frame(FrameEvent::Data, 1, message, &[0; 16_000]), start);
    }
    sent(&mut host);
    events(&mut host);
    host.handle_timeout(start + STALL_DEADLINE);
    assert_eq!(
        events(&mut host),
        [Event::Reset(slow, CloseReason::Stalled)]
    );
    assert_eq!(close_code(&mut host).as_deref(), Some("stalled"));
    assert!(host.wants_input());
    receive(&mut host, FrameEvent::Data, 2, 1, b"goes on");
    assert_eq!(drain(&mut host, other), (b"goes on".to_vec(), None));
}

#[test]
fn r_bridge_8_a_slow_reader_that_is_alone_is_waited_for() {
    let (mut host, line) = plain_host();
    let start = Instant::now();
    for message in 1..10 {
        host.handle_message(&frame(FrameEvent::Data, 1, message, &[0; 16_000]), start);
    }
    host.handle_timeout(start + STALL_DEADLINE);
    assert!(!host.wants_input());
    assert_eq!(drain(&mut host, line).0.len(), 9 * 16_000);
    assert!(host.wants_input());
}

#[test]
fn r_bridge_8_all_lines_together_are_bounded() {
    let config = MuxConfig {
        untaken_bytes: 2 * WINDOW,
        ..config()
    };
    let mut host = Mux::new(Role::Serves, config).unwrap();
    let mut lines = Vec::new();
    for line in 1..=4 {
        receive(&mut host, FrameEvent::Connect, line, 0, &encode_room(0));
        lines.push(incoming(&mut host));
        for message in 1..=3 {
            receive(&mut host, FrameEvent::Data, line, message, &[0; 16_000]);
        }
    }
    assert!(!host.wants_input());
    host.accept(lines[0]);
    host.accept(lines[1]);
    drain(&mut host, lines[0]);
    drain(&mut host, lines[1]);
    assert!(host.wants_input());
}
