//! Walks over WebSocket frames as they pass, without looking at more than their
//! heads (RFC 6455, section 5.2).
//!
//! The walker does not check the protocol: the WebSocket library behind it does.
//! On bytes that are no frames it still ends somewhere and never panics.

/// Longest frame header: two bytes, eight of length, four of mask.
pub(crate) const MAX_HEADER_BYTES: usize = 14;

/// A frame of which the last byte has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenFrame {
    pub(crate) opcode: Opcode,
    /// First bytes of the payload, unmasked; zero where it is shorter.
    pub(crate) head: [u8; HEAD_BYTES],
    /// Length of the payload.
    pub(crate) len: u64,
    /// Whether it is the last of its message, or the only one.
    pub(crate) is_final: bool,
}

/// Bytes of a payload that are kept.
pub(crate) const HEAD_BYTES: usize = 4;

/// The head of a frame, before any of it has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) opcode: Opcode,
    /// Bytes of the head itself.
    pub(crate) head_len: usize,
    /// Length of the payload.
    pub(crate) len: u64,
    pub(crate) mask: [u8; 4],
    pub(crate) is_final: bool,
}

impl FrameHead {
    /// Reads a head from the beginning of `bytes`; `None` while it is not whole.
    pub(crate) fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut walker = FrameWalker::default();
        let frame = loop {
            if let Some(frame) = walker.frame {
                break frame;
            }
            if bytes.is_empty() {
                return None;
            }
            bytes = walker.walk_header(bytes);
        };
        Some(Self {
            opcode: frame.opcode,
            head_len: usize::from(walker.walked_len),
            len: frame.len,
            mask: frame.mask,
            is_final: frame.is_final,
        })
    }
}

/// What a frame is, as far as the star cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Ping,
    /// Close, pong, and what has no meaning yet.
    Control,
}

impl Opcode {
    /// What makes the first byte of a ping that of a pong.
    pub(crate) const PING_TO_PONG: u8 = 0x9 ^ 0xa;

    /// Returns whether it may stand between the frames of a message.
    pub(crate) fn is_control(self) -> bool {
        match self {
            Self::Ping | Self::Control => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }
}

/// Position in a stream of frames.
#[derive(Debug, Default)]
pub(crate) struct FrameWalker {
    header: [u8; MAX_HEADER_BYTES],
    header_len: u8,
    /// Length of the last whole header.
    walked_len: u8,
    frame: Option<OpenFrame>,
    in_fragments: bool,
}

/// A frame whose header has passed.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    opcode: Opcode,
    is_final: bool,
    mask: [u8; 4],
    len: u64,
    seen: u64,
    head: [u8; HEAD_BYTES],
}

impl FrameWalker {
    /// Returns whether a message could begin at the next byte.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && !self.in_fragments
    }

    /// Returns whether a frame could begin at the next byte.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.header_len == 0 && self.frame.is_none()
    }

    /// Returns how many bytes are sure to belong to the frame that has begun; 0
    /// between messages.
    pub(crate) fn rest_of_frame(&self) -> u64 {
        match self.frame {
            Some(frame) => frame.len - frame.seen,
            None if self.is_between_messages() => 0,
            None => self.missing_header() as u64,
        }
    }

    /// Returns whether the payload of a frame is passing.
    pub(crate) fn is_within_payload(&self) -> bool {
        self.frame.is_some()
    }

    /// Returns whether the payload of a frame of data is passing.
    pub(crate) fn is_within_data(&self) -> bool {
        self.frame.is_some_and(|frame| !frame.opcode.is_control())
    }

    /// Walks over bytes and reports each frame that they complete.
    pub(crate) fn walk(&mut self, mut bytes: &[u8], mut on_frame: impl FnMut(SeenFrame)) {
        while !bytes.is_empty() {
            if self.frame.is_none() {
                bytes = self.walk_header(bytes);
            }
            let Some(frame) = &mut self.frame else {
                continue;
            };
            let taken = frame.take(bytes);
            bytes = &bytes[taken..];
            if frame.seen == frame.len {
                on_frame(SeenFrame {
                    opcode: frame.opcode,
                    head: frame.head,
                    len: frame.len,
                    is_final: frame.is_final,
                });
                if !frame.opcode.is_control() {
                    self.in_fragments = !frame.is_final;
                }
                self.frame = None;
            }
        }
    }

    fn walk_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let have = usize::from(self.header_len);
        let taken = self.missing_header().min(bytes.len());
        self.header[have..have + taken].copy_from_slice(&bytes[..taken]);
        self.header_len += taken as u8;
        if self.missing_header() == 0 {
            self.frame = Some(self.open_frame());
            self.walked_len = self.header_len;
            self.header_len = 0;
        }
        &bytes[taken..]
    }

    /// Returns how many bytes the header lacks, as far as one can tell.
    fn missing_header(&self) -> usize {
        let have = usize::from(self.header_len);
        if have < 2 {
            return 2 - have;
        }
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        2 + self.len_bytes() + mask - have
    }

    fn len_bytes(&self) -> usize {
        match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    fn open_frame(&self) -> OpenFrame {
        let len_end = 2 + self.len_bytes();
        let len = match &self.header[2..len_end] {
            [] => u64::from(self.header[1] & 0x7f),
            long => long.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
        };
        let mut mask = [0; 4];
        if self.header[1] & 0x80 != 0 {
            mask.copy_from_slice(&self.header[len_end..len_end + 4]);
        }
        OpenFrame {
            opcode: match self.header[0] & 0x0f {
                0 => Opcode::Continuation,
                1 => Opcode::Text,
                2 => Opcode::Binary,
                9 => Opcode::Ping,
                _ => Opcode::Control,
            },
            is_final: self.header[0] & 0x80 != 0,
            mask,
            len,
            seen: 0,
            head: [0; HEAD_BYTES],
        }
    }
}

