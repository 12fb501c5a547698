use proptest::prelude::*;

use super::*;
use crate::codec::frames;

const LIMITS: ReassemblyLimits = ReassemblyLimits {
    message_bytes: 1_000,
    line_bytes: 2_000,
    total_bytes: 4_000,
};

fn reassembly(lines: &[u16]) -> Reassembly {
    let mut reassembly = Reassembly::new(LIMITS);
    for line in lines {
        reassembly.open(*line);
    }
    reassembly
}

/// A frame by its bytes: line 1, event DATA.
fn raw(message: u16, index: u16, total: u16, payload: &str) -> Frame {
    raw_of(1, 0, message, index, total, payload)
}

fn raw_of(line: u16, event: u8, message: u16, index: u16, total: u16, payload: &str) -> Frame {
    let mut bytes = vec![event];
    for number in [line, message, index, total, payload.len() as u16] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(payload.as_bytes());
    Frame::decode(&bytes.into()).unwrap()
}

fn text(message: Option<Message>) -> Option<String> {
    message.map(|message| String::from_utf8(message.payload.to_vec()).unwrap())
}

#[test]
fn r_bridge_3_frames_of_a_message_come_in_any_order() {
    let (mut reassembly, now) = (reassembly(&[1]), Instant::now());
    assert_eq!(reassembly.accept(raw(0, 2, 3, "cc"), now), Ok(None));
    assert_eq!(reassembly.accept(raw(0, 0, 3, "aa"), now), Ok(None));
    let whole = reassembly.accept(raw(0, 1, 3, "bb"), now).unwrap();
    assert_eq!(text(whole).as_deref(), Some("aabbcc"));
    assert_eq!(reassembly.waiting_bytes(), 0);
    assert_eq!(reassembly.next_deadline(), None);
}

#[test]
fn r_bridge_3_duplicates_are_ignored_and_contradictions_refused() {
    let (mut reassembly, now) = (reassembly(&[1]), Instant::now());
    assert_eq!(reassembly.accept(raw(0, 0, 2, "aa"), now), Ok(None));
    assert_eq!(reassembly.accept(raw(0, 0, 2, "aa"), now), Ok(None));
    for (bad, fault) in [
        (raw(0, 0, 2, "xx"), ReassemblyFault::Conflict),
        (raw(0, 1, 3, "bb"), ReassemblyFault::Disagreement),
        (raw_of(1, 1, 0, 1, 2, "bb"), ReassemblyFault::Disagreement),
        (raw_of(2, 0, 0, 0, 1, ""), ReassemblyFault::UnknownLine),
    ] {
        assert_eq!(reassembly.accept(bad, now), Err(fault));
    }
    let whole = reassembly.accept(raw(0, 1, 2, "bb"), now).unwrap();
    assert_eq!(text(whole).as_deref(), Some("aabb"));
    assert_eq!(reassembly.accept(raw(0, 1, 2, "bb"), now), Ok(None), "late");
    assert_eq!(reassembly.waiting_bytes(), 0);
}

#[test]
fn r_bridge_4_messages_come_in_the_order_of_their_ids() {
    let (mut reassembly, now) = (reassembly(&[1]), Instant::now());
    assert_eq!(reassembly.accept(raw(2, 0, 1, "two"), now), Ok(None));
    assert_eq!(reassembly.accept(raw(1, 0, 1, "one"), now), Ok(None));
    assert_eq!(reassembly.accept(raw(1, 0, 1, "one"), now), Ok(None));
    let first = reassembly.accept(raw(0, 0, 1, "zero"), now).unwrap();
    assert_eq!(text(first).as_deref(), Some("zero"));
    assert_eq!(text(reassembly.next(1)).as_deref(), Some("one"));
    assert_eq!(text(reassembly.next(1)).as_deref(), Some("two"));
    assert_eq!(reassembly.next(1), None);
}

#[test]
fn r_bridge_4_message_ids_wrap_and_the_distant_are_refused() {
    let (mut reassembly, now) = (reassembly(&[1]), Instant::now());
    for n in 0..70_000_u32 {
        let whole = reassembly.accept(raw(n as u16, 0, 1, "x"), now);
        assert!(whole.unwrap().is_some(), "message {n}");
    }
    let due = 70_000_u32 as u16;
    let ahead = |n: u16| raw(due.wrapping_add(n), 0, 1, "x");
    assert_eq!(reassembly.accept(ahead(MAX_AHEAD), now), Ok(None));
    let fault = reassembly.accept(ahead(MAX_AHEAD + 1), now);
    assert_eq!(fault, Err(ReassemblyFault::TooFarAhead));
    let held = reassembly.waiting_bytes();
    assert_eq!(reassembly.accept(ahead(u16::MAX), now), Ok(None));
    assert_eq!(reassembly.waiting_bytes(), held, "a duplicate is not kept");
}

