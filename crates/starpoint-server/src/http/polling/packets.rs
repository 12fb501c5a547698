//! The packets of a long-polling payload: where each ends, and what it is to
//! Socket.IO. Nothing is decoded and nothing copied; time is linear.

use super::engine3;
use crate::socketio::Kind;

/// How packets stand in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Engine.IO 4: with a record separator between two.
    Text4,
    /// Engine.IO 3: `<length in UTF-16 units>:<packet>`.
    Text3,
    /// Engine.IO 3: `00` or `01`, the length as one byte a digit, `ff`, the packet.
    Binary3,
}

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Bytes of the payload that it takes, with what stands around it.
    pub(crate) len: usize,
    pub(crate) kind: Kind,
}

const SEPARATOR: u8 = 0x1e;

impl Encoding {
    /// Returns the first packet of a payload that is not empty; `None` when none is
    /// there.
    pub(crate) fn first(self, payload: &[u8]) -> Option<Packet> {
        match self {
            Self::Text4 => {
                let end = payload.iter().position(|byte| *byte == SEPARATOR);
                let packet = &payload[..end.unwrap_or(payload.len())];
                Some(Packet {
                    len: end.map_or(payload.len(), |end| end + 1),
                    kind: kind_of_text(packet),
                })
            }
            Self::Text3 => {
                let (len, packet) = engine3::first_text(payload)?;
                Some(Packet {
                    len,
                    kind: kind_of_text(packet),
                })
            }
            Self::Binary3 => {
                let first = engine3::first_binary(payload)?;
                Some(Packet {
                    len: first.len,
                    kind: match first.is_text {
                        true => kind_of_text(first.packet),
                        false => Kind::Attachment,
                    },
                })
            }
        }
    }
}

/// Returns what a packet is in which no bytes stand as they are.
fn kind_of_text(packet: &[u8]) -> Kind {
    match packet.first() {
        Some(b'b') => Kind::Attachment,
        Some(_) | None => Kind::of_text(packet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(encoding: Encoding, mut payload: &[u8]) -> Option<Vec<Kind>> {
        let mut kinds = Vec::new();
        while !payload.is_empty() {
            let packet = encoding.first(payload)?;
            assert!(packet.len > 0);
            payload = &payload[packet.len..];
            kinds.push(packet.kind);
        }
        Some(kinds)
    }

    #[test]
    fn packets_are_told_apart_in_every_encoding() {
        use Kind::{Attachment, Head, OtherNamespace, Whole};
        let expected = Some(vec![Whole, Head(2), Attachment, OtherNamespace]);
        let text4 = b"42[]\x1e452-[]\x1ebAAAA\x1e40/x,";
        assert_eq!(kinds(Encoding::Text4, text4), expected);
        let text3 = b"4:42[]6:452-[]6:b4AAAA5:40/x,";
        assert_eq!(kinds(Encoding::Text3, text3), expected);
        let binary3 = b"\x00\x04\xff42[]\x00\x06\xff452-[]\x01\x03\xff\x04\x1e:\x00\x05\xff40/x,";
        assert_eq!(kinds(Encoding::Binary3, binary3), expected);
        assert_eq!(
            kinds(Encoding::Text4, b"\x1e\x1e"),
            Some(vec![Whole, Whole])
        );
        assert_eq!(kinds(Encoding::Text3, b"5:4"), None);
        assert_eq!(kinds(Encoding::Binary3, b"\x00\x05\xff4"), None);
    }
}
