//! Long-polling payloads of Engine.IO 3, around two weak places of the library.
//!
//! **Requests.** Its decoder of text payloads looks at all it has once for each
//! packet and once for each piece that comes, so that a large payload of many
//! packets, or one in many pieces, takes time by the square. Given each packet as
//! a piece of its own ([`packets`](super::packets)), it is linear.
//!
//! **Answers.** It puts the binary packets of Socket.IO events into answers for
//! version 3 in the form of version 4, a text `b<base64>` without the packet type,
//! which no client of version 3 can read. Version 3 has two forms: text
//! `b4<base64>` in a text answer, and bytes `04 …` in a binary one. No other packet
//! begins with a `b`: the type of a text packet is a digit.

use data_encoding::BASE64;

/// Most digits of a packet's length.
const MAX_LEN_DIGITS: usize = 9;

/// Returns the first packet of a text payload, `<length in UTF-16 units>:<packet>`,
/// and how many bytes it takes with its length. `None` when there is none, or an empty
/// one. What is no UTF-8 has some length.
pub(crate) fn first_text(payload: &[u8]) -> Option<(usize, &[u8])> {
    let digits = payload.iter().take(MAX_LEN_DIGITS + 1);
    let colon = digits.into_iter().position(|byte| *byte == b':')?;
    let units = number(&payload[..colon], b'0')?;
    let after = &payload[colon + 1..];
    let len = bytes_of_units(after, units)?;
    (len > 0).then(|| (colon + 1 + len, &after[..len]))
}

/// Reads a decimal number whose digits begin at `zero`.
fn number(digits: &[u8], zero: u8) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0usize, |number, digit| {
        let digit = digit.checked_sub(zero).filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(usize::from(digit))
    })
}

/// Returns how many bytes of UTF-8 have so many units in UTF-16. `None` when there are
/// fewer, or when a character is cut.
fn bytes_of_units(text: &[u8], units: usize) -> Option<usize> {
    let mut left = units;
    for (at, byte) in text.iter().enumerate() {
        let units = match byte {
            // The rest of a character.
            0x80..=0xbf => continue,
            0x00..=0x7f | 0xc0..=0xef => 1,
            0xf0..=0xff => 2,
        };
        if left == 0 {
            return Some(at);
        }
        left = left.checked_sub(units)?;
    }
    (left == 0).then_some(text.len())
}

/// One packet of a binary payload: `00` or `01`, the length as one byte a digit, `ff`,
/// the packet.
pub(crate) struct BinaryPacket<'a> {
    /// The bytes of all that.
    pub(crate) len: usize,
    pub(crate) is_text: bool,
    pub(crate) packet: &'a [u8],
}

/// Returns the first packet of a binary payload; `None` when there is none.
pub(crate) fn first_binary(payload: &[u8]) -> Option<BinaryPacket<'_>> {
    let (&kind, after) = payload.split_first()?;
    let digits = after.iter().take(MAX_LEN_DIGITS + 1);
    let n_digits = digits.into_iter().position(|byte| *byte == 0xff)?;
    let len = number(&after[..n_digits], 0)?;
    let packet = after[n_digits + 1..].get(..len)?;
    let is_text = match kind {
        0 => true,
        1 => false,
        _ => return None,
    };
    Some(BinaryPacket {
        len: 1 + n_digits + 1 + len,
        is_text,
        packet,
    })
}

/// Mends a text answer. Returns `None` when it is no such thing.
pub(crate) fn mend_text(answer: &[u8]) -> Option<Vec<u8>> {
    let mut mended = Vec::with_capacity(answer.len() + 16);
    let mut rest = answer;
    while !rest.is_empty() {
        let (len, packet) = first_text(rest)?;
        let (whole, next) = rest.split_at(len);
        match packet.strip_prefix(b"b") {
            Some(base64) => {
                let digits = &whole[..whole.len() - packet.len() - 1];
                let head = format!("{}:b4", number(digits, b'0')? + 1);
                mended.extend_from_slice(head.as_bytes());
                mended.extend_from_slice(base64);
            }
            None => mended.extend_from_slice(whole),
        }
        rest = next;
    }
    Some(mended)
}

/// Mends a binary answer. Returns `None` when it is no such thing.
pub(crate) fn mend_binary(answer: &[u8]) -> Option<Vec<u8>> {
    let mut mended = Vec::with_capacity(answer.len());
    let mut rest = answer;
    while !rest.is_empty() {
        let first = first_binary(rest)?;
        let (whole, next) = rest.split_at(first.len);
        match first.packet {
            [b'b', base64 @ ..] if first.is_text => {
                let bytes = BASE64.decode(base64).ok()?;
                push_binary(&mut mended, &bytes);
            }
            _ => mended.extend_from_slice(whole),
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
        assert_eq!(
            mend_text(answer.as_bytes()).as_deref(),
            Some(mended.as_bytes())
        );
        assert_eq!(mend_text(b"1:6").as_deref(), Some(&b"1:6"[..]));
        for broken in ["x", "5:4", "4", "18446744073709551616:4", "1:😀"] {
            assert_eq!(mend_text(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn the_first_packet_of_a_text_payload_is_found() {
        let payload = "5:4😀é!10:b4AH+A/w==".as_bytes();
        let (len, packet) = first_text(payload).unwrap();
        assert_eq!((len, packet), (10, "4😀é!".as_bytes()));
        assert_eq!(first_text(&payload[len..]), Some((13, &b"b4AH+A/w=="[..])));
        for broken in [
            "",
            "0:",
            "x",
            ":4",
            "+1:4",
            "5:4",
            "1:",
            "1",
            "0000000000001:2",
        ] {
            assert_eq!(first_text(broken.as_bytes()), None, "{broken:?}");
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
