//! What host and client say to each other, before and beside the data.
//!
//! A frame is its length (2 bytes, big endian, of what follows), one byte for its
//! kind, and the rest. Decoding trusts nothing: no length is believed
//! before it is checked, and nothing is left over.

use crate::{
    code::{CodeProof, SessionId},
    refusal::Refusal,
    target::{MAX_TARGETS, TargetName},
};

/// Bytes in front of a frame that say how long it is.
pub const LENGTH_BYTES: usize = 2;

/// The longest frame, its length not included.
pub const MAX_FRAME_BYTES: usize = 2 + MAX_TARGETS * (1 + TargetName::MAX_BYTES);

/// The kinds of frames, so that no number is given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Client: session (8 bytes), proof (32 bytes).
    Join = 0x01,
    /// Client: length of a target's name (1 byte) and the name; options (1 byte,
    /// 0).
    Connect = 0x02,
    /// Client: nothing.
    Leave = 0x03,
    /// Host: seconds that a decision may take (2 bytes).
    Waiting = 0x11,
    /// Host: number of targets (1 byte), each name behind its length (1 byte).
    Open = 0x12,
    /// Host: number of the refusal (1 byte).
    Refused = 0x13,
    /// Host: nothing. The target is connected; data follows.
    Connected = 0x14,
    /// Either: 8 bytes that come back.
    Ping = 0x21,
    /// Either: the 8 bytes.
    Pong = 0x22,
}

/// Anything that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Asks to be let in; first on a control stream.
    Join {
        /// Which code.
        session: SessionId,
        /// That the client has it.
        proof: CodeProof,
    },
    /// Asks for a TCP connection; first on a stream of data.
    Connect {
        /// To which target; `None` for the first that is offered.
        target: Option<TargetName>,
    },
    /// Ends the session; the client does not come back.
    Leave,
    /// The host is being asked.
    Waiting {
        /// How long that takes at most.
        seconds: u16,
    },
    /// The client is let in.
    Open {
        /// What it may connect to, at most [`MAX_TARGETS`].
        targets: Vec<TargetName>,
    },
    /// The host says no, or ends the session.
    Refused(Refusal),
    /// The target is connected.
    Connected,
    /// Is anybody there?
    Ping([u8; 8]),
    /// Yes.
    Pong([u8; 8]),
}

/// Why bytes are no frame. The peer's fault; the stream they came on is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length is 0 or more than [`MAX_FRAME_BYTES`].
    #[error("frame of an impossible length")]
    Length,
    /// No frame has this kind, or it is too short or too long for its kind.
    #[error("malformed frame")]
    Malformed,
}

impl Frame {
    /// Writes the frame behind its length.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH_BYTES];
        bytes.push(self.kind() as u8);
        match self {
            Self::Join { session, proof } => {
                bytes.extend_from_slice(session.as_bytes());
                bytes.extend_from_slice(proof.as_bytes());
            }
            Self::Connect { target } => {
                put_name(&mut bytes, target.as_ref());
                bytes.push(0);
            }
            Self::Waiting { seconds } => bytes.extend_from_slice(&seconds.to_be_bytes()),
            Self::Open { targets } => {
                bytes.push(u8::try_from(targets.len()).expect("a host offers fewer"));
                targets.iter().for_each(|t| put_name(&mut bytes, Some(t)));
            }
            Self::Refused(refusal) => bytes.push(refusal.number()),
            Self::Ping(echo) | Self::Pong(echo) => bytes.extend_from_slice(echo),
            Self::Leave | Self::Connected => {}
        }
        let length = u16::try_from(bytes.len() - LENGTH_BYTES).expect("a frame is short");
        bytes[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    /// Checks a length and returns how many bytes to read for the frame.
    ///
    /// # Errors
    ///
    /// [`FrameError::Length`].
    pub fn length(prefix: [u8; LENGTH_BYTES]) -> Result<usize, FrameError> {
        match usize::from(u16::from_be_bytes(prefix)) {
            length @ 1..=MAX_FRAME_BYTES => Ok(length),
            _ => Err(FrameError::Length),
        }
    }

    /// Reads a frame without its length.
    ///
    /// # Errors
    ///
    /// [`FrameError`]; whatever the bytes are.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut rest = Rest(bytes);
        let frame = match Kind::of(rest.byte()?)? {
            Kind::Join => Self::Join {
                session: SessionId::from_bytes(rest.array()?),
                proof: CodeProof::from_bytes(rest.array()?),
            },
            Kind::Connect => {
                let target = rest.name()?;
                // Options that nobody knows cannot be granted.
                if rest.byte()? != 0 {
                    return Err(FrameError::Malformed);
                }
                Self::Connect { target }
            }
            Kind::Leave => Self::Leave,
            Kind::Waiting => Self::Waiting {
                seconds: u16::from_be_bytes(rest.array()?),
            },
            Kind::Open => {
                let n_targets = usize::from(rest.byte()?);
                if n_targets > MAX_TARGETS {
                    return Err(FrameError::Malformed);
                }
                let names = (0..n_targets).map(|_| rest.name()?.ok_or(FrameError::Malformed));
                Self::Open {
                    targets: names.collect::<Result<_, _>>()?,
                }
            }
            Kind::Refused => {
                let refusal = Refusal::from_number(rest.byte()?);
                Self::Refused(refusal.ok_or(FrameError::Malformed)?)
            }
            Kind::Connected => Self::Connected,
            Kind::Ping => Self::Ping(rest.array()?),
            Kind::Pong => Self::Pong(rest.array()?),
        };
        rest.end(frame)
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Join { .. } => Kind::Join,
            Self::Connect { .. } => Kind::Connect,
            Self::Leave => Kind::Leave,
            Self::Waiting { .. } => Kind::Waiting,
            Self::Open { .. } => Kind::Open,
            Self::Refused(_) => Kind::Refused,
            Self::Connected => Kind::Connected,
            Self::Ping(_) => Kind::Ping,
            Self::Pong(_) => Kind::Pong,
        }
    }
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Join,
        Self::Connect,
        Self::Leave,
        Self::Waiting,
        Self::Open,
        Self::Refused,
        Self::Connected,
        Self::Ping,
        Self::Pong,
    ];

    fn of(byte: u8) -> Result<Self, FrameError> {
        let found = Self::ALL.into_iter().find(|kind| *kind as u8 == byte);
        found.ok_or(FrameError::Malformed)
    }
}

fn put_name(bytes: &mut Vec<u8>, name: Option<&TargetName>) {
    let name = name.map_or("", TargetName::as_str);
    bytes.push(u8::try_from(name.len()).expect("a name is short"));
    bytes.extend_from_slice(name.as_bytes());
}

/// What is not yet read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn byte(&mut self) -> Result<u8, FrameError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(FrameError::Malformed)?;
        self.0 = rest;
        Ok(*array)
    }

    fn name(&mut self) -> Result<Option<TargetName>, FrameError> {
        let length = usize::from(self.byte()?);
        let (name, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(FrameError::Malformed)?;
        self.0 = rest;
        if name.is_empty() {
            return Ok(None);
        }
        let name = std::str::from_utf8(name).map_err(|_| FrameError::Malformed)?;
        let name = name.parse().map_err(|_| FrameError::Malformed)?;
        Ok(Some(name))
    }

    fn end(self, frame: Frame) -> Result<Frame, FrameError> {
        if self.0.is_empty() {
            Ok(frame)
        } else {
            Err(FrameError::Malformed)
        }
    }
}

#[cfg(test)]
mod tests;
