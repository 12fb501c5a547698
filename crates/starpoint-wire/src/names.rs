//! Registry of the event names of both profiles.
//!
//! Every name that the star sends or understands is written here and nowhere
//! else. The spelling is the historic one, double letters included.

use crate::limits::MAX_EVENT_NAME_BYTES;

/// Client asks to join: address, key or signature.
pub const JOIN: &str = "ss-join";
/// Client leaves an address.
pub const LEAVE: &str = "ss-leave";
/// Client dials: own address, other address, dial id.
pub const DIAL: &str = "ss-dial";
/// Server asks a callee to take a dial: dial id, address of the dialer.
pub const INCOMING: &str = "ss-incomming";
/// Server announces a peer: its address.
pub const PEER: &str = "ws-peer";
/// Server tells a client that another socket has taken over its address: the
/// address. Not part of the original; its clients ignore it.
pub const EVICTED: &str = "ss-evicted";
/// Reader of a stream is ready for it; the stream id follows.
pub const STREAM_ACCEPT: &str = "socket.io-pull-stream.accept.";
/// Writer of a stream sends a chunk; the stream id follows.
pub const STREAM_QUEUE: &str = "socket.io-pull-stream.queue.";
/// Writer of a stream ends it; the stream id follows.
pub const STREAM_ERROR: &str = "socket.io-pull-stream.error.";

/// Star says who it is and what to sign (native).
pub const STAR_HELLO: &str = "star-hello";
/// Client joins (native).
pub const STAR_JOIN: &str = "star-join";
/// Client leaves (native).
pub const STAR_LEAVE: &str = "star-leave";
/// Client asks for a page of a namespace (native).
pub const STAR_PEERS: &str = "star-peers";
/// Star tells what has changed in a namespace (native).
pub const STAR_PRESENCE: &str = "star-presence";
/// Client dials by a pipe (native).
pub const STAR_DIAL: &str = "star-dial";
/// Star tells a callee of a dial (native).
pub const STAR_INCOMING: &str = "star-incoming";
/// Callee refuses a dial (native).
pub const STAR_REFUSE: &str = "star-refuse";

/// Name of a legacy call, with the stream that the name carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegacyCallName<'a> {
    Join,
    Leave,
    Dial,
    StreamAccept(&'a str),
    StreamQueue(&'a str),
    StreamError(&'a str),
}

/// Name of a call of the native profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NativeCallName {
    /// [`STAR_JOIN`]
    Join,
    /// [`STAR_LEAVE`]
    Leave,
    /// [`STAR_PEERS`]
    Peers,
    /// [`STAR_DIAL`]
    Dial,
    /// [`STAR_REFUSE`]
    Refuse,
}

/// Name of a call, before its arguments are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallName<'a> {
    /// One of the legacy profile.
    Legacy(LegacyCallName<'a>),
    /// One of the native profile.
    Native(NativeCallName),
    /// Any other name, those that only a star sends included.
    Unknown,
}

impl<'a> CallName<'a> {
    /// Classifies a name sent by a client.
    pub(crate) fn of(name: &'a str) -> Self {
        if name.len() > MAX_EVENT_NAME_BYTES {
            return Self::Unknown;
        }
        match name {
            JOIN => return Self::Legacy(LegacyCallName::Join),
            LEAVE => return Self::Legacy(LegacyCallName::Leave),
            DIAL => return Self::Legacy(LegacyCallName::Dial),
            STAR_JOIN => return Self::Native(NativeCallName::Join),
            STAR_LEAVE => return Self::Native(NativeCallName::Leave),
            STAR_PEERS => return Self::Native(NativeCallName::Peers),
            STAR_DIAL => return Self::Native(NativeCallName::Dial),
            STAR_REFUSE => return Self::Native(NativeCallName::Refuse),
            _ => {}
        }
        if let Some(stream) = name.strip_prefix(STREAM_QUEUE) {
            Self::Legacy(LegacyCallName::StreamQueue(stream))
        } else if let Some(stream) = name.strip_prefix(STREAM_ACCEPT) {
            Self::Legacy(LegacyCallName::StreamAccept(stream))
        } else if let Some(stream) = name.strip_prefix(STREAM_ERROR) {
            Self::Legacy(LegacyCallName::StreamError(stream))
        } else {
            Self::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_only_a_server_sends_are_unknown_from_a_client() {
        for name in [
            INCOMING,
            PEER,
            EVICTED,
            STAR_HELLO,
            STAR_PRESENCE,
            STAR_INCOMING,
            "disconnect",
            "error",
            "connect",
            "",
            "__proto__",
        ] {
            assert_eq!(CallName::of(name), CallName::Unknown, "{name}");
        }
    }

    #[test]
    fn a_huge_name_is_unknown_and_not_searched() {
        let huge = format!("{STREAM_QUEUE}{}", "x".repeat(900_000));
        assert_eq!(CallName::of(&huge), CallName::Unknown);
    }
}
