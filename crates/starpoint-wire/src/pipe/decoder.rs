//! Reads one side of a pipe, in pieces of any size.

use std::fmt;

use super::{
    END, MAX_CONTROL_BYTES, MAX_HEAD_BYTES,
    frame::{FrameHead, Opcode, PipeSender, expected_head_bytes, parse_head},
    mask::mask,
};

/// The writer breaks the protocol of pipes: its fault. Nothing more can be read
/// from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipeViolation {
    /// A reserved bit is set: an extension that nobody has agreed on.
    #[error("reserved bits in a frame head")]
    ReservedBits,
    /// The opcode has no meaning.
    #[error("unknown opcode")]
    Opcode,
    /// A frame of a star is masked, or one of a peer is not.
    #[error("frame masked by the wrong side")]
    Mask,
    /// The length is not in its shortest form, or has its highest bit set.
    #[error("malformed frame length")]
    Length,
    /// A control frame in fragments, or longer than [`MAX_CONTROL_BYTES`].
    #[error("malformed control frame")]
    Control,
    /// A continuation of nothing, or another message within one in fragments.
    #[error("fragments out of order")]
    Fragments,
    /// A text frame that is not [`END`].
    #[error("unknown text frame")]
    Text,
    /// Data, or a second end, behind the end.
    #[error("data behind the end")]
    AfterEnd,
    /// A close frame with half a status.
    #[error("malformed close frame")]
    Close,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeItem {
    /// Nothing that is whole: more bytes are needed, and all were taken.
    Starved,
    /// Data, unmasked in place: as many of the last bytes that were taken, at
    /// least one.
    Data(usize),
    /// The direction ends cleanly here.
    End,
    /// The writer closes, with a status or without; nothing after it counts.
    Close(Option<u16>),
    /// To be answered with a pong of the same payload.
    Ping(ControlPayload),
    /// The writer is alive.
    Pong,
}

/// One step of [`PipeDecoder::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipeStep {
    /// Bytes that were taken from the front.
    pub taken: usize,
    /// What they were.
    pub item: PipeItem,
}

/// Payload of a control frame, at most [`MAX_CONTROL_BYTES`].
#[derive(Clone, Copy)]
pub struct ControlPayload {
    bytes: [u8; MAX_CONTROL_BYTES],
    len: u8,
}

/// Position in what one side of a pipe writes.
///
/// Holds no data: only the head that has begun, and the payload of a control or
/// text frame.
#[derive(Clone, Debug)]
pub struct PipeDecoder {
    sender: PipeSender,
    head: [u8; MAX_HEAD_BYTES],
    head_len: u8,
    frame: Option<OpenFrame>,
    control: ControlPayload,
    fragments: Fragments,
    progress: Progress,
}

/// A frame whose head has been read.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    kind: FrameKind,
    /// Rotated to the next byte.
    key: [u8; 4],
    left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FrameKind {
    Data(Fragments),
    Text,
    Close,
    Ping,
    Pong,
}

/// Whether a message in fragments is open after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fragments {
    Follow,
    None,
}

/// ```text
///  Going ──end──▶ Ended ──close──▶ Closed
///    └────────────close─────────────▲
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Going,
    Ended,
    Closed,
}

impl ControlPayload {
    const EMPTY: Self = Self {
        bytes: [0; MAX_CONTROL_BYTES],
        len: 0,
    };

    /// Returns the payload.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The bytes behind `len` may be those of an earlier frame.
    fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }
}

impl PartialEq for ControlPayload {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for ControlPayload {}

impl fmt::Debug for ControlPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ControlPayload({} bytes)", self.len)
    }
}

impl PipeDecoder {
    /// Begins with the first byte behind the HTTP handshake.
    pub fn new(sender: PipeSender) -> Self {
        Self {
            sender,
            head: [0; MAX_HEAD_BYTES],
            head_len: 0,
            frame: None,
            control: ControlPayload::EMPTY,
            fragments: Fragments::None,
            progress: Progress::Going,
        }
    }

    /// Returns whether the direction has ended cleanly.
    pub fn has_ended(&self) -> bool {
        self.progress == Progress::Ended
    }