impl OpenFrame {
    /// Takes what belongs to the frame; returns how much that was.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let rest = usize::try_from(self.len - self.seen).unwrap_or(usize::MAX);
        let taken = rest.min(bytes.len());
        for (byte, at) in bytes[..taken].iter().zip(self.seen..HEAD_BYTES as u64) {
            let at = at as usize;
            self.head[at] = byte ^ self.mask[at % 4];
        }
        self.seen += taken as u64;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8], step: usize) -> (FrameWalker, Vec<SeenFrame>) {
        let mut walker = FrameWalker::default();
        let mut seen = Vec::new();
        for part in bytes.chunks(step) {
            walker.walk(part, |frame| seen.push(frame));
        }
        (walker, seen)
    }

    fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        let bit = if mask.is_some() { 0x80 } else { 0 };
        match payload.len() {
            len @ 0..126 => bytes.push(bit | len as u8),
            len @ 126..65536 => {
                bytes.push(bit | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                bytes.push(bit | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend(
            mask.unwrap_or_default()
                .iter()
                .take(if bit == 0 { 0 } else { 4 }),
        );
        let mask = mask.unwrap_or_default();
        bytes.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]));
        bytes
    }

    #[test]
    fn frames_of_every_length_are_seen_however_they_are_cut() {
        let mut bytes = Vec::new();
        for len in [0, 1, 2, 125, 126, 127, 65_535, 65_536, 70_000] {
            bytes.extend(frame(0x82, Some([1, 2, 3, 4]), &vec![b'4'; len]));
            bytes.extend(frame(0x81, None, b"42[]"));
        }
        for step in [1, 2, 3, 7, 1000, bytes.len()] {
            let (walker, seen) = walk(&bytes, step);
            assert_eq!(seen.len(), 18, "step {step}");
            assert!(walker.is_between_messages());
            let texts = seen.iter().filter(|f| f.opcode == Opcode::Text);
            assert!(texts.into_iter().all(|f| f.head[..2] == *b"42"));
        }
    }

    #[test]
    fn heads_are_unmasked() {
        let (_, seen) = walk(&frame(0x81, Some([9, 8, 7, 6]), b"3"), 1);
        assert_eq!(seen[0].head, [b'3', 0, 0, 0]);
    }

    #[test]
    fn fragments_are_not_a_border_and_control_frames_between_them_change_nothing() {
        let mut bytes = frame(0x01, None, b"45");
        let (walker, _) = walk(&bytes, 1);
        assert!(!walker.is_between_messages());
        bytes.extend(frame(0x89, None, b"ping"));
        let (walker, _) = walk(&bytes, 1);
        assert!(!walker.is_between_messages());
        bytes.extend(frame(0x80, None, b"rest"));
        let (walker, seen) = walk(&bytes, 1);
        assert!(walker.is_between_messages());
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn the_rest_of_a_frame_never_reaches_into_the_next() {
        let bytes = frame(0x82, Some([1, 2, 3, 4]), &[0; 300]);
        let mut walker = FrameWalker::default();
        let mut at = 0;
        walker.walk(&bytes[..1], |_| {});
        at += 1;
        while !walker.is_between_messages() {
            let rest = walker.rest_of_frame() as usize;
            assert!(rest > 0 && at + rest <= bytes.len());
            walker.walk(&bytes[at..at + rest], |_| {});
            at += rest;
        }
        assert_eq!(at, bytes.len());
    }

    #[test]
    fn any_bytes_are_walked() {
        let bytes: Vec<u8> = (0..100_000u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        walk(&bytes, 13);
        let (walker, _) = walk(
            &[
                0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 1,
            ],
            3,
        );
        assert_eq!(walker.rest_of_frame(), u64::MAX - 1);
    }
}
