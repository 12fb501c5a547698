use proptest::prelude::*;

use super::*;

/// What a decoder makes of bytes that come in pieces of these lengths.
#[derive(Debug, PartialEq)]
struct Decoded {
    data: Vec<u8>,
    /// With the number of data bytes before each.
    items: Vec<(usize, PipeItem)>,
    violation: Option<PipeViolation>,
}

fn decode(sender: PipeSender, bytes: &[u8], steps: &[usize]) -> Decoded {
    let mut decoder = PipeDecoder::new(sender);
    let mut decoded = Decoded {
        data: Vec::new(),
        items: Vec::new(),
        violation: None,
    };
    let mut steps = steps.iter().cycle();
    let mut rest = bytes;
    while !rest.is_empty() {
        let n = steps.next().map_or(rest.len(), |n| (*n).min(rest.len()));
        let (piece, later) = rest.split_at(n);
        rest = later;
        let mut piece = piece.to_vec();
        let mut at = 0;
        while at < piece.len() {
            let step = match decoder.next(&mut piece[at..]) {
                Ok(step) => step,
                Err(violation) => {
                    decoded.violation = Some(violation);
                    return decoded;
                }
            };
            at += step.taken;
            match step.item {
                PipeItem::Data(n) => decoded.data.extend_from_slice(&piece[at - n..at]),
                PipeItem::Starved => assert_eq!(at, piece.len(), "all is taken"),
                item
                @ (PipeItem::End | PipeItem::Close(_) | PipeItem::Ping(_) | PipeItem::Pong) => {
                    decoded.items.push((decoded.data.len(), item))
                }
            }
        }
    }
    decoded
}

fn frame(opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let (head, n) = frame_head(opcode, payload.len(), key);
    let mut frame = head[..n].to_vec();
    frame.extend_from_slice(payload);
    mask(&mut frame[n..], key.unwrap_or_default());
    frame
}

fn violation(sender: PipeSender, bytes: &[u8]) -> Option<PipeViolation> {
    decode(sender, bytes, &[bytes.len()]).violation
}

/// `spec/vectors/pipe.txt`: a sender, hex, and what comes out.
#[test]
fn r_pipe_2_vectors_are_read() {
    let mut n_vectors = 0;
    for line in include_str!("../../../../spec/vectors/pipe.txt").lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut columns = line.splitn(3, ' ');
        let (sender, hex, expected) = (columns.next(), columns.next(), columns.next());
        let sender = match sender {
            Some("peer") => PipeSender::Peer,
            Some("star") => PipeSender::Star,
            other => panic!("{other:?}"),
        };
        let bytes = data_encoding::HEXLOWER.decode(hex.unwrap().as_bytes());
        let decoded = decode(sender, &bytes.unwrap(), &[1]);
        let mut words = vec![String::from_utf8(decoded.data).unwrap()];
        words.retain(|data| !data.is_empty());
        for (_, item) in decoded.items {
            words.push(match item {
                PipeItem::End => "<end>".to_owned(),
                PipeItem::Close(None) => "<close>".to_owned(),
                PipeItem::Close(Some(status)) => format!("<close {status}>"),
                PipeItem::Ping(payload) => {
                    format!("<ping {}>", String::from_utf8_lossy(payload.as_bytes()))
                }
                PipeItem::Pong => "<pong>".to_owned(),
                PipeItem::Data(_) | PipeItem::Starved => unreachable!("collected above"),
            });
        }
        words.extend(decoded.violation.map(|violation| format!("{violation:?}")));
        assert_eq!(words.join(" "), expected.unwrap_or_default(), "{line}");
        n_vectors += 1;
    }
    assert!(n_vectors >= 20, "{n_vectors} vectors");
}

#[test]
fn r_pipe_2_lengths_are_in_their_shortest_form() {
    for (n, head) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        assert_eq!(head_bytes(n, None), head);
        assert_eq!(head_bytes(n, Some([0; 4])), head + 4);
        let bytes = frame(Opcode::Binary, &vec![7; n], None);
        assert_eq!(bytes.len(), head + n);
        let decoded = decode(PipeSender::Star, &bytes, &[1_000]);
        assert_eq!((decoded.data.len(), decoded.violation), (n, None));
    }
    for long in [
        &[0x82, 126, 0, 125][..],
        &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
        &[0x82, 127, 0x80, 0, 0, 0, 0, 1, 0, 0],
    ] {
        let found = violation(PipeSender::Star, long);
        assert_eq!(found, Some(PipeViolation::Length));
    }
}

