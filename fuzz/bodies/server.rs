//! Bodies of the fuzz targets `server_*`.

use std::{io::Cursor, net::IpAddr, sync::Arc};

use axum::http::{HeaderMap, HeaderValue};
use futures_util::FutureExt as _;
use serde_json::Value;
use starpoint_broker::{ConnId, SourceId};
use tokio::{io::AsyncReadExt as _, sync::mpsc};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use crate::{
    account::{Account, SMALL_BYTES},
    gate::{
        frames::{FrameHead, FrameWalker, MAX_HEADER_BYTES, Opcode, SeenFrame},
        inbound::{Inbound, KIND_BYTES, Stop},
        pong::Pong,
    },
    http::polling::{engine3, packets::Encoding},
    native::packet::{self, Packet},
    proxy::{Told, TrustedProxy, forwarded, header},
    session::{Heartbeat, Session},
    socketio,
    source::Source,
};

/// Bytes of the input that say how the others are cut.
const STEPS: usize = 4;

/// Cuts the input behind its first bytes into pieces of as many bytes as those say,
/// over and over.
fn pieces(input: &[u8]) -> Vec<&[u8]> {
    let (steps, mut rest) = input.split_at(input.len().min(STEPS));
    let mut steps = steps.iter().map(|step| usize::from(*step).max(1)).cycle();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let n = steps.next().unwrap_or(1).min(rest.len());
        let (piece, after) = rest.split_at(n);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Walks over the input as frames: cut anywhere, byte by byte, as far as is sure, and
/// with the library's parser.
pub fn frames(input: &[u8]) {
    let pieces = pieces(input);
    let bytes = pieces.concat();
    let (whole, expected) = walked(&[&bytes]);
    let bytewise: Vec<_> = bytes.chunks(1).collect();
    for parts in [&pieces, &bytewise] {
        let (cut, seen) = walked(parts);
        assert_eq!(seen, expected);
        assert_eq!(state(&cut), state(&whole));
    }
    let (sure, seen) = walk_what_is_sure(&bytes);
    assert_eq!(seen, expected);
    assert_eq!(state(&sure), state(&whole));
    compare_with_library(&bytes, &expected);
}

fn walked(parts: &[&[u8]]) -> (FrameWalker, Vec<SeenFrame>) {
    let mut walker = FrameWalker::default();
    let mut seen = Vec::new();
    for part in parts {
        walker.walk(part, |frame| seen.push(frame));
    }
    (walker, seen)
}

fn state(walker: &FrameWalker) -> (bool, bool, u64, bool, bool) {
    assert!(walker.is_between_frames() || !walker.is_between_messages());
    assert!(walker.is_within_payload() || !walker.is_within_data());
    (
        walker.is_between_messages(),
        walker.is_between_frames(),
        walker.rest_of_frame(),
        walker.is_within_payload(),
        walker.is_within_data(),
    )
}

/// Walks as far as the walker says that the frame goes: no step may complete more than
/// one frame, and none may stand still.
fn walk_what_is_sure(bytes: &[u8]) -> (FrameWalker, Vec<SeenFrame>) {
    let mut walker = FrameWalker::default();
    let mut seen = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let sure = usize::try_from(walker.rest_of_frame()).unwrap_or(usize::MAX);
        assert!(sure > 0 || walker.is_between_messages() || walker.is_within_payload());
        let n = sure.max(1).min(bytes.len() - at);
        let before = seen.len();
        walker.walk(&bytes[at..at + n], |frame| seen.push(frame));
        assert!(seen.len() <= before + 1, "a step goes into the next frame");
        at += n;
    }
    (walker, seen)
}

/// Both have to see the same heads, as far as the library sees any.
fn compare_with_library(bytes: &[u8], seen: &[SeenFrame]) {
    let (mut at, mut seen) = (0, seen.iter());
    while at < bytes.len() {
        let mut cursor = Cursor::new(&bytes[at..]);
        let theirs = FrameHeader::parse(&mut cursor);
        let ours = FrameHead::parse(&bytes[at..]);
        let (Ok(Some((header, len))), Some(head)) = (theirs, ours) else {
            return;
        };
        assert!(head.head_len <= MAX_HEADER_BYTES);
        assert_eq!(head.head_len as u64, cursor.position());
        assert_eq!(head.len, len);
        assert_eq!(head.is_final, header.is_final);
        assert_eq!(head.mask, header.mask.unwrap_or_default());
        assert_eq!(head.opcode, ours_of(header.opcode));
        at += head.head_len;
        match usize::try_from(len) {
            Ok(len) if len <= bytes.len() - at => at += len,
            Ok(_) | Err(_) => return,
        }
        let frame = seen.next().expect("the walker passed this frame");
        assert_eq!((frame.len, frame.opcode), (len, head.opcode));
        assert_eq!(frame.is_final, head.is_final);
    }
    assert_eq!(seen.next(), None);
}

