//! The client's side: calls as they are sent, and what a star says, decoded from
//! a star that nobody vouches for.
//!
//! [`ClientCall`] gets its [`encode`](ClientCall::encode) here.
//! [`ServerNotice`], [`JoinReply`] and [`DialReply`] mirror
//! [`ServerEvent`](crate::ServerEvent) and [`Reply`](crate::Reply): what these
//! write, those read. Decoding is bounded by [`limits`](crate::limits) and never
//! panics.

mod args;
mod notice;
mod reply;

use std::borrow::Cow;

use bytes::Bytes;

use crate::{call::ClientCall, event, stream::StreamEnd};

pub use notice::{NoticeError, ServerNotice};
pub use reply::{DialReply, JoinReply, MAX_LISTED_PEERS, ReplyError, StarRefusal};

/// An event in the form that a Socket.IO layer takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedCall {
    /// Name of the event.
    pub name: Cow<'static, str>,
    /// The arguments without the name, as the text of a JSON array.
    pub args: String,
    /// What the placeholders in `args` stand for.
    pub attachments: Vec<Bytes>,
}

impl ClientCall {
    /// Encodes the call as [`decode`](Self::decode) reads it.
    ///
    /// A chunk becomes an attachment and is not copied. Nothing is checked: an
    /// address that is none is sent as it is, and the star refuses it.
    pub fn encode(&self) -> EncodedCall {
        let (name, args) = match self {
            Self::Star(call) => return call.encode(),
            Self::Join { address, proof } => (event::JOIN.into(), array(&[address, proof])),
            Self::Leave { address } => (event::LEAVE.into(), array(&[address])),
            Self::Dial { from, to, dial_id } => (event::DIAL.into(), array(&[from, to, dial_id])),
            Self::StreamAccept { stream } => (
                format!("{}{stream}", event::STREAM_ACCEPT).into(),
                array(&[]),
            ),
            Self::StreamQueue { stream, payload } => {
                return EncodedCall {
                    name: format!("{}{stream}", event::STREAM_QUEUE).into(),
                    args: r#"[{"_placeholder":true,"num":0}]"#.into(),
                    attachments: vec![payload.clone()],
                };
            }
            Self::StreamError { stream, end } => {
                let args = match end {
                    StreamEnd::Clean => "[true]".into(),
                    StreamEnd::Error(text) => array(&[text]),
                };
                (format!("{}{stream}", event::STREAM_ERROR).into(), args)
            }
        };
        EncodedCall {
            name,
            args,
            attachments: Vec::new(),
        }
    }
}

/// Encodes the answer to an [`Incoming`](ServerNotice::Incoming): nothing accepts,
/// a text refuses and reaches the dialer (R-DIAL-5).
pub fn encode_callee_answer(refusal: Option<&str>) -> String {
    refusal.map_or_else(|| array(&[]), |text| array(&[text]))
}

fn array(texts: &[&str]) -> String {
    serde_json::to_string(texts).expect("strings are always JSON")
}

#[cfg(test)]
mod tests;