    /// Reads up to the next item. Data is unmasked where it stands. Behind
    /// [`PipeItem::Close`] everything is taken and nothing comes out.
    ///
    /// # Errors
    ///
    /// [`PipeViolation`]; the decoder is of no more use then.
    #[inline]
    pub fn next(&mut self, bytes: &mut [u8]) -> Result<PipeStep, PipeViolation> {
        let mut taken = 0;
        if self.progress == Progress::Closed {
            taken = bytes.len();
        }
        loop {
            let frame = match &mut self.frame {
                Some(frame) => frame,
                None => match self.read_head(&bytes[taken..])? {
                    (n, Some(head)) => {
                        taken += n;
                        let frame = self.open(head)?;
                        self.frame.insert(frame)
                    }
                    (n, None) => return Ok(PipeStep::starved(taken + n)),
                },
            };
            let have = bytes.len() - taken;
            let n = usize::try_from(frame.left).map_or(have, |left| left.min(have));
            let payload = &mut bytes[taken..taken + n];
            mask(payload, frame.key);
            frame.key.rotate_left(n % 4);
            frame.left -= n as u64;
            taken += n;
            let (kind, is_whole) = (frame.kind, frame.left == 0);
            if is_whole {
                self.frame = None;
            }
            if let FrameKind::Data(fragments) = kind {
                if is_whole {
                    self.fragments = fragments;
                }
                if n > 0 {
                    let item = PipeItem::Data(n);
                    return Ok(PipeStep { taken, item });
                }
            } else {
                self.control.push(payload);
                if is_whole {
                    let item = self.finish(kind)?;
                    return Ok(PipeStep { taken, item });
                }
            }
            if !is_whole {
                return Ok(PipeStep::starved(taken));
            }
        }
    }

    /// Returns how many bytes were taken, and the head when it is whole.
    #[inline]
    fn read_head(&mut self, bytes: &[u8]) -> Result<(usize, Option<FrameHead>), PipeViolation> {
        if self.head_len == 0 {
            let len = expected_head_bytes(bytes);
            if let Some(head) = bytes.get(..len) {
                return Ok((len, Some(parse_head(head, self.sender)?)));
            }
        }
        self.collect_head(bytes)
    }

    #[cold]
    fn collect_head(&mut self, bytes: &[u8]) -> Result<(usize, Option<FrameHead>), PipeViolation> {
        let mut taken = 0;
        loop {
            let have = usize::from(self.head_len);
            let len = expected_head_bytes(&self.head[..have]);
            if have >= 2 && have == len {
                self.head_len = 0;
                return Ok((taken, Some(parse_head(&self.head[..len], self.sender)?)));
            }
            let n = (len - have).min(bytes.len() - taken);
            if n == 0 {
                return Ok((taken, None));
            }
            self.head[have..have + n].copy_from_slice(&bytes[taken..taken + n]);
            self.head_len += n as u8;
            taken += n;
        }
    }

    /// Checks a frame against those before it.
    fn open(&mut self, head: FrameHead) -> Result<OpenFrame, PipeViolation> {
        let fragments = if head.is_final {
            Fragments::None
        } else {
            Fragments::Follow
        };
        let kind = match (head.opcode, self.fragments) {
            (Opcode::Close, _) => FrameKind::Close,
            (Opcode::Ping, _) => FrameKind::Ping,
            (Opcode::Pong, _) => FrameKind::Pong,
            (Opcode::Continuation, Fragments::Follow) | (Opcode::Binary, Fragments::None) => {
                FrameKind::Data(fragments)
            }
            (Opcode::Text, Fragments::None) => FrameKind::Text,
            (Opcode::Continuation, Fragments::None)
            | (Opcode::Binary | Opcode::Text, Fragments::Follow) => {
                return Err(PipeViolation::Fragments);
            }
        };
        match kind {
            FrameKind::Data(_) | FrameKind::Text if self.progress != Progress::Going => {
                return Err(PipeViolation::AfterEnd);
            }
            FrameKind::Text if !head.is_final || head.payload_bytes != END.len() as u64 => {
                return Err(PipeViolation::Text);
            }
            FrameKind::Data(_)
            | FrameKind::Text
            | FrameKind::Close
            | FrameKind::Ping
            | FrameKind::Pong => {}
        }
        self.control.len = 0;
        Ok(OpenFrame {
            kind,
            key: head.key,
            left: head.payload_bytes,
        })
    }

    /// Turns a whole control or text frame into what it says.
    #[cold]
    fn finish(&mut self, kind: FrameKind) -> Result<PipeItem, PipeViolation> {
        match kind {
            FrameKind::Text if self.control.as_bytes() == END => {
                self.progress = Progress::Ended;
                Ok(PipeItem::End)
            }
            FrameKind::Text | FrameKind::Data(_) => Err(PipeViolation::Text),
            FrameKind::Ping => Ok(PipeItem::Ping(self.control)),
            FrameKind::Pong => Ok(PipeItem::Pong),
            FrameKind::Close => {
                let status = match *self.control.as_bytes() {
                    [] => None,
                    [high, low, ..] => Some(u16::from_be_bytes([high, low])),
                    [_] => return Err(PipeViolation::Close),
                };
                self.progress = Progress::Closed;
                Ok(PipeItem::Close(status))
            }
        }
    }
}

impl PipeStep {
    fn starved(taken: usize) -> Self {
        Self {
            taken,
            item: PipeItem::Starved,
        }
    }
}
