//! Heads of WebSocket frames, RFC 6455, section 5.2.
//!
//! ```text
//!  byte 0: FIN | RSV1-3 | opcode (4)     byte 1: MASK | length (7)
//!  length 126: 2 bytes more, 127: 8 bytes more, big-endian; then the mask, 4
//! ```

use super::{MAX_CONTROL_BYTES, PipeViolation};

/// Longest head: two bytes, eight of length, four of mask.
pub const MAX_HEAD_BYTES: usize = 14;

/// Who writes what is read: only a peer masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeSender {
    /// A peer: every frame is masked.
    Peer,
    /// A star: none is.
    Star,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A further fragment.
    Continuation,
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// The last frame.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

/// A head, checked as far as it can be without its neighbors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) opcode: Opcode,
    pub(super) is_final: bool,
    /// Zero when there is none.
    pub(super) key: [u8; 4],
    pub(super) payload_bytes: u64,
}

impl Opcode {
    fn number(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    fn parse(number: u8) -> Option<Self> {
        [
            Self::Continuation,
            Self::Text,
            Self::Binary,
            Self::Close,
            Self::Ping,
            Self::Pong,
        ]
        .into_iter()
        .find(|opcode| opcode.number() == number)
    }

    fn is_control(self) -> bool {
        match self {
            Self::Continuation | Self::Text | Self::Binary => false,
            Self::Close | Self::Ping | Self::Pong => true,
        }
    }
}

/// Returns how long the head is that these bytes begin; 2 when there are fewer
/// than two of them.
pub(super) fn expected_head_bytes(bytes: &[u8]) -> usize {
    let [_, second, ..] = bytes else { return 2 };
    let mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
    mask_bytes
        + match second & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        }
}

/// Reads a head that is there as a whole.
pub(super) fn parse_head(head: &[u8], sender: PipeSender) -> Result<FrameHead, PipeViolation> {
    let (first, second) = (head[0], head[1]);
    if first & 0x70 != 0 {
        return Err(PipeViolation::ReservedBits);
    }
    let opcode = Opcode::parse(first & 0x0f).ok_or(PipeViolation::Opcode)?;
    let is_final = first & 0x80 != 0;
    let is_masked = second & 0x80 != 0;
    if is_masked != (sender == PipeSender::Peer) {
        return Err(PipeViolation::Mask);
    }
    let (payload_bytes, shortest, rest) = match second & 0x7f {
        126 => (big_endian(&head[2..4]), 126, &head[4..]),
        127 => (big_endian(&head[2..10]), 0x1_0000, &head[10..]),
        short => (u64::from(short), 0, &head[2..]),
    };
    if payload_bytes < shortest || payload_bytes >> 63 != 0 {
        return Err(PipeViolation::Length);
    }
    if opcode.is_control() && (!is_final || payload_bytes > MAX_CONTROL_BYTES as u64) {
        return Err(PipeViolation::Control);
    }
    let key = rest.first_chunk().copied().unwrap_or_default();
    Ok(FrameHead {
        opcode,
        is_final,
        key,
        payload_bytes,
    })
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// Returns how many bytes [`write_head`] writes: 2, 4 or 10, and 4 for a key.
pub fn head_bytes(payload_bytes: usize, key: Option<[u8; 4]>) -> usize {
    let mask_bytes = if key.is_some() { 4 } else { 0 };
    mask_bytes
        + match payload_bytes {
            0..126 => 2,
            126..0x1_0000 => 4,
            _ => 10,
        }
}

/// Writes the head of a frame without fragments at the end of `room`, just
/// before the payload; returns its length, which is [`head_bytes`].
///
/// # Panics
///
/// When there is less room.
pub fn write_head(
    room: &mut [u8],
    opcode: Opcode,
    payload_bytes: usize,
    key: Option<[u8; 4]>,
) -> usize {
    let (head, len) = frame_head(opcode, payload_bytes, key);
    let start = room.len() - len;
    room[start..].copy_from_slice(&head[..len]);
    len
}

/// Returns a head and its length; what [`write_head`] writes.
pub fn frame_head(
    opcode: Opcode,
    payload_bytes: usize,
    key: Option<[u8; 4]>,
) -> ([u8; MAX_HEAD_BYTES], usize) {
    let mut head = [0; MAX_HEAD_BYTES];
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    head[0] = 0x80 | opcode.number();
    let len = head_bytes(payload_bytes, None);
    match len {
        2 => head[1] = mask_bit | payload_bytes as u8,
        4 => {
            head[1] = mask_bit | 126;
            head[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            head[1] = mask_bit | 127;
            head[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
    if let Some(key) = key {
        head[len..len + 4].copy_from_slice(&key);
    }
    (head, head_bytes(payload_bytes, key))
}
