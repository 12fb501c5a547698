//! What a client asks, decoded from a packet that nobody vouches for.
//!
//! The input is the JSON array of a Socket.IO event, `["name", arg, …]`, and its
//! binary attachments. Decoding never fails loudly: the result is a checked
//! [`ClientCall`] or a [`CallError`] that says which call was meant, so that a
//! call that carries an acknowledgement can be refused instead of met with
//! silence (R-CALL-1).

mod args;

use bytes::Bytes;

use crate::{
    event::{EventName, StarName},
    limits::{MAX_ERROR_TEXT_BYTES, MAX_PROOF_BYTES},
    native::StarCall,
    stream::{StreamEnd, StreamId},
};
use args::Arguments;

pub(crate) use args::Arg;
pub use args::CalleeAnswer;

/// A call with arguments of the right number and type.
///
/// Addresses and dial ids are still text: what they mean depends on the star's
/// configuration, and a wrong one is refused with its own reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCall {
    /// `ss-join`: register an address.
    Join {
        /// The address, as sent.
        address: String,
        /// Public key, or signature if a challenge is open; empty without a key.
        proof: String,
    },
    /// `ss-leave`: give an address up.
    Leave {
        /// The address, as sent.
        address: String,
    },
    /// `ss-dial`: connect to a peer.
    Dial {
        /// An address that the caller has joined with.
        from: String,
        /// The address of the callee.
        to: String,
        /// Name of the connection, chosen by the caller.
        dial_id: String,
    },
    /// The caller is ready to read a stream.
    StreamAccept {
        /// The stream.
        stream: StreamId,
    },
    /// The caller writes a chunk into a stream.
    StreamQueue {
        /// The stream.
        stream: StreamId,
        /// The chunk; may be empty.
        payload: Bytes,
    },
    /// The caller ends a stream that it writes.
    StreamError {
        /// The stream.
        stream: StreamId,
        /// How it ended.
        end: StreamEnd,
    },
    /// A call of the native profile.
    Star(StarCall),
}

/// Which call a packet meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// `ss-join`
    Join,
    /// `ss-leave`
    Leave,
    /// `ss-dial`
    Dial,
    /// One of the stream events.
    Stream,
    /// `star-join`
    StarJoin,
    /// `star-leave`
    StarLeave,
    /// `star-peers`
    StarPeers,
    /// `star-dial`
    StarDial,
    /// `star-refuse`
    StarRefuse,
    /// No event of this profile.
    Unknown,
}

impl CallKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Join,
        Self::Leave,
        Self::Dial,
        Self::Stream,
        Self::StarJoin,
        Self::StarLeave,
        Self::StarPeers,
        Self::StarDial,
        Self::StarRefuse,
        Self::Unknown,
    ];

    /// Returns the name used in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Dial => "dial",
            Self::Stream => "stream",
            Self::StarJoin => "star-join",
            Self::StarLeave => "star-leave",
            Self::StarPeers => "star-peers",
            Self::StarDial => "star-dial",
            Self::StarRefuse => "star-refuse",
            Self::Unknown => "unknown",
        }
    }
}

/// A packet is no call: the sender's fault. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {} call", kind.as_str())]
pub struct CallError {
    /// What the packet meant to be.
    pub kind: CallKind,
}

impl ClientCall {
    /// Decodes an event.
    ///
    /// `json` is the array of the packet, `attachments` its binary attachments
    /// in order. Allocates no more than the strings it keeps, each of which is
    /// bounded by [`limits`](crate::limits); arguments behind the expected ones
    /// are ignored.
    ///
    /// # Errors
    ///
    /// [`CallError`] when the name is unknown, or when an argument is missing, of
    /// the wrong type or too long.
    pub fn decode(json: &str, attachments: &[Bytes]) -> Result<Self, CallError> {
        let unknown = CallError {
            kind: CallKind::Unknown,
        };
        let arguments = Arguments::parse(json).ok_or(unknown)?;
        let args = arguments.args;
        match EventName::of(&arguments.name) {
            EventName::Join => join(args).ok_or(CallKind::Join),
            EventName::Leave => leave(args).ok_or(CallKind::Leave),
            EventName::Dial => dial(args).ok_or(CallKind::Dial),
            EventName::StreamAccept(name) => accept(name).ok_or(CallKind::Stream),
            EventName::StreamQueue(name) => queue(name, args, attachments).ok_or(CallKind::Stream),
            EventName::StreamError(name) => error(name, args).ok_or(CallKind::Stream),
            EventName::Star(name) => {
                let call = StarCall::decode(name, json).map(Self::Star);
                call.ok_or(star_kind(name))
            }
            EventName::Unknown => return Err(unknown),
        }
        .map_err(|kind| CallError { kind })
    }

