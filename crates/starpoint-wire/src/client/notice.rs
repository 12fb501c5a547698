//! Events from a star.

use bytes::Bytes;

use super::args::Args;
use crate::{
    call::{Arg, end_of},
    event,
    limits::{MAX_ADDRESS_BYTES, MAX_EVENT_NAME_BYTES},
    stream::{DialId, StreamEnd, StreamId},
};

/// What a star tells a client unasked, with arguments of the right number and
/// type.
///
/// Addresses are still text, of at most [`MAX_ADDRESS_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerNotice {
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
pub enum NoticeError {
    /// An event of another name: of a newer star, or of none. Nobody's fault.
    #[error("unknown event")]
    Unknown,
    /// An argument is missing, of the wrong type or too long: the star's fault.
    #[error("malformed event")]
    Malformed,
}

impl ServerNotice {
    /// Decodes an event.
    ///
    /// `args` is the JSON array of the arguments without the name, `attachments`
    /// what its placeholders stand for. Arguments behind the expected ones are
    /// ignored.
    ///
    /// # Errors
    ///
    /// [`NoticeError`].
    pub fn decode(name: &str, args: &str, attachments: &[Bytes]) -> Result<Self, NoticeError> {
        if name.len() > MAX_EVENT_NAME_BYTES {
            return Err(NoticeError::Unknown);
        }
        let decode = |read: fn(&mut Input<'_>) -> Option<Self>, stream| {
            let args = Args::parse(args).ok_or(NoticeError::Malformed)?;
            let mut input = Input {
                args: args.0.into_iter(),
                attachments,
                stream,
            };
            read(&mut input).ok_or(NoticeError::Malformed)
        };
        if let Some(stream) = name.strip_prefix(event::STREAM_QUEUE) {
            return decode(queue, stream);
        }
        match name {
            event::INCOMING => decode(incoming, ""),
            event::PEER => decode(peer, ""),
            event::EVICTED => decode(evicted, ""),
            _ => {
                if let Some(stream) = name.strip_prefix(event::STREAM_ACCEPT) {
                    decode(accept, stream)
                } else if let Some(stream) = name.strip_prefix(event::STREAM_ERROR) {
                    decode(error, stream)
                } else {
                    Err(NoticeError::Unknown)
                }
            }
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

fn incoming(input: &mut Input<'_>) -> Option<ServerNotice> {
    let dial_id = DialId::parse(&input.args.next()?.into_string()?)?;
    let from = input.address()?;
    Some(ServerNotice::Incoming { dial_id, from })
}

fn peer(input: &mut Input<'_>) -> Option<ServerNotice> {
    let address = input.address()?;
    Some(ServerNotice::Peer { address })
}

fn evicted(input: &mut Input<'_>) -> Option<ServerNotice> {
    let address = input.address()?;
    Some(ServerNotice::Evicted { address })
}

fn accept(input: &mut Input<'_>) -> Option<ServerNotice> {
    let stream = StreamId::parse(input.stream)?;
    Some(ServerNotice::StreamAccept { stream })
}

fn queue(input: &mut Input<'_>) -> Option<ServerNotice> {
    let stream = StreamId::parse(input.stream)?;
    let payload = input.args.next()?.into_payload(input.attachments)?;
    Some(ServerNotice::StreamQueue { stream, payload })
}

fn error(input: &mut Input<'_>) -> Option<ServerNotice> {
    let stream = StreamId::parse(input.stream)?;
    let end = input.args.next().map_or(StreamEnd::Clean, end_of);
    Some(ServerNotice::StreamError { stream, end })
}
