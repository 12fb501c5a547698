//! Events of the legacy profile.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeTuple};

use super::args::{Arg, Args, end_of};
use crate::{
    limits::{MAX_ADDRESS_BYTES, MAX_EVENT_NAME_BYTES},
    names,
    stream::{DialId, StreamEnd, StreamId},
};

/// An event from a star to a client.
///
/// Serializes as the tuple of its arguments, without the [name](Self::name). A client
/// decodes arguments of the right number and type; addresses are still text then, of at
/// most [`MAX_ADDRESS_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Another peer dials; wants an answer.
    Incoming {
        /// Name of the connection.
        dial_id: DialId,
        /// Address of the dialer, as the star says.
        from: String,
    },
    /// A peer is here.
    Peer {
        /// Its address.
        address: String,
    },
    /// Another connection has taken over an address of this one.
    Evicted {
        /// The address.
        address: String,
    },
    /// The other side is ready to read a stream that this one writes.
    StreamAccept {
        /// The stream.
        stream: StreamId,
    },
    /// A chunk of a stream that this side reads.
    StreamQueue {
        /// The stream.
        stream: StreamId,
        /// The chunk; may be empty.
        payload: Bytes,
    },
    /// A stream that this side reads has ended.
    StreamError {
        /// The stream.
        stream: StreamId,
        /// How it ended.
        end: StreamEnd,
    },
}

/// An event is no notice. Nothing has changed; the client may ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// An event of another name: of a newer star, or of none. Nobody's fault.
    #[error("unknown event")]
    Unknown,
    /// An argument is missing, of the wrong type or too long: the star's fault.
    #[error("malformed event")]
    Malformed,
}

impl Event {
    /// Decodes an event.
    ///
    /// `args` is the JSON array of the arguments without the name, `attachments`
    /// what its placeholders stand for. Arguments behind the expected ones are
    /// ignored.
    ///
    /// # Errors
    ///
    /// [`EventError`].
    pub fn decode(name: &str, args: &str, attachments: &[Bytes]) -> Result<Self, EventError> {
        if name.len() > MAX_EVENT_NAME_BYTES {
            return Err(EventError::Unknown);
        }
        let decode = |read: fn(&mut Input<'_>) -> Option<Self>, stream| {
            let args = Args::parse(args).ok_or(EventError::Malformed)?;
            let mut input = Input {
                args: args.0.into_iter(),
                attachments,
                stream,
            };
            read(&mut input).ok_or(EventError::Malformed)
        };
        if let Some(stream) = name.strip_prefix(names::STREAM_QUEUE) {
            return decode(queue, stream);
        }
        match name {
            names::INCOMING => decode(incoming, ""),
            names::PEER => decode(peer, ""),
            names::EVICTED => decode(evicted, ""),
            _ => {
                if let Some(stream) = name.strip_prefix(names::STREAM_ACCEPT) {
                    decode(accept, stream)
                } else if let Some(stream) = name.strip_prefix(names::STREAM_ERROR) {
                    decode(error, stream)
                } else {
                    Err(EventError::Unknown)
                }
            }
        }
    }
}

impl Event {
    /// Returns the name of the event.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Incoming { .. } => names::INCOMING.into(),
            Self::Peer { .. } => names::PEER.into(),
            Self::Evicted { .. } => names::EVICTED.into(),
            Self::StreamAccept { stream } => format!("{}{stream}", names::STREAM_ACCEPT).into(),
            Self::StreamQueue { stream, .. } => Self::queue_name(stream).into(),
            Self::StreamError { stream, .. } => format!("{}{stream}", names::STREAM_ERROR).into(),
        }
    }

    /// Returns the name of the event that carries a chunk of the stream.
    pub fn queue_name(stream: &StreamId) -> String {
        format!("{}{stream}", names::STREAM_QUEUE)
    }

    /// Returns about how many bytes the event takes on the wire.
    pub fn weight(&self) -> usize {
        const FRAME: usize = 48;
        match self {
            Self::Incoming { dial_id, from } => FRAME + dial_id.as_str().len() + from.len(),
            Self::Peer { address } | Self::Evicted { address } => FRAME + address.len(),
            Self::StreamAccept { stream } => FRAME + stream.dial.as_str().len(),
            Self::StreamQueue { stream, payload } => {
                2 * FRAME + stream.dial.as_str().len() + payload.len()
            }
            Self::StreamError { stream, end } => {
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
            Self::StreamQueue { .. } => 2,
            Self::Incoming { .. }
            | Self::Peer { .. }
            | Self::Evicted { .. }
            | Self::StreamAccept { .. }
            | Self::StreamError { .. } => 1,
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Incoming { dial_id, from } => (dial_id.as_str(), from).serialize(serializer),
            Self::Peer { address } | Self::Evicted { address } => (address,).serialize(serializer),
            Self::StreamAccept { .. } => serializer.serialize_tuple(0)?.end(),
            Self::StreamQueue { payload, .. } => (payload,).serialize(serializer),
            Self::StreamError {
                end: StreamEnd::Clean,
                ..
            } => (true,).serialize(serializer),
            Self::StreamError {
                end: StreamEnd::Error(text),
                ..
            } => (text,).serialize(serializer),
        }
    }
}

struct Input<'a> {
    args: std::vec::IntoIter<Arg>,
    attachments: &'a [Bytes],
    stream: &'a str,
}

impl Input<'_> {
    fn address(&mut self) -> Option<String> {
        let address = self.args.next()?.into_string()?;
        (address.len() <= MAX_ADDRESS_BYTES).then_some(address)
    }
}

fn incoming(input: &mut Input<'_>) -> Option<Event> {
    let dial_id = DialId::parse(&input.args.next()?.into_string()?)?;
    let from = input.address()?;
    Some(Event::Incoming { dial_id, from })
}

fn peer(input: &mut Input<'_>) -> Option<Event> {
    let address = input.address()?;
    Some(Event::Peer { address })
}

fn evicted(input: &mut Input<'_>) -> Option<Event> {
    let address = input.address()?;
    Some(Event::Evicted { address })
}

fn accept(input: &mut Input<'_>) -> Option<Event> {
    let stream = StreamId::parse(input.stream)?;
    Some(Event::StreamAccept { stream })
}

fn queue(input: &mut Input<'_>) -> Option<Event> {
    let stream = StreamId::parse(input.stream)?;
    let payload = input.args.next()?.into_payload(input.attachments)?;
    Some(Event::StreamQueue { stream, payload })
}

fn error(input: &mut Input<'_>) -> Option<Event> {
    let stream = StreamId::parse(input.stream)?;
    let end = input.args.next().map_or(StreamEnd::Clean, end_of);
    Some(Event::StreamError { stream, end })
}
