use data_encoding::HEXLOWER;

use super::*;

fn name(text: &str) -> TargetName {
    text.parse().unwrap()
}

/// Every kind of frame with its bytes.
fn vectors() -> Vec<(Frame, String)> {
    let join = Frame::Join {
        session: SessionId::from_bytes([0x11; 8]),
        proof: CodeProof::from_bytes([0x22; 32]),
    };
    let connect = |target| Frame::Connect { target };
    let open = Frame::Open {
        targets: vec![name("web"), name("nas-1.a_b")],
    };
    let join_hex = format!("002901{}{}", "11".repeat(8), "22".repeat(32));
    let vectors = [
        (join, join_hex.as_str()),
        (connect(Some(name("web"))), "0006020377656200"),
        (connect(None), "0003020000"),
        (Frame::Leave, "000103"),
        (Frame::Waiting { seconds: 120 }, "0003110078"),
        (open, "0010120203776562096e61732d312e615f62"),
        (Frame::Refused(Refusal::Declined), "00021306"),
        (Frame::Connected, "000114"),
        (
            Frame::Ping([1, 2, 3, 4, 5, 6, 7, 8]),
            "0009210102030405060708",
        ),
        (
            Frame::Pong([1, 2, 3, 4, 5, 6, 7, 8]),
            "0009220102030405060708",
        ),
    ];
    vectors.map(|(frame, hex)| (frame, hex.to_owned())).into()
}

fn decode(bytes: &[u8]) -> Result<Frame, FrameError> {
    let (prefix, rest) = bytes.split_first_chunk().ok_or(FrameError::Length)?;
    assert_eq!(Frame::length(*prefix)?, rest.len());
    Frame::decode(rest)
}

#[test]
fn r_tunnel_3_frames_have_these_bytes_both_ways() {
    for (frame, hex) in vectors() {
        assert_eq!(HEXLOWER.encode(&frame.encode()), hex, "{frame:?}");
        let bytes = HEXLOWER.decode(hex.as_bytes()).unwrap();
        assert_eq!(decode(&bytes), Ok(frame));
    }
}

#[test]
fn r_tunnel_3_the_longest_frame_fits() {
    let longest = name(&"a".repeat(TargetName::MAX_BYTES));
    let targets = vec![longest; MAX_TARGETS];
    let frame = Frame::Open { targets };
    let bytes = frame.encode();
    assert_eq!(bytes.len(), LENGTH_BYTES + MAX_FRAME_BYTES);
    assert_eq!(decode(&bytes), Ok(frame));
}

#[test]
fn r_tunnel_3_lengths_are_checked_before_they_are_believed() {
    assert_eq!(Frame::length([0, 0]), Err(FrameError::Length));
    assert_eq!(Frame::length([0, 1]), Ok(1));
    assert_eq!(Frame::length(1_058_u16.to_be_bytes()), Ok(1_058));
    assert_eq!(
        Frame::length(1_059_u16.to_be_bytes()),
        Err(FrameError::Length)
    );
    assert_eq!(Frame::length([0xff, 0xff]), Err(FrameError::Length));
}

#[test]
fn r_tunnel_3_what_is_malformed_is_refused() {
    for hex in [
        "",                 // no kind
        "00",               // no such kind
        "04",               //
        "0101",             // JOIN that is cut
        "02",               // CONNECT without anything
        "020377656201",     // with unknown options
        "0203776562",       // without options
        "02ff77656200",     // with a length beyond its end
        "020357656200",     // with a capital
        "0202c32800",       // with what is no text
        "0300",             // LEAVE with more
        "1221",             // OPEN with too many targets
        "12010000",         // with a nameless one
        "1300",             // no such refusal
        "1314",             //
        "140000",           // CONNECTED with more
        "2101020304050607", // a short PING
    ] {
        let bytes = HEXLOWER.decode(hex.as_bytes()).unwrap();
        assert_eq!(Frame::decode(&bytes), Err(FrameError::Malformed), "{hex}");
    }
}

#[test]
fn r_tunnel_3_damage_never_panics_and_what_is_read_is_what_is_there() {
    for (frame, _) in vectors() {
        let bytes = frame.encode();
        let body = &bytes[LENGTH_BYTES..];
        for n_bytes in 0..body.len() {
            assert!(Frame::decode(&body[..n_bytes]).is_err(), "{frame:?}");
        }
        for position in 0..body.len() {
            for flip in 1..=255 {
                let mut damaged = body.to_vec();
                damaged[position] ^= flip;
                if let Ok(other) = Frame::decode(&damaged) {
                    assert_eq!(&other.encode()[LENGTH_BYTES..], damaged);
                }
            }
        }
    }
}
