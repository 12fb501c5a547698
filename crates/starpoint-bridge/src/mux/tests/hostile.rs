//! What comes in and must not do harm.

use proptest::prelude::*;

use super::*;

#[test]
fn r_bridge_12_bytes_that_are_no_frame_end_the_line_that_they_name() {
    let (mut host, line) = plain_host();
    receive(&mut host, FrameEvent::Connect, 2, 0, b"");
    let other = incoming(&mut host);
    sent(&mut host);
    events(&mut host);
    for bytes in [&b""[..], b"\0", &[9, 0, 77, 0, 0, 0, 0, 0, 1, 0, 0]] {
        host.handle_message(&Bytes::copy_from_slice(bytes), Instant::now());
    }
    assert!(events(&mut host).is_empty(), "nobody is meant");
    let index_above_total = [0, 0, 1, 0, 1, 0, 2, 0, 2, 0, 0];
    host.handle_message(&Bytes::copy_from_slice(&index_above_total), Instant::now());
    assert_eq!(
        events(&mut host),
        [Event::Reset(line, CloseReason::Malformed)]
    );
    assert_eq!(close_code(&mut host).as_deref(), Some("malformed"));
    assert_eq!(host.counters().malformed, 4);
    receive(&mut host, FrameEvent::Data, 2, 1, b"unharmed");
    assert_eq!(drain(&mut host, other), (b"unharmed".to_vec(), None));
    receive(&mut host, FrameEvent::Close, 1, 9, b"");
    assert_eq!(host.n_lines(), 1, "the broken one was let go");
}

#[test]
fn r_bridge_12_frames_of_unknown_lines_do_nothing() {
    let mut client = mux(Role::Opens);
    receive(&mut client, FrameEvent::Connect, 9, 0, b"");
    receive(&mut client, FrameEvent::Data, 9, 1, b"x");
    assert_eq!((client.n_lines(), client.counters().strays), (0, 2));
    let mut host = mux(Role::Serves);
    receive(&mut host, FrameEvent::Close, 9, 0, b"");
    receive(&mut host, FrameEvent::Data, 8, 0, b"without a CONNECT");
    receive(&mut host, FrameEvent::Data, 7, 65_000, b"long ago");
    assert_eq!((host.n_lines(), sent(&mut host).len()), (0, 0));
    assert!(events(&mut host).is_empty());
}

#[test]
fn r_bridge_12_a_greedy_line_is_cut_for_the_others() {
    let config = MuxConfig {
        reassembly: ReassemblyLimits {
            message_bytes: 100_000,
            line_bytes: 300_000,
            total_bytes: 300_000,
        },
        ..config()
    };
    let mut host = Mux::new(Role::Serves, config).unwrap();
    for line in [1, 2] {
        receive(&mut host, FrameEvent::Connect, line, 0, b"");
        let key = incoming(&mut host);
        host.accept(key);
    }
    sent(&mut host);
    for message in 0..4 {
        receive(&mut host, FrameEvent::Data, 1, 10 + message, &[0; 60_000]);
    }
    receive(&mut host, FrameEvent::Data, 2, 2, &[2; 65_000]);
    let reset = events(&mut host);
    assert!(matches!(reset[..], [Event::Reset(line, CloseReason::Overflow)] if line.id() == 1));
    receive(&mut host, FrameEvent::Data, 2, 1, b"");
    assert!(matches!(events(&mut host)[..], [Event::Readable(line), ..] if line.id() == 2));
}

#[test]
fn r_bridge_5_a_line_with_a_hole_is_cut_after_60_s() {
    let (mut host, line) = plain_host();
    let start = Instant::now();
    host.handle_message(&frame(FrameEvent::Data, 1, 2, b"later"), start);
    assert_eq!(host.next_deadline(), Some(start + MESSAGE_LIFETIME));
    sent(&mut host);
    host.handle_timeout(start + MESSAGE_LIFETIME);
    assert_eq!(
        events(&mut host),
        [Event::Reset(line, CloseReason::Expired)]
    );
    assert_eq!(close_code(&mut host).as_deref(), Some("expired"));
    // A line of which not even the CONNECT has come leaves no trace.
    host.handle_message(&frame(FrameEvent::Data, 5, 2, b"stray"), start);
    host.handle_timeout(start + MESSAGE_LIFETIME);
    assert_eq!((events(&mut host).len(), sent(&mut host).len()), (0, 0));
    assert_eq!(host.next_deadline(), None);
}

proptest! {
    /// Nothing that a peer says makes a mux panic, hold more than it may, or
    /// disturb a line that it does not speak of.
    #[test]
    fn r_bridge_12_hostile_frames_leave_other_lines_alone(
        hostile in proptest::collection::vec(
            (0u8..5, 2u16..6, 0u16..8, 0u16..3, 0u16..4, 0usize..3_000),
            0..60,
        ),
        serves in any::<bool>(),
    ) {
        let role = if serves { Role::Serves } else { Role::Opens };
        let mut mux = mux(role);
        let quiet = if serves {
            receive(&mut mux, FrameEvent::Connect, 1, 0, &encode_room(1_000_000));
            incoming(&mut mux)
        } else {
            let lines: Vec<_> = (0..5).map(|_| mux.open().unwrap()).collect();
            receive(&mut mux, FrameEvent::Connect, 1, 0, &encode_room(1_000_000));
            lines[0]
        };
        mux.accept(quiet);
        let now = Instant::now();
        for (event, line, message, index, total, len) in hostile {
            let mut bytes = vec![event];
            for number in [line, message, index, total, len as u16] {
                bytes.extend(number.to_be_bytes());
            }
            bytes.resize(HEADER_BYTES + len, 3);
            mux.handle_message(&bytes.into(), now);
            sent(&mut mux);
            prop_assert!(events(&mut mux).iter().all(|event| !matches!(
                event,
                Event::Reset(line, _) if *line == quiet
            )));
        }
        mux.handle_timeout(now + MESSAGE_LIFETIME);
        receive(&mut mux, FrameEvent::Data, 1, 1, b"quiet");
        prop_assert_eq!(drain(&mut mux, quiet), (b"quiet".to_vec(), None));
    }
}
