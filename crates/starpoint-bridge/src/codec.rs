//! Frames: one message of the channel each (R-BRIDGE-1).
//!
//! ```text
//!  0       1        3           5        7        9               11
//!  ┌───────┬────────┬───────────┬────────┬────────┬───────────────┬─────────┐
//!  │ event │  line  │  message  │ index  │ total  │ payload bytes │ payload │
//!  └───────┴────────┴───────────┴────────┴────────┴───────────────┴─────────┘
//!     u8      u16        u16       u16      u16          u16          big-endian
//! ```
//!
//! A message that is too long for one frame goes in `total` frames with indexes
//! from 0; the others have a total of 1.

use bytes::{BufMut, Bytes, BytesMut};

/// Length of what stands before the payload, in bytes.
pub const HEADER_BYTES: usize = 11;

/// Longest payload that is sent in one frame, in bytes: a frame then has 65 535
/// (R-BRIDGE-2).
pub const MAX_SENT_PAYLOAD_BYTES: usize = 65_524;

/// Longest payload that is accepted in one frame, in bytes. The reference sends
/// one byte more than it says it does (R-BRIDGE-2).
pub const MAX_PAYLOAD_BYTES: usize = 65_525;

/// Most frames of one message.
pub const MAX_FRAMES_PER_MESSAGE: usize = u16::MAX as usize;

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameEvent {
    /// Bytes of a line; 0 on the wire.
    Data,
    /// The line is over; 1 on the wire.
    Close,
    /// The line begins, or its writer has more room; 2 on the wire.
    Connect,
}

/// One message of the channel. What it says of itself is true: the index is below
/// the total, and the payload has a length that a frame can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    event: FrameEvent,
    line: u16,
    message: u16,
    index: u16,
    total: u16,
    payload: Bytes,
}

/// Bytes that are no frame: the fault of who has sent them. Nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Shorter than [`HEADER_BYTES`].
    #[error("frame of {len} bytes, shorter than its header")]
    TooShort {
        /// Length of the whole, in bytes.
        len: usize,
    },
    /// The payload has another length than the header says.
    #[error("payload of {actual} bytes where the header says {stated}")]
    Size {
        /// What the header says, in bytes.
        stated: usize,
        /// How long it is, in bytes.
        actual: usize,
    },
    /// The payload is longer than [`MAX_PAYLOAD_BYTES`].
    #[error("payload of {len} bytes, longer than a frame may carry")]
    TooLong {
        /// Length of the payload, in bytes.
        len: usize,
    },
    /// The event has no meaning.
    #[error("unknown event {event}")]
    Event {
        /// First byte of the frame.
        event: u8,
    },
    /// A message of no frames.
    #[error("message of no frames")]
    TotalZero,
    /// The index is not below the total.
    #[error("frame {index} of {total}")]
    Index {
        /// What the frame says it is, counted from 0.
        index: u16,
        /// How many frames it says there are.
        total: u16,
    },
}

/// Why a payload cannot be put into frames: the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A frame was to carry nothing, or more than [`MAX_PAYLOAD_BYTES`].
    #[error("frames with {len} bytes of payload")]
    FramePayload {
        /// What a frame was to carry, in bytes.
        len: usize,
    },
    /// More frames than [`MAX_FRAMES_PER_MESSAGE`].
    #[error("payload needs {frames} frames, more than a message may have")]
    TooLong {
        /// How many it would be.
        frames: usize,
    },
}

impl FrameEvent {
    /// All events, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Data, Self::Close, Self::Connect];

    /// Returns the first byte of a frame.
    pub fn number(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Close => 1,
            Self::Connect => 2,
        }
    }

    fn parse(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.number() == number)
    }
}

