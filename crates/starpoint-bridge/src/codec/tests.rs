use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;

const VECTORS: &str = include_str!("../../../../spec/vectors/bridge.txt");

/// Returns the columns of the vectors of one kind.
fn vectors(kind: &str) -> Vec<Vec<&'static str>> {
    let lines = VECTORS.lines().filter(|line| !line.starts_with('#'));
    let columns = lines.map(|line| line.split(' ').collect::<Vec<_>>());
    let found: Vec<_> = columns
        .filter(|columns| columns[0] == kind)
        .map(|columns| columns[1..].to_vec())
        .collect();
    assert!(!found.is_empty(), "there are vectors of {kind}");
    found
}

fn unhex(hex: &str) -> Bytes {
    let hex = if hex == "-" { "" } else { hex };
    data_encoding::HEXLOWER
        .decode(hex.as_bytes())
        .unwrap()
        .into()
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn event(name: &str) -> FrameEvent {
    match name {
        "CONNECT" => FrameEvent::Connect,
        "DATA" => FrameEvent::Data,
        "CLOSE" => FrameEvent::Close,
        other => panic!("{other}"),
    }
}

#[test]
fn r_bridge_1_vectors_are_written_and_read() {
    for columns in vectors("frame") {
        let [line, message, name, payload, frame] = columns[..] else {
            panic!("{columns:?}")
        };
        let (line, message) = (line.parse().unwrap(), message.parse().unwrap());
        let made = Frame::whole(event(name), line, message, unhex(payload)).unwrap();
        assert_eq!(hex(&made.encode()), frame);
        assert_eq!(Frame::decode(&unhex(frame)), Ok(made));
    }
}

#[test]
fn r_bridge_2_long_vectors_are_written_and_read() {
    for columns in vectors("long") {
        let [line, message, fill, len, expected @ ..] = &columns[..] else {
            panic!("{columns:?}")
        };
        let len: usize = len.parse().unwrap();
        let payload: Bytes = match *fill {
            "count" => (0..len).map(|at| at as u8).collect(),
            byte => vec![u8::from_str_radix(byte, 16).unwrap(); len].into(),
        };
        let (line, message) = (line.parse().unwrap(), message.parse().unwrap());
        let made = frames(FrameEvent::Data, line, message, &payload, MAX_PAYLOAD_BYTES).unwrap();
        assert_eq!(made.len(), expected.len());
        let mut read = Vec::new();
        for (frame, expected) in made.iter().zip(expected) {
            let bytes = frame.encode();
            let digest = hex(&Sha256::digest(&bytes));
            let columns: Vec<_> = expected.split(':').collect();
            assert_eq!(bytes.len().to_string(), columns[0]);
            assert_eq!(hex(&bytes[..HEADER_BYTES]), columns[1]);
            assert!(columns[2] == "-" || columns[2] == digest, "{expected}");
            read.extend_from_slice(Frame::decode(&bytes).unwrap().payload());
        }
        assert_eq!(read, payload);
    }
}

#[test]
fn r_bridge_1_what_is_no_frame_is_refused() {
    for columns in vectors("refused") {
        let error = Frame::decode(&unhex(columns[0])).unwrap_err();
        let name = match error {
            DecodeError::TooShort { .. } => "TooShort",
            DecodeError::Size { .. } => "Size",
            DecodeError::TooLong { .. } => "TooLong",
            DecodeError::Event { .. } => "Event",
            DecodeError::TotalZero => "TotalZero",
            DecodeError::Index { .. } => "Index",
        };
        assert_eq!(name, columns[1], "{columns:?}");
    }
}

#[test]
fn r_bridge_2_one_byte_more_than_the_reference_sends_is_refused() {
    let mut bytes = vec![0, 0, 1, 0, 0, 0, 0, 0, 1, 0xff, 0xf5];
    bytes.resize(HEADER_BYTES + MAX_PAYLOAD_BYTES, 7);
    assert!(Frame::decode(&bytes.clone().into()).is_ok());
    bytes[10] = 0xf6;
    bytes.push(7);
    let error = Frame::decode(&bytes.into()).unwrap_err();
    assert_eq!(error, DecodeError::TooLong { len: 65_526 });
}

#[test]
fn r_bridge_2_messages_of_too_many_frames_are_not_made() {
    let payload = Bytes::from(vec![0; 65_536]);
    let made = |len: usize, frame| {
        frames(FrameEvent::Data, 1, 0, &payload.slice(..len), frame).map(|made| made.len())
    };
    assert_eq!(made(65_535, 1), Ok(65_535));
    assert_eq!(
        made(65_536, 1),
        Err(EncodeError::TooLong { frames: 65_536 })
    );
    assert_eq!(made(5, 0), Err(EncodeError::FramePayload { len: 0 }));
    assert_eq!(
        made(5, 65_526),
        Err(EncodeError::FramePayload { len: 65_526 })
    );
    assert_eq!(made(0, 10), Ok(1));
    let whole = Frame::whole(FrameEvent::Data, 1, 0, payload.slice(..65_526));
    assert_eq!(whole, Err(EncodeError::FramePayload { len: 65_526 }));
}

#[test]
fn the_line_of_damaged_bytes_is_told() {
    assert_eq!(named_line(&[9, 1, 2]), Some(258));
    assert_eq!(named_line(&[9, 1]), None);
}

fn any_event() -> impl Strategy<Value = FrameEvent> {
    prop_oneof![
        Just(FrameEvent::Data),
        Just(FrameEvent::Close),
        Just(FrameEvent::Connect)
    ]
}

proptest! {
    #[test]
    fn r_bridge_1_frames_round_trip_and_tell_their_length(
        event in any_event(),
        line in any::<u16>(),
        message in any::<u16>(),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        frame_payload_bytes in 1usize..100,
    ) {
        let payload = Bytes::from(payload);
        let made = frames(event, line, message, &payload, frame_payload_bytes).unwrap();
        for (index, frame) in made.iter().enumerate() {
            let bytes = frame.encode();
            prop_assert_eq!(bytes.len(), frame.encoded_len());
            prop_assert_eq!(usize::from(frame.index()), index);
            prop_assert_eq!(usize::from(frame.total()), made.len());
            prop_assert_eq!(&Frame::decode(&bytes).unwrap(), frame);
        }
    }

    #[test]
    fn r_bridge_1_any_bytes_are_read_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let bytes = Bytes::from(bytes);
        if let Ok(frame) = Frame::decode(&bytes) {
            prop_assert!(frame.index() < frame.total());
            prop_assert_eq!(frame.encode(), bytes);
        }
    }

    #[test]
    fn r_bridge_1_damage_never_panics(
        payload in proptest::collection::vec(any::<u8>(), 0..40),
        at in any::<proptest::sample::Index>(),
        bits in 1u8..,
    ) {
        let frame = Frame::whole(FrameEvent::Data, 3, 4, payload.into()).unwrap();
        let mut bytes = frame.encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        prop_assert_ne!(Frame::decode(&bytes.into()), Ok(frame));
    }
}