#[test]
fn r_bridge_3_what_waits_is_bounded() {
    let (mut reassembly, now) = (reassembly(&[1, 2, 3]), Instant::now());
    let long = "x".repeat(600);
    assert_eq!(reassembly.accept(raw(0, 0, 2, &long), now), Ok(None));
    let fault = reassembly.accept(raw(0, 1, 2, &long), now);
    assert_eq!(fault, Err(ReassemblyFault::MessageTooLong));
    let fault = reassembly.accept(raw(1, 0, 1, &"x".repeat(1_001)), now);
    assert_eq!(fault, Err(ReassemblyFault::MessageTooLong));
    assert_eq!(reassembly.accept(raw(1, 0, 1, &long), now), Ok(None));
    let fault = reassembly.accept(raw(2, 0, 1, &long), now);
    assert_eq!(fault, Err(ReassemblyFault::LineFull));
    let of = |line, message| raw_of(line, 0, message, 0, 2, &long);
    assert_eq!(reassembly.accept(of(2, 0), now), Ok(None));
    assert_eq!(reassembly.accept(of(2, 1), now), Ok(None));
    assert_eq!(reassembly.accept(of(3, 0), now), Ok(None));
    assert_eq!(
        reassembly.accept(of(3, 1), now),
        Err(ReassemblyFault::TotalFull)
    );
    assert!(matches!(reassembly.greediest(), Some(1 | 2)));
    reassembly.close(1);
    assert_eq!(reassembly.accept(of(3, 1), now), Ok(None));
    reassembly.close(2);
    reassembly.close(3);
    assert_eq!(reassembly.waiting_bytes(), 0);
    assert_eq!(
        (reassembly.greediest(), reassembly.next_deadline()),
        (None, None)
    );
}

#[test]
fn r_bridge_3_empty_frames_are_bounded_too() {
    let (mut reassembly, now) = (reassembly(&[1]), Instant::now());
    let taken = (1..100).take_while(|n| reassembly.accept(raw(*n, 0, 1, ""), now).is_ok());
    assert_eq!(taken.count(), LIMITS.line_bytes / FRAME_OVERHEAD_BYTES);
}

#[test]
fn r_bridge_5_a_message_waits_at_most_60_s() {
    let (mut reassembly, start) = (reassembly(&[1, 2]), Instant::now());
    let second = Duration::from_secs(1);
    assert_eq!(reassembly.accept(raw(0, 0, 2, "a"), start), Ok(None));
    let later = start + 30 * second;
    let other = raw_of(2, 0, 1, 0, 1, "b");
    assert_eq!(reassembly.accept(other, later), Ok(None));
    assert_eq!(reassembly.next_deadline(), Some(start + 60 * second));
    assert_eq!(reassembly.expired(start + 59 * second), None);
    assert_eq!(reassembly.expired(start + 60 * second), Some(1));
    reassembly.close(1);
    assert_eq!(reassembly.expired(start + 89 * second), None);
    assert_eq!(
        reassembly.expired(start + 90 * second),
        Some(2),
        "a gap too"
    );
}

#[test]
fn payloads_of_a_line_that_nobody_reads_are_dropped() {
    let (mut reassembly, now) = (reassembly(&[1]), Instant::now());
    let long = "x".repeat(900);
    assert_eq!(reassembly.accept(raw(1, 0, 2, &long), now), Ok(None));
    reassembly.discard_payloads(1);
    assert_eq!(reassembly.waiting_bytes(), FRAME_OVERHEAD_BYTES);
    assert_eq!(reassembly.accept(raw(1, 1, 2, &long), now), Ok(None));
    assert!(reassembly.accept(raw(0, 0, 1, ""), now).unwrap().is_some());
    assert_eq!(text(reassembly.next(1)).as_deref(), Some(""));
    assert_eq!(reassembly.waiting_bytes(), 0);
}

proptest! {
    #[test]
    fn r_bridge_4_everything_arrives_in_any_order_of_frames(
        lens in proptest::collection::vec(0usize..200, 1..12),
        seed in any::<u64>(),
        twice in 0usize..4,
    ) {
        let mut reassembly = Reassembly::new(ReassemblyLimits::default());
        reassembly.open(1);
        let messages: Vec<_> = lens.iter().map(|len| Bytes::from(vec![*len as u8; *len])).collect();
        let mut sent = Vec::new();
        for (id, payload) in messages.iter().enumerate() {
            sent.extend(frames(FrameEvent::Data, 1, id as u16, payload, 30).unwrap());
        }
        sent.extend_from_within(..twice.min(sent.len()));
        let mut state = seed | 1;
        for at in (1..sent.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            sent.swap(at, (state >> 33) as usize % (at + 1));
        }
        let mut received = Vec::new();
        for frame in sent {
            let first = reassembly.accept(frame, Instant::now()).unwrap();
            let mut next = first;
            while let Some(message) = next {
                received.push(message.payload);
                next = reassembly.next(1);
            }
        }
        prop_assert_eq!(received, messages);
        prop_assert_eq!(reassembly.waiting_bytes(), 0);
    }
}