fn ours_of(opcode: OpCode) -> Opcode {
    match opcode {
        OpCode::Data(Data::Continue) => Opcode::Continuation,
        OpCode::Data(Data::Text) => Opcode::Text,
        OpCode::Data(Data::Binary) => Opcode::Binary,
        OpCode::Control(Control::Ping) => Opcode::Ping,
        OpCode::Data(Data::Reserved(_))
        | OpCode::Control(Control::Close | Control::Pong | Control::Reserved(_)) => Opcode::Control,
    }
}

/// Largest message of the stars below.
const MAX_MESSAGE_BYTES: usize = 1 << 16;

/// How a client stands with its star.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Joined,
    Stranger,
}

/// What became of a client's bytes.
#[derive(Debug, PartialEq, Eq)]
struct Passed {
    bytes: Vec<u8>,
    refusal: Option<Stop>,
    pong: Option<Vec<u8>>,
}

/// Sends the input to a gate: cut and whole, joined and not, with and without room.
pub fn inbound(input: &[u8]) {
    let pieces = pieces(input);
    let whole = pieces.concat();
    for standing in [Standing::Joined, Standing::Stranger] {
        let roomy = || Account::new(1 << 30, 1 << 20);
        let cut = pass(&pieces, standing, &roomy());
        assert_eq!(pass(&[&whole], standing, &roomy()), cut);
        check_passed(&cut, &whole);
        let narrow = Account::new(0, 1 << 10);
        let narrowed = pass(&pieces, standing, &narrow);
        assert!(cut.bytes.starts_with(&narrowed.bytes));
    }
}

fn pass(pieces: &[&[u8]], standing: Standing, account: &Arc<Account>) -> Passed {
    let (events, _) = mpsc::unbounded_channel();
    let source = Arc::new(Source::new(SourceId(1), Arc::clone(account), 1));
    let (heartbeat, tally) = (Heartbeat::OfLibrary, Arc::default());
    let session = Session::new(ConnId(1), source, events, None, heartbeat, tally);
    let most_held = match standing {
        Standing::Joined => {
            session.set_joined();
            MAX_MESSAGE_BYTES + socketio::HEAD_BYTES
        }
        Standing::Stranger => SMALL_BYTES,
    };
    let mut inbound = Inbound::new(Arc::clone(&session), MAX_MESSAGE_BYTES);
    let mut pong = Pong::default();
    let (mut bytes, mut stash) = (Vec::new(), Vec::new());
    let mut refusal = None;
    for piece in pieces {
        session.set_paused(piece.len().is_multiple_of(2));
        stash.extend_from_slice(piece);
        while refusal.is_none() {
            let (n, stop) = inbound.inspect(&mut stash, piece.len() * 8, &mut pong);
            assert!(n <= stash.len().min(piece.len() * 8));
            bytes.extend(stash.drain(..n));
            assert!(account.held_bytes() <= bytes.len());
            inbound.passed_on();
            assert!(account.held_bytes() <= most_held);
            match stop {
                None if stash.is_empty() => break,
                None => assert!(n > 0),
                Some(Stop::Incomplete) => {
                    assert!(stash.len() < MAX_HEADER_BYTES + KIND_BYTES);
                    break;
                }
                Some(Stop::Held) => {
                    assert!(session.is_held() && inbound.is_between_messages());
                    session.set_paused(false);
                }
                Some(why @ (Stop::NoRoom(_) | Stop::TooLong | Stop::Malformed)) => {
                    refusal = Some(why);
                }
            }
        }
    }
    drop(inbound);
    assert_eq!(account.held_bytes(), 0);
    let pong = pong.unwritten().map(<[u8]>::to_vec);
    Passed {
        bytes,
        refusal,
        pong,
    }
}

