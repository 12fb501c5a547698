//! What the star tells a client unasked.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeTuple};

use crate::{
    event,
    stream::{DialId, StreamEnd, StreamId},
};

/// An event from the star to a client.
///
/// Serializes as the tuple of its arguments, without the [name](Self::name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// Another peer dials; wants an acknowledgement.
    Incoming {
        /// Name of the connection.
        dial_id: DialId,
        /// Address of the dialer, in the spelling that this client uses.
        from: String,
    },
    /// A peer is here.
    Peer {
        /// Its address, in the spelling that this client uses.
        address: String,
    },
    /// Another socket has proved to own the address; this one has lost it.
    Evicted {
        /// The address, as this client sent it.
        address: String,
    },
    /// The other side is ready to read the stream.
    StreamAccept(StreamId),
    /// A chunk of the stream.
    StreamQueue(StreamId, Bytes),
    /// The stream ended.
    StreamError(StreamId, StreamEnd),
}

impl ServerEvent {
    /// Returns the name of the event.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Incoming { .. } => event::INCOMING.into(),
            Self::Peer { .. } => event::PEER.into(),
            Self::Evicted { .. } => event::EVICTED.into(),
            Self::StreamAccept(stream) => format!("{}{stream}", event::STREAM_ACCEPT).into(),
            Self::StreamQueue(stream, _) => format!("{}{stream}", event::STREAM_QUEUE).into(),
            Self::StreamError(stream, _) => format!("{}{stream}", event::STREAM_ERROR).into(),
        }
    }

    /// Returns about how many bytes the event takes on the wire.
    pub fn weight(&self) -> usize {
        const FRAME: usize = 48;
        match self {
            Self::Incoming { dial_id, from } => FRAME + dial_id.as_str().len() + from.len(),
            Self::Peer { address } | Self::Evicted { address } => FRAME + address.len(),
            Self::StreamAccept(stream) => FRAME + stream.dial.as_str().len(),
            Self::StreamQueue(stream, bytes) => {
                2 * FRAME + stream.dial.as_str().len() + bytes.len()
            }
            Self::StreamError(stream, end) => {
                let text = match end {
                    StreamEnd::Clean => 4,
                    StreamEnd::Error(text) => text.len(),
                };
                FRAME + stream.dial.as_str().len() + text
            }
        }
    }

    /// Returns how many Engine.IO packets the event becomes: one, and one for an
    /// attachment.
    pub fn packets(&self) -> usize {
        match self {
            Self::StreamQueue(..) => 2,
            Self::Incoming { .. }
            | Self::Peer { .. }
            | Self::Evicted { .. }
            | Self::StreamAccept(_)
            | Self::StreamError(..) => 1,
        }
    }
}

impl Serialize for ServerEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Incoming { dial_id, from } => (dial_id.as_str(), from).serialize(serializer),
            Self::Peer { address } | Self::Evicted { address } => (address,).serialize(serializer),
            Self::StreamAccept(_) => serializer.serialize_tuple(0)?.end(),
            Self::StreamQueue(_, payload) => (payload,).serialize(serializer),
            Self::StreamError(_, StreamEnd::Clean) => (true,).serialize(serializer),
            Self::StreamError(_, StreamEnd::Error(text)) => (text,).serialize(serializer),
        }
    }
}