#[test]
fn a_head_is_written_just_before_its_payload() {
    let mut room = [0xee; 16];
    assert_eq!(write_head(&mut room, Opcode::Binary, 300, None), 4);
    assert_eq!(room[12..], [0x82, 126, 1, 44]);
    assert_eq!(room[..12], [0xee; 12]);
}

#[test]
fn statuses_are_frozen() {
    let statuses = PipeClose::ALL.map(PipeClose::status);
    assert_eq!(statuses, [1000, 4000, 4001, 4002, 4003, 4004, 4005]);
    for close in PipeClose::ALL {
        assert_eq!(PipeClose::from_status(close.status()), Some(close));
    }
    assert_eq!(PipeClose::from_status(1001), None);
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        6 => Just(Opcode::Binary),
        1 => Just(Opcode::Ping),
        1 => Just(Opcode::Pong),
    ];
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..125),
        (0u8..3, 126usize..70_000).prop_map(|(byte, n)| vec![byte; n]),
    ];
    (opcode, payload, any::<[u8; 4]>()).prop_map(|(opcode, mut payload, key)| {
        if opcode != Opcode::Binary {
            payload.truncate(MAX_CONTROL_BYTES);
        }
        frame(opcode, &payload, Some(key))
    })
}

proptest! {
    #[test]
    fn r_pipe_2_the_same_comes_out_however_the_bytes_are_cut(
        frames in proptest::collection::vec(any_frame(), 0..6),
        steps in proptest::collection::vec(1usize..40_000, 1..8),
        cut in 0usize..20,
    ) {
        let mut bytes = frames.concat();
        bytes.extend(frame(Opcode::Text, END, Some([9, 8, 7, 6])));
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        let whole = decode(PipeSender::Peer, &bytes, &[bytes.len().max(1)]);
        let pieces = decode(PipeSender::Peer, &bytes, &steps);
        prop_assert_eq!(whole.violation, None);
        prop_assert!(whole == pieces);
    }

    #[test]
    fn r_pipe_2_damage_never_panics(
        frames in proptest::collection::vec(any_frame(), 1..4),
        at in any::<proptest::sample::Index>(),
        bits in 1u8..,
        step in 1usize..1_000,
    ) {
        let mut bytes = frames.concat();
        let at = at.index(bytes.len().min(64));
        bytes[at] ^= bits;
        let pieces = decode(PipeSender::Peer, &bytes, &[step]);
        prop_assert!(pieces == decode(PipeSender::Peer, &bytes, &[bytes.len()]));
    }

    #[test]
    fn r_pipe_2_any_bytes_are_read(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        step in 1usize..40,
    ) {
        for sender in [PipeSender::Peer, PipeSender::Star] {
            let pieces = decode(sender, &bytes, &[step]);
            prop_assert!(pieces == decode(sender, &bytes, &[bytes.len().max(1)]));
        }
    }

    #[test]
    fn masks_are_as_in_the_rfc(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        key in any::<[u8; 4]>(),
        cut in any::<proptest::sample::Index>(),
    ) {
        let plain: Vec<_> = bytes.iter().enumerate().map(|(at, b)| b ^ key[at % 4]).collect();
        let mut masked = bytes.clone();
        let cut = cut.index(bytes.len() + 1);
        let mut later = key;
        later.rotate_left(cut % 4);
        mask(&mut masked[..cut], key);
        mask(&mut masked[cut..], later);
        prop_assert_eq!(&masked, &plain);
        let mut copied = vec![0; bytes.len()];
        copy_masked(&bytes, &mut copied, key);
        prop_assert_eq!(&copied, &plain);
    }
}

/// A longer payload before it leaves bytes behind in the decoder.
#[test]
fn equal_payloads_of_control_frames_are_equal() {
    let ping = |payload: &[u8]| frame(Opcode::Ping, payload, None);
    let alone = decode(PipeSender::Star, &ping(b"hi"), &[]);
    let after = decode(
        PipeSender::Star,
        &[ping(b"longer"), ping(b"hi")].concat(),
        &[],
    );
    assert_eq!(after.items[1], alone.items[0]);
    let shown = format!("{:?}", alone.items[0].1);
    assert_eq!(shown, "Ping(ControlPayload(2 bytes))");
}
