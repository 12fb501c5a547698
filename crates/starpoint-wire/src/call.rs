//! Calls of both profiles, decoded from an untrusted packet.
//!
//! The input is the JSON array of a Socket.IO event, `["name", arg, …]`, and its
//! binary attachments. The result is a checked [`Call`], or a [`CallError`] with the
//! kind of the call, so that a call that carries an acknowledgement is refused
//! instead of met with silence (R-CALL-1).

use std::borrow::Cow;

use bytes::Bytes;

use crate::{
    legacy,
    names::{CallName, NativeCallName},
    native,
};

/// A call of a client. Both profiles share one connection: a native client also sends
/// legacy calls, to connect with legacy peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A call of the legacy profile.
    Legacy(legacy::Call),
    /// A call of the native profile.
    Native(native::Call),
}

/// A call in the form that a Socket.IO layer takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedCall {
    /// Name of the event.
    pub name: Cow<'static, str>,
    /// The arguments without the name, as the text of a JSON array.
    pub args: String,
    /// Attachments to which the placeholders in `args` refer, in order.
    pub attachments: Vec<Bytes>,
}

/// Kind of a call, known from its name alone.
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
    /// A name that neither profile has.
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
    /// Kind that the name of the event stands for.
    pub kind: CallKind,
}

impl Call {
    /// Decodes a call.
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
        let arguments = legacy::Arguments::parse(json).ok_or(unknown)?;
        let name = arguments.name.clone();
        match CallName::of(&name) {
            CallName::Legacy(name) => legacy::Call::decode(name, arguments, attachments)
                .map(Self::Legacy)
                .ok_or(CallError { kind: name.kind() }),
            CallName::Native(name) => native::Call::decode(name, json)
                .map(Self::Native)
                .ok_or(CallError { kind: name.kind() }),
            CallName::Unknown => Err(unknown),
        }
    }

    /// Encodes the call as [`decode`](Self::decode) reads it.
    pub fn encode(&self) -> EncodedCall {
        match self {
            Self::Legacy(call) => call.encode(),
            Self::Native(call) => call.encode(),
        }
    }

    /// Returns the kind of the call.
    pub fn kind(&self) -> CallKind {
        match self {
            Self::Legacy(call) => call.kind(),
            Self::Native(call) => call.kind(),
        }
    }

    /// Replaces the chunk that the call carries, if it does.
    #[must_use]
    pub fn map_payload(self, map: impl FnOnce(Bytes) -> Bytes) -> Self {
        match self {
            Self::Legacy(call) => Self::Legacy(call.map_payload(map)),
            Self::Native(call) => Self::Native(call),
        }
    }

    /// Returns the bytes that the call keeps alive beside its own size.
    pub fn weight(&self) -> usize {
        match self {
            Self::Legacy(call) => call.weight(),
            Self::Native(call) => call.weight(),
        }
    }
}

impl From<legacy::Call> for Call {
    fn from(call: legacy::Call) -> Self {
        Self::Legacy(call)
    }
}

impl From<native::Call> for Call {
    fn from(call: native::Call) -> Self {
        Self::Native(call)
    }
}

impl NativeCallName {
    fn kind(self) -> CallKind {
        match self {
            Self::Join => CallKind::StarJoin,
            Self::Leave => CallKind::StarLeave,
            Self::Peers => CallKind::StarPeers,
            Self::Dial => CallKind::StarDial,
            Self::Refuse => CallKind::StarRefuse,
        }
    }
}

#[cfg(test)]
mod tests;