impl Frame {
    /// Makes the only frame of a message.
    ///
    /// # Errors
    ///
    /// [`EncodeError::FramePayload`] when the payload is longer than
    /// [`MAX_PAYLOAD_BYTES`].
    pub fn whole(
        event: FrameEvent,
        line: u16,
        message: u16,
        payload: Bytes,
    ) -> Result<Self, EncodeError> {
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(EncodeError::FramePayload { len: payload.len() });
        }
        Ok(Self {
            event,
            line,
            message,
            index: 0,
            total: 1,
            payload,
        })
    }

    /// Reads a message of the channel. The payload is a part of it, not a copy.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], of the first thing that is wrong.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let len = bytes.len();
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(DecodeError::TooShort { len });
        };
        let [e, l0, l1, m0, m1, i0, i1, t0, t1, s0, s1] = *header;
        let actual = len - HEADER_BYTES;
        let stated = usize::from(u16::from_be_bytes([s0, s1]));
        if stated != actual {
            return Err(DecodeError::Size { stated, actual });
        }
        if actual > MAX_PAYLOAD_BYTES {
            return Err(DecodeError::TooLong { len: actual });
        }
        let event = FrameEvent::parse(e).ok_or(DecodeError::Event { event: e })?;
        let index = u16::from_be_bytes([i0, i1]);
        let total = u16::from_be_bytes([t0, t1]);
        if total == 0 {
            return Err(DecodeError::TotalZero);
        }
        if index >= total {
            return Err(DecodeError::Index { index, total });
        }
        Ok(Self {
            event,
            line: u16::from_be_bytes([l0, l1]),
            message: u16::from_be_bytes([m0, m1]),
            index,
            total,
            payload: bytes.slice(HEADER_BYTES..),
        })
    }

    /// Writes the frame.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_len());
        out.put_u8(self.event.number());
        out.put_u16(self.line);
        out.put_u16(self.message);
        out.put_u16(self.index);
        out.put_u16(self.total);
        out.put_u16(self.payload.len() as u16);
        out.put_slice(&self.payload);
        out.freeze()
    }

    /// Returns the length of what [`encode`](Self::encode) writes, in bytes.
    pub fn encoded_len(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// Returns what the frame is about.
    pub fn event(&self) -> FrameEvent {
        self.event
    }

    /// Returns the line that it belongs to.
    pub fn line(&self) -> u16 {
        self.line
    }

    /// Returns the message that it belongs to, counted by its writer.
    pub fn message(&self) -> u16 {
        self.message
    }

    /// Returns its place in the message, counted from 0 and below
    /// [`total`](Self::total).
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Returns how many frames the message has, at least 1.
    pub fn total(&self) -> u16 {
        self.total
    }

    /// Returns what it carries, at most [`MAX_PAYLOAD_BYTES`].
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Takes what it carries.
    pub fn into_payload(self) -> Bytes {
        self.payload
    }
}

/// Puts a message of any length into frames that carry at most
/// `frame_payload_bytes` each. An empty one is one frame.
///
/// # Errors
///
/// [`EncodeError`]; nothing was made.
pub fn frames(
    event: FrameEvent,
    line: u16,
    message: u16,
    payload: &Bytes,
    frame_payload_bytes: usize,
) -> Result<Vec<Frame>, EncodeError> {
    if !(1..=MAX_PAYLOAD_BYTES).contains(&frame_payload_bytes) {
        let len = frame_payload_bytes;
        return Err(EncodeError::FramePayload { len });
    }
    let n_frames = payload.len().div_ceil(frame_payload_bytes).max(1);
    let Ok(total) = u16::try_from(n_frames) else {
        return Err(EncodeError::TooLong { frames: n_frames });
    };
    let frame = |index: u16| {
        let start = usize::from(index) * frame_payload_bytes;
        let end = payload.len().min(start + frame_payload_bytes);
        Frame {
            event,
            line,
            message,
            index,
            total,
            payload: payload.slice(start..end),
        }
    };
    Ok((0..total).map(frame).collect())
}

/// Returns the line that bytes name, even when they are no frame.
pub fn named_line(bytes: &[u8]) -> Option<u16> {
    match bytes {
        [_, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
