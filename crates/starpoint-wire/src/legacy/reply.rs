//! Replies to calls of the legacy profile.
//!
//! A star encodes a [`Reply`]; a client knows the call that it answers and decodes the
//! narrower [`JoinReply`] or [`DialReply`].

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{IgnoredAny, SeqAccess, Visitor},
    ser::SerializeTuple,
};
use serde_json::Value;

use super::args::{Arg, Args};
use crate::{
    challenge::Nonce,
    limits::MAX_ADDRESS_BYTES,
    refusal::{Refusal, RemoteRefusal},
    reply::ReplyError,
};

/// The arguments of an acknowledgement.
///
/// Serializes as a tuple, which the Socket.IO layer spreads over the arguments:
/// `43N[null,"…"]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `[null, nonce]`: sign this.
    Challenge(Nonce),
    /// `[null, null, [addresses]]`: joined, and who else is here.
    Joined(Vec<String>),
    /// `[]`: left, or connected.
    Done,
    /// `[text]`: the star refuses.
    Refused(Refusal),
    /// `[value]`: the callee refuses, in its own words.
    RefusedByPeer(Value),
}

impl Reply {
    /// Returns about how many bytes the reply takes on the wire.
    pub fn weight(&self) -> usize {
        match self {
            Self::Challenge(_) => 96,
            Self::Joined(addresses) => 32 + addresses.iter().map(|a| a.len() + 3).sum::<usize>(),
            Self::Done => 16,
            Self::Refused(refusal) => 16 + refusal.text().len(),
            Self::RefusedByPeer(value) => 32 + value.as_str().map_or(0, str::len),
        }
    }
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Challenge(nonce) => ((), nonce.as_str()).serialize(serializer),
            Self::Joined(addresses) => ((), (), addresses).serialize(serializer),
            Self::Done => serializer.serialize_tuple(0)?.end(),
            Self::Refused(refusal) => (refusal.text(),).serialize(serializer),
            Self::RefusedByPeer(value) => (value,).serialize(serializer),
        }
    }
}

/// Most addresses that are kept of the answer to a join; the rest are ignored,
/// and heard of later by announcements.
pub const MAX_LISTED_PEERS: usize = 16_384;

/// A star's answer to a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinReply {
    /// Sign this and join again.
    Challenge(Nonce),
    /// Joined. A star that answers so to the first join has not challenged.
    Joined {
        /// Who else is here: at most [`MAX_LISTED_PEERS`], each of at most
        /// [`MAX_ADDRESS_BYTES`], and not checked otherwise.
        others: Vec<String>,
    },
    /// The star refuses.
    Refused(RemoteRefusal),
}

/// A star's answer to a dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialReply {
    /// The callee has accepted.
    Connected,
    /// The star or the callee refuses.
    Refused(RemoteRefusal),
}

impl JoinReply {
    /// Decodes the arguments of the answer, the text of a JSON array.
    ///
    /// # Errors
    ///
    /// [`ReplyError`].
    pub fn decode(args: &str) -> Result<Self, ReplyError> {
        let args: JoinArgs = serde_json::from_str(args).map_err(|_| ReplyError::Malformed)?;
        if let Some(refusal) = args.refusal {
            return Ok(Self::Refused(refusal));
        }
        match args.nonce {
            Some(Arg::Text(text)) => Nonce::parse(&text)
                .map(Self::Challenge)
                .ok_or(ReplyError::Challenge),
            None | Some(Arg::Null) => Ok(Self::Joined {
                others: args.others,
            }),
            Some(
                Arg::Bool(_)
                | Arg::Number(_)
                | Arg::Numbers(_)
                | Arg::Attachment(_)
                | Arg::Oversized
                | Arg::Other,
            ) => Err(ReplyError::Malformed),
        }
    }
}

impl DialReply {
    /// Decodes the arguments of the answer, the text of a JSON array.
    ///
    /// # Errors
    ///
    /// [`ReplyError::Malformed`].
    pub fn decode(args: &str) -> Result<Self, ReplyError> {
        let args = Args::parse(args).ok_or(ReplyError::Malformed)?;
        let refused = args.0.into_iter().next().and_then(refusal);
        Ok(refused.map_or(Self::Connected, Self::Refused))
    }
}

/// Reads the first argument of an answer: what JavaScript takes for false is no
/// refusal.
fn refusal(first: Arg) -> Option<RemoteRefusal> {
    match first {
        Arg::Null | Arg::Bool(false) | Arg::Number(0.0) => None,
        Arg::Text(text) if text.is_empty() => None,
        Arg::Text(text) => Some(RemoteRefusal::from_text(text)),
        Arg::Bool(true) => Some(RemoteRefusal::Other("true".into())),
        Arg::Number(number) => Some(RemoteRefusal::Other(number.to_string())),
        Arg::Numbers(_) | Arg::Attachment(_) | Arg::Oversized | Arg::Other => {
            Some(RemoteRefusal::Other(String::new()))
        }
    }
}

/// `[refusal?, nonce?, [addresses]?]`
struct JoinArgs {
    refusal: Option<RemoteRefusal>,
    nonce: Option<Arg>,
    others: Vec<String>,
}

impl<'de> Deserialize<'de> for JoinArgs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct JoinVisitor;
        impl<'de> Visitor<'de> for JoinVisitor {
            type Value = JoinArgs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the arguments of an answer to a join")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<JoinArgs, A::Error> {
                let refusal = seq.next_element::<Arg>()?.and_then(refusal);
                let nonce = seq.next_element::<Arg>()?;
                let others = seq.next_element::<Option<Others>>()?.flatten();
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(JoinArgs {
                    refusal,
                    nonce,
                    others: others.map(|others| others.0).unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_seq(JoinVisitor)
    }
}

/// The addresses of a list; what is none, or too long, is left out.
struct Others(Vec<String>);

impl<'de> Deserialize<'de> for Others {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OthersVisitor;
        impl<'de> Visitor<'de> for OthersVisitor {
            type Value = Others;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of addresses")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Others, A::Error> {
                let mut addresses = Vec::new();
                while addresses.len() < MAX_LISTED_PEERS {
                    let Some(item) = seq.next_element::<Arg>()? else {
                        return Ok(Others(addresses));
                    };
                    let address = item.into_string();
                    addresses.extend(address.filter(|a| a.len() <= MAX_ADDRESS_BYTES));
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Others(addresses))
            }
        }
        deserializer.deserialize_seq(OthersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(reply: &Reply) -> String {
        serde_json::to_string(reply).unwrap()
    }

    #[test]
    fn r_join_1_replies_have_the_recorded_form() {
        assert_eq!(json(&Reply::Joined(vec![])), "[null,null,[]]");
        assert_eq!(
            json(&Reply::Joined(vec!["/a".into()])),
            r#"[null,null,["/a"]]"#
        );
        assert_eq!(json(&Reply::Done), "[]");
        assert_eq!(
            json(&Reply::Refused(Refusal::PeerNotFound)),
            r#"["Peer not found"]"#
        );
        assert_eq!(json(&Reply::RefusedByPeer("busy".into())), r#"["busy"]"#);
        let nonce = Nonce::from_random([7; 32]);
        assert_eq!(
            json(&Reply::Challenge(nonce.clone())),
            format!("[null,\"{}\"]", nonce.as_str())
        );
    }
}