/// What is passed on is what was sent, with pings turned into pongs.
fn check_passed(passed: &Passed, sent: &[u8]) {
    let (_, frames) = walked(&[&passed.bytes]);
    assert!(frames.iter().all(|frame| frame.opcode != Opcode::Ping));
    let changed = passed.bytes.iter().zip(sent).filter(|(a, b)| a != b);
    for (passed, sent) in changed {
        assert_eq!((passed & 0x0f, sent & 0x0f), (0xa, 0x9));
        assert_eq!(passed ^ sent, Opcode::PING_TO_PONG);
    }
    if let Some(pong) = &passed.pong {
        let frame = FrameHead::parse(pong).expect("a whole head");
        assert_eq!((pong[0], frame.mask), (0x8a, [0; 4]));
        assert_eq!(frame.head_len as u64 + frame.len, pong.len() as u64);
        assert!(pong.len() <= 127);
    }
}

/// Reads the input as a packet of the native profile, and writes it as arguments of one.
pub fn packet(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let has_sign = text.starts_with("45+") || text.starts_with("46+");
    assert!(!has_sign || Packet::parse(text).is_err());
    match Packet::parse(text) {
        Ok(Packet::Event {
            json,
            ack,
            n_attachments,
        }) => {
            assert!(text.ends_with(json) && n_attachments <= 8);
            assert!(ack.is_none_or(|ack| ack >= 0));
            let ack = ack.map(|ack| ack.to_string()).unwrap_or_default();
            let again = format!("45{n_attachments}-/,{ack}{json}");
            assert_eq!(Packet::parse(&again), Packet::parse(text));
        }
        Ok(Packet::Ack {
            id,
            args,
            n_attachments,
        }) => {
            assert!(text.ends_with(args) && n_attachments <= 8);
            assert!(serde_json::from_str::<serde::de::IgnoredAny>(args).is_ok());
            let again = format!("46{n_attachments}-/,{id}{args}");
            assert_eq!(Packet::parse(&again), Packet::parse(text));
        }
        Ok(Packet::Ping | Packet::Pong | Packet::Close | Packet::Connect | Packet::Noop)
        | Err(packet::Malformed) => {}
    }
    if let Ok(args @ Value::Array(_)) = serde_json::from_str(text) {
        written(&args.to_string());
    }
}

/// What the star writes is read by the same grammar.
fn written(text: &str) {
    // Read anew: a number may not be read as it was before it was written.
    let args: Vec<Value> = serde_json::from_str(text).expect("an array");
    let n_attachments = args.len() % 9;
    let event = packet::event("name", text, Some(args.len() as u64), n_attachments);
    let Ok(Packet::Event {
        json,
        ack,
        n_attachments: n_read,
    }) = Packet::parse(&event)
    else {
        panic!("{event} is no event");
    };
    assert_eq!((ack, n_read), (Some(args.len() as i64), n_attachments));
    let whole: Vec<Value> = serde_json::from_str(json).expect("an array");
    assert_eq!(whole[0], "name");
    assert_eq!(whole[1..], args);
    let answer = packet::answer(i64::MAX, text);
    assert!(matches!(Packet::parse(&answer), Ok(Packet::Ack { args, .. }) if args == text));
}

/// Reads the input as payloads of long polling.
pub fn polling(input: &[u8]) {
    for encoding in [Encoding::Text4, Encoding::Text3, Encoding::Binary3] {
        let mut rest = input;
        while !rest.is_empty() {
            let Some(packet) = encoding.first(rest) else {
                break;
            };
            assert!((1..=rest.len()).contains(&packet.len), "{encoding:?}");
            rest = &rest[packet.len..];
        }
    }
    if std::str::from_utf8(input).is_ok() {
        check_text(input);
    }
    if let Some(mended) = engine3::mend_binary(input) {
        assert!(mended.len() <= 2 * input.len());
        let again = engine3::mend_binary(&mended);
        assert_eq!(again.as_ref(), Some(&mended), "mended twice");
    }
}

/// A packet gets the type that was forgotten, or stays as it is.
fn check_text(answer: &[u8]) {
    let Some(mended) = engine3::mend_text(answer) else {
        return;
    };
    // A packet of two bytes or more gets one more, and perhaps a digit.
    assert!(mended.len() <= 2 * answer.len());
    let (mut before, mut after) = (answer, &mended[..]);
    while !before.is_empty() {
        let first = check_piece(&mut before);
        let second = check_piece(&mut after);
        match first.strip_prefix('b') {
            Some(base64) => assert_eq!(second, format!("b4{base64}")),
            None => assert_eq!(second, first),
        }
    }
    assert!(after.is_empty());
}

