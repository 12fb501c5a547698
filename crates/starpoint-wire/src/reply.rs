//! What the star answers to a call that carries an acknowledgement.

use serde::{Serialize, Serializer, ser::SerializeTuple};
use serde_json::Value;

use crate::{challenge::Nonce, refusal::Refusal};

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
