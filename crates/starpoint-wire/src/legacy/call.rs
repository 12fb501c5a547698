//! Calls of the legacy profile, decoded strictly and encoded as the original client does.

use bytes::Bytes;

use super::args::{Arg, Arguments, end_of};
use crate::{
    call::{CallKind, EncodedCall},
    limits::MAX_PROOF_BYTES,
    names::{self, LegacyCallName},
    stream::{StreamEnd, StreamId},
};

/// A call of the legacy profile with arguments of the right number and type.
///
/// Addresses and dial ids are still text: what they mean depends on the star's
/// configuration, and a wrong one is refused with its own reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
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
}

impl LegacyCallName<'_> {
    pub(crate) fn kind(self) -> CallKind {
        match self {
            Self::Join => CallKind::Join,
            Self::Leave => CallKind::Leave,
            Self::Dial => CallKind::Dial,
            Self::StreamAccept(_) | Self::StreamQueue(_) | Self::StreamError(_) => CallKind::Stream,
        }
    }
}

impl Call {
    /// Decodes the arguments of a call; `json` is the array of the packet with the name
    /// in it. `None` when an argument is missing, of the wrong type or too long.
    pub(crate) fn decode(
        name: LegacyCallName<'_>,
        arguments: Arguments<'_>,
        attachments: &[Bytes],
    ) -> Option<Self> {
        let args = arguments.args;
        match name {
            LegacyCallName::Join => join(args),
            LegacyCallName::Leave => leave(args),
            LegacyCallName::Dial => dial(args),
            LegacyCallName::StreamAccept(stream) => accept(stream),
            LegacyCallName::StreamQueue(stream) => queue(stream, args, attachments),
            LegacyCallName::StreamError(stream) => error(stream, args),
        }
    }

    /// Encodes the call as [`crate::Call::decode`] reads it.
    ///
    /// A chunk becomes an attachment and is not copied. Nothing is checked: the star
    /// refuses an address that does not parse.
    pub fn encode(&self) -> EncodedCall {
        let (name, args) = match self {
            Self::Join { address, proof } => (names::JOIN.into(), array(&[address, proof])),
            Self::Leave { address } => (names::LEAVE.into(), array(&[address])),
            Self::Dial { from, to, dial_id } => (names::DIAL.into(), array(&[from, to, dial_id])),
            Self::StreamAccept { stream } => (
                format!("{}{stream}", names::STREAM_ACCEPT).into(),
                array(&[]),
            ),
            Self::StreamQueue { stream, payload } => {
                return EncodedCall {
                    name: format!("{}{stream}", names::STREAM_QUEUE).into(),
                    args: r#"[{"_placeholder":true,"num":0}]"#.into(),
                    attachments: vec![payload.clone()],
                };
            }
            Self::StreamError { stream, end } => {
                let args = match end {
                    StreamEnd::Clean => "[true]".into(),
                    StreamEnd::Error(text) => array(&[text]),
                };
                (format!("{}{stream}", names::STREAM_ERROR).into(), args)
            }
        };
        EncodedCall {
            name,
            args,
            attachments: Vec::new(),
        }
    }
    /// Returns the kind of the call.
    pub fn kind(&self) -> CallKind {
        match self {
            Self::Join { .. } => CallKind::Join,
            Self::Leave { .. } => CallKind::Leave,
            Self::Dial { .. } => CallKind::Dial,
            Self::StreamAccept { .. } | Self::StreamQueue { .. } | Self::StreamError { .. } => {
                CallKind::Stream
            }
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
            | Self::StreamError { .. } => self,
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
        }
    }
}

fn array(texts: &[&str]) -> String {
    serde_json::to_string(texts).expect("strings are always JSON")
}

fn join(args: Vec<Arg>) -> Option<Call> {
    let mut args = args.into_iter();
    let address = args.next()?.into_string()?;
    let proof = args.next()?.into_string()?;
    (proof.len() <= MAX_PROOF_BYTES).then_some(Call::Join { address, proof })
}

fn leave(args: Vec<Arg>) -> Option<Call> {
    let address = args.into_iter().next()?.into_string()?;
    Some(Call::Leave { address })
}

fn dial(args: Vec<Arg>) -> Option<Call> {
    let mut args = args.into_iter();
    let from = args.next()?.into_string()?;
    let to = args.next()?.into_string()?;
    let dial_id = args.next()?.into_string()?;
    Some(Call::Dial { from, to, dial_id })
}

fn accept(name: &str) -> Option<Call> {
    let stream = StreamId::parse(name)?;
    Some(Call::StreamAccept { stream })
}

fn queue(name: &str, args: Vec<Arg>, attachments: &[Bytes]) -> Option<Call> {
    let stream = StreamId::parse(name)?;
    let payload = args.into_iter().next()?.into_payload(attachments)?;
    Some(Call::StreamQueue { stream, payload })
}

fn error(name: &str, args: Vec<Arg>) -> Option<Call> {
    let stream = StreamId::parse(name)?;
    let end = args.into_iter().next().map_or(StreamEnd::Clean, end_of);
    Some(Call::StreamError { stream, end })
}
