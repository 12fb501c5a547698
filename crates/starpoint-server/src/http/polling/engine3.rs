//! Long-polling payloads of Engine.IO 3, around two weak places of the library.
//!
//! **Requests.** Its decoder of text payloads looks at all it has once for each
//! packet and once for each piece that comes, so that a large payload of many
//! packets, or one in many pieces, takes time by the square. Given each packet as
//! a piece of its own, it is linear.
//!
//! **Answers.** It puts the binary packets of Socket.IO events into answers for
//! version 3 in the form of version 4, a text `b<base64>` without the packet type,
//! which no client of version 3 can read. Version 3 has two forms: text
//! `b4<base64>` in a text answer, and bytes `04 …` in a binary one. No other packet
//! begins with a `b`: the type of a text packet is a digit.

use bytes::Bytes;
use data_encoding::BASE64;

/// Most digits of a packet's length.
const MAX_LEN_DIGITS: usize = 9;

/// One packet of a text payload: `<length in UTF-16 units>:<packet>`.
struct TextPacket<'a> {
    len: usize,
    packet: &'a str,
    rest: &'a str,
}

impl<'a> TextPacket<'a> {
    fn first_of(payload: &'a str) -> Option<Self> {
        let digits = payload.bytes().take(MAX_LEN_DIGITS + 1);
        let colon = digits.into_iter().position(|byte| byte == b':')?;
        let digits = &payload[..colon];
        // A sign would be read as a part of the number.
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let len = digits.parse().ok().filter(|_| is_plain)?;
        let after = &payload[colon + 1..];
        let (packet, rest) = after.split_at(end_of_units(after, len)?);
        Some(Self { len, packet, rest })
    }
}

/// Splits a text payload into pieces of one packet each. Returns `None` when it is
/// no such payload, or has an empty packet.
pub(crate) fn split_text(payload: &Bytes) -> Option<Vec<Bytes>> {
    let mut rest = std::str::from_utf8(payload).ok()?;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let first = TextPacket::first_of(rest).filter(|first| first.len > 0)?;
        let start = payload.len() - rest.len();
        rest = first.rest;
        pieces.push(payload.slice(start..payload.len() - rest.len()));
    }
    Some(pieces)
}

/// Mends a text answer. Returns `None` when it is no such thing.
pub(crate) fn mend_text(answer: &str) -> Option<String> {
    let mut mended = String::with_capacity(answer.len() + 16);
    let mut rest = answer;
    while !rest.is_empty() {
        let TextPacket {
            len,
            packet,
            rest: next,
        } = TextPacket::first_of(rest)?;
        match packet.strip_prefix('b') {
            Some(base64) => mended.push_str(&format!("{}:b4{base64}", len + 1)),
            None => mended.push_str(&format!("{len}:{packet}")),
        }
        rest = next;
    }
    Some(mended)
}

fn end_of_units(text: &str, units: usize) -> Option<usize> {
    let mut left = units;
    for (at, char) in text.char_indices() {
        if left == 0 {
            return Some(at);
        }
        left = left.checked_sub(char.len_utf16())?;
    }
    (left == 0).then_some(text.len())
}

/// Mends a binary answer: `00` or `01`, the length as one byte a digit, `ff`, the
/// packet, repeated. Returns `None` when it is no such thing.
pub(crate) fn mend_binary(answer: &[u8]) -> Option<Vec<u8>> {
    let mut mended = Vec::with_capacity(answer.len());
    let mut rest = answer;
    while let Some((&kind, after)) = rest.split_first() {
        let digits_end = after.iter().position(|byte| *byte == 0xff)?;
        let digits = &after[..digits_end];
        let len = digits.iter().try_fold(0usize, |len, digit| {
            len.checked_mul(10)?.checked_add(usize::from(*digit))
        })?;
        let (packet, next) = after[digits_end + 1..].split_at_checked(len)?;
        match packet {
            [b'b', base64 @ ..] if kind == 0 => {
                let bytes = BASE64.decode(base64).ok()?;
                push_binary(&mut mended, &bytes);
            }
            _ => mended.extend_from_slice(&rest[..1 + digits_end + 1 + len]),
        }
        rest = next;
    }
    Some(mended)
}

fn push_binary(answer: &mut Vec<u8>, bytes: &[u8]) {
    let len = (bytes.len() + 1).to_string();
    answer.push(1);
    answer.extend(len.bytes().map(|digit| digit - b'0'));
    answer.extend([0xff, 4]);
    answer.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_answers_get_the_packet_type_that_was_forgotten() {
        let answer = "50:42[\"socket.io-pull-stream.accept.dial-1.listener\"]9:bAH+A/w==3:4😀";
        let mended = "50:42[\"socket.io-pull-stream.accept.dial-1.listener\"]10:b4AH+A/w==3:4😀";
        assert_eq!(mend_text(answer).as_deref(), Some(mended));
        assert_eq!(mend_text("1:6").as_deref(), Some("1:6"));
        for broken in ["x", "5:4", "4", "18446744073709551616:4", "1:😀"] {
            assert_eq!(mend_text(broken), None, "{broken}");
        }
    }

    #[test]
    fn text_payloads_are_split_at_their_packets() {
        let payload = Bytes::from_static("1:25:4😀é!10:b4AH+A/w==".as_bytes());
        let pieces = split_text(&payload).unwrap();
        assert_eq!(pieces, ["1:2", "5:4😀é!", "10:b4AH+A/w=="]);
        assert_eq!(split_text(&Bytes::new()).unwrap().len(), 0);
        for broken in [
            &b"0:"[..],
            b"x",
            b"5:4",
            b"1:",
            b"1",
            b"1:\xff",
            b"0000000000001:2",
            b"+1:2",
        ] {
            assert_eq!(split_text(&Bytes::from_static(broken)), None, "{broken:?}");
        }
    }

    #[test]
    fn binary_answers_get_binary_packets() {
        let answer = b"\x00\x01\xff6\x00\x09\xffbAH+A/w==\x01\x02\xff\x04x";
        let mended = b"\x00\x01\xff6\x01\x05\xff\x04\x00\x7f\x80\xff\x01\x02\xff\x04x";
        assert_eq!(mend_binary(answer).as_deref(), Some(&mended[..]));
        for broken in [
            &b"\x00"[..],
            b"\x00\x05\xff4",
            b"\x00\x02\xffb!",
            b"\x00\x09",
        ] {
            assert_eq!(mend_binary(broken), None, "{broken:?}");
        }
    }
}
