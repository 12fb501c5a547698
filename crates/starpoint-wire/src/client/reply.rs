//! Answers of a star.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use super::args::Args;
use crate::{
    call::{Arg, cut_text},
    challenge::Nonce,
    limits::MAX_ADDRESS_BYTES,
    refusal::Refusal,
};

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
    Refused(StarRefusal),
}

/// A star's answer to a dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialReply {
    /// The callee has accepted.
    Connected,
    /// The star or the callee refuses.
    Refused(StarRefusal),
}

/// Why a star, or a peer through it, says no.
///
/// The wire has one text for both, so a peer that uses a star's words looks like
/// the star.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StarRefusal {
    /// In the words of `spec/03-refusals.md`.
    #[error("{0}")]
    Known(Refusal),
    /// In other words: an original star's, or a peer's. At most
    /// [`MAX_ERROR_TEXT_BYTES`](crate::limits::MAX_ERROR_TEXT_BYTES); for people.
    /// Empty where no words are given: original stars do so when a key does not
    /// parse or is not that of the address.
    #[error("{0:?}")]
    Other(String),
}

/// An answer cannot be read: the star's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// Not an array of arguments of the right types.
    #[error("malformed answer")]
    Malformed,
    /// The challenge is not of the form that stars give (R-CHAL-1). Signing it
    /// could sign something else.
    #[error("malformed challenge")]
    Challenge,
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

impl StarRefusal {
    /// Reads a refusal's text; it is cut, not refused, when it is too long.
    pub fn from_text(text: String) -> Self {
        let known = Refusal::ALL.into_iter().find(|r| r.text() == text);
        known.map_or_else(|| Self::Other(cut_text(text)), Self::Known)
    }
}

/// Reads the first argument of an answer: what JavaScript takes for false is no
/// refusal.
fn refusal(first: Arg) -> Option<StarRefusal> {
    match first {
        Arg::Null | Arg::Bool(false) | Arg::Number(0.0) => None,
        Arg::Text(text) if text.is_empty() => None,
        Arg::Text(text) => Some(StarRefusal::from_text(text)),
        Arg::Bool(true) => Some(StarRefusal::Other("true".into())),
        Arg::Number(number) => Some(StarRefusal::Other(number.to_string())),
        Arg::Numbers(_) | Arg::Attachment(_) | Arg::Oversized | Arg::Other => {
            Some(StarRefusal::Other(String::new()))
        }
    }
}

/// `[refusal?, nonce?, [addresses]?]`
struct JoinArgs {
    refusal: Option<StarRefusal>,
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