/// Takes the first packet off a payload.
fn check_piece<'a>(payload: &mut &'a [u8]) -> &'a str {
    let (len, packet) = engine3::first_text(payload).expect("it was read before");
    let piece = std::str::from_utf8(&payload[..len]).expect("cut between characters");
    let (length, text) = piece.split_once(':').expect("a length and a packet");
    assert_eq!(text.as_bytes(), packet);
    assert!((1..10).contains(&length.len()));
    assert!(length.bytes().all(|byte| byte.is_ascii_digit()), "{length}");
    assert_eq!(length.parse(), Ok(text.encode_utf16().count()));
    *payload = &payload[len..];
    text
}

/// Reads the first line of the input as a trusted network, and the others as what
/// proxies add to a request.
pub fn forwarded(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let network = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let Some(Ok(network)) = network.map(str::parse::<TrustedProxy>) else {
        return;
    };
    let written = network.to_string();
    assert_eq!(written.parse(), Ok(network));
    let address = written.split('/').next().unwrap_or_default();
    let peer: IpAddr = address.parse().expect("an address is written");
    assert!(network.contains(peer), "{network} without its own address");

    let mut headers = HeaderMap::new();
    for line in lines {
        if let Ok(line) = HeaderValue::from_bytes(line) {
            headers.append("x-forwarded-for", line);
        }
    }
    let trusts = |addr| network.contains(addr);
    let client = forwarded::client(trusts, peer, &headers);
    assert_eq!(client, client.to_canonical());
    for last in ["192.0.2.77", "2001:db8::77"] {
        let last: IpAddr = last.parse().expect("an address");
        assert_eq!(forwarded::client(|_| false, last, &headers), last);
        // Whatever stands before the address that the proxy has seen.
        let mut headers = headers.clone();
        headers.append(
            "x-forwarded-for",
            last.to_string().parse().expect("a value"),
        );
        if !network.contains(last) {
            assert_eq!(forwarded::client(trusts, peer, &headers), last);
        }
    }
}

/// Reads the input, cut behind as many bytes as its first one says, as the beginning of
/// a connection from a proxy.
pub fn proxy_header(input: &[u8]) {
    let (at, bytes) = input.split_first().unwrap_or((&0, &[]));
    let (first, second) = bytes.split_at(usize::from(*at).min(bytes.len()));
    let (told, n_read) = read_header(bytes, &[]);
    let (told_cut, n_read_cut) = read_header(first, second);
    assert_eq!((told, n_read), (told_cut, n_read_cut));
    if let Some(told) = told {
        let rest_bytes = u16::from_be_bytes([bytes[14], bytes[15]]);
        assert_eq!(n_read, 16 + usize::from(rest_bytes));
        assert!(bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n"));
        if let Told::Client(address) = told {
            let source = match bytes[13] >> 4 {
                1 => bytes[16..20].to_vec(),
                _ => bytes[16..32].to_vec(),
            };
            let read: IpAddr = match <[u8; 4]>::try_from(&source[..]) {
                Ok(v4) => v4.into(),
                Err(_) => <[u8; 16]>::try_from(&source[..]).expect("16").into(),
            };
            assert_eq!(address, read.to_canonical());
        }
    }
    // Behind the signature, which no fuzzer has to find.
    if !bytes.starts_with(b"\r\n") {
        let whole = [&[*at][..], b"\r\n\r\n\0\r\nQUIT\n", bytes].concat();
        proxy_header(&whole);
    }
}

/// Returns what a header says, `None` for none, and how many bytes were read.
fn read_header(first: &[u8], second: &[u8]) -> (Option<Told>, usize) {
    let mut stream = first.chain(second);
    let told = header::read(&mut stream).now_or_never();
    let (first_left, second_left) = stream.get_ref();
    let left = first_left.len() + second_left.len();
    let told = told.expect("a slice never waits").ok();
    (told, first.len() + second.len() - left)
}

#[cfg(test)]
#[path = "../replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn frames_of_the_corpus_hold() {
        replay("server_frames", super::frames);
    }

    #[test]
    fn clients_of_the_corpus_hold() {
        replay("server_inbound", super::inbound);
    }

    #[test]
    fn packets_of_the_corpus_hold() {
        replay("server_packet", super::packet);
    }

    #[test]
    fn payloads_of_the_corpus_hold() {
        replay("server_polling", super::polling);
    }

    #[test]
    fn forwarded_addresses_of_the_corpus_hold() {
        replay("server_forwarded", super::forwarded);
    }

    #[test]
    fn proxy_headers_of_the_corpus_hold() {
        replay("server_proxy_header", super::proxy_header);
    }
}
