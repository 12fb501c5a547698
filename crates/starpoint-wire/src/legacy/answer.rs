//! The answer of a callee to a dial.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::Value;

use super::args::Arg;
use crate::{limits::MAX_ERROR_TEXT_BYTES, refusal::cut_text};

/// What a callee answered to `ss-incomming`.
///
/// Deserializes from the argument array of the acknowledgement, of any length:
/// none or a first argument that JavaScript takes for false accepts, anything
/// else refuses (R-DIAL-5).
#[derive(Clone, Debug, PartialEq)]
pub enum CalleeAnswer {
    /// The callee took the dial.
    Accepted,
    /// The callee refused, with the value that goes to the dialer.
    Refused(Value),
}

impl CalleeAnswer {
    /// Returns what an answer that cannot be read counts as: a refusal.
    pub fn unreadable() -> Self {
        Self::Refused("Dial refused".into())
    }

    fn of(first: Arg) -> Self {
        match first {
            Arg::Null | Arg::Bool(false) => Self::Accepted,
            Arg::Number(0.0) => Self::Accepted,
            Arg::Text(text) if text.is_empty() => Self::Accepted,
            Arg::Text(text) => Self::Refused(cut_text(text).into()),
            Arg::Bool(true) => Self::Refused(true.into()),
            Arg::Number(number) => Self::Refused(number.into()),
            Arg::Numbers(_) | Arg::Attachment(_) | Arg::Oversized | Arg::Other => {
                Self::unreadable()
            }
        }
    }

    /// Returns the bytes that the refusal takes on the wire, at most
    /// [`MAX_ERROR_TEXT_BYTES`] plus quotes and escapes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Accepted => 0,
            Self::Refused(value) => value.as_str().map_or(32, str::len),
        }
        .min(MAX_ERROR_TEXT_BYTES)
    }
}

impl<'de> Deserialize<'de> for CalleeAnswer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnswerVisitor;
        impl<'de> Visitor<'de> for AnswerVisitor {
            type Value = CalleeAnswer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the arguments of an acknowledgement")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<CalleeAnswer, A::Error> {
                let answer = seq
                    .next_element::<Arg>()?
                    .map_or(CalleeAnswer::Accepted, CalleeAnswer::of);
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(answer)
            }
        }
        // A tuple of any length: the arguments themselves, not the first of them.
        deserializer.deserialize_tuple(usize::MAX, AnswerVisitor)
    }
}

/// Encodes the answer of a callee: nothing accepts, a text refuses and reaches the
/// dialer (R-DIAL-5).
pub fn encode_callee_answer(refusal: Option<&str>) -> String {
    let args = refusal.map_or(serde_json::json!([]), |text| serde_json::json!([text]));
    args.to_string()
}