    /// Returns which call this is.
    pub fn kind(&self) -> CallKind {
        match self {
            Self::Join { .. } => CallKind::Join,
            Self::Leave { .. } => CallKind::Leave,
            Self::Dial { .. } => CallKind::Dial,
            Self::StreamAccept { .. } | Self::StreamQueue { .. } | Self::StreamError { .. } => {
                CallKind::Stream
            }
            Self::Star(call) => match call {
                StarCall::Join(_) => CallKind::StarJoin,
                StarCall::Leave => CallKind::StarLeave,
                StarCall::Peers { .. } => CallKind::StarPeers,
                StarCall::Dial { .. } => CallKind::StarDial,
                StarCall::Refuse { .. } => CallKind::StarRefuse,
            },
        }
    }

    /// Replaces the chunk that the call carries, if it does.
    #[must_use]
    pub fn map_payload(self, map: impl FnOnce(Bytes) -> Bytes) -> Self {
        match self {
            Self::StreamQueue { stream, payload } => Self::StreamQueue {
                stream,
                payload: map(payload),
            },
            Self::Join { .. }
            | Self::Leave { .. }
            | Self::Dial { .. }
            | Self::StreamAccept { .. }
            | Self::StreamError { .. }
            | Self::Star(_) => self,
        }
    }

    /// Returns the bytes that the call keeps alive beside its own size.
    pub fn weight(&self) -> usize {
        match self {
            Self::Join { address, proof } => address.len() + proof.len(),
            Self::Leave { address } => address.len(),
            Self::Dial { from, to, dial_id } => from.len() + to.len() + dial_id.len(),
            Self::StreamAccept { stream } => stream.dial.as_str().len(),
            Self::StreamQueue { stream, payload } => stream.dial.as_str().len() + payload.len(),
            Self::StreamError { stream, end } => {
                let text = match end {
                    StreamEnd::Clean => 0,
                    StreamEnd::Error(text) => text.len(),
                };
                stream.dial.as_str().len() + text
            }
            Self::Star(call) => call.weight(),
        }
    }
}

fn star_kind(name: StarName) -> CallKind {
    match name {
        StarName::Join => CallKind::StarJoin,
        StarName::Leave => CallKind::StarLeave,
        StarName::Peers => CallKind::StarPeers,
        StarName::Dial => CallKind::StarDial,
        StarName::Refuse => CallKind::StarRefuse,
    }
}

fn join(args: Vec<Arg>) -> Option<ClientCall> {
    let mut args = args.into_iter();
    let address = args.next()?.into_string()?;
    let proof = args.next()?.into_string()?;
    (proof.len() <= MAX_PROOF_BYTES).then_some(ClientCall::Join { address, proof })
}

fn leave(args: Vec<Arg>) -> Option<ClientCall> {
    let address = args.into_iter().next()?.into_string()?;
    Some(ClientCall::Leave { address })
}

fn dial(args: Vec<Arg>) -> Option<ClientCall> {
    let mut args = args.into_iter();
    let from = args.next()?.into_string()?;
    let to = args.next()?.into_string()?;
    let dial_id = args.next()?.into_string()?;
    Some(ClientCall::Dial { from, to, dial_id })
}

fn accept(name: &str) -> Option<ClientCall> {
    let stream = StreamId::parse(name)?;
    Some(ClientCall::StreamAccept { stream })
}

fn queue(name: &str, args: Vec<Arg>, attachments: &[Bytes]) -> Option<ClientCall> {
    let stream = StreamId::parse(name)?;
    let payload = args.into_iter().next()?.into_payload(attachments)?;
    Some(ClientCall::StreamQueue { stream, payload })
}

fn error(name: &str, args: Vec<Arg>) -> Option<ClientCall> {
    let stream = StreamId::parse(name)?;
    let end = args.into_iter().next().map_or(StreamEnd::Clean, end_of);
    Some(ClientCall::StreamError { stream, end })
}

/// Any argument ends the stream, and so does none (R-STREAM-6): `true` and what
/// JavaScript takes for false end it cleanly, everything else is an error.
pub(crate) fn end_of(arg: Arg) -> StreamEnd {
    match arg {
        Arg::Null | Arg::Bool(_) => StreamEnd::Clean,
        Arg::Text(text) if text.is_empty() => StreamEnd::Clean,
        Arg::Text(text) => StreamEnd::Error(cut_text(text)),
        Arg::Number(0.0) => StreamEnd::Clean,
        Arg::Number(number) => StreamEnd::Error(number.to_string()),
        Arg::Oversized | Arg::Numbers(_) | Arg::Attachment(_) | Arg::Other => {
            StreamEnd::Error("Stream failed".into())
        }
    }
}

/// Cuts a peer's error text to [`MAX_ERROR_TEXT_BYTES`] at a character border
/// (R-LIMIT-4).
pub(crate) fn cut_text(mut text: String) -> String {
    let mut end = MAX_ERROR_TEXT_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests;
