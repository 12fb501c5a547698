//! Arguments of an event or answer, without a name before them.

use std::fmt;

use serde::{
    Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use crate::{call::Arg, limits::MAX_ARGUMENTS};

/// The first [`MAX_ARGUMENTS`] arguments; the rest are ignored.
pub(super) struct Args(pub(super) Vec<Arg>);

impl Args {
    /// Parses the text of a JSON array; `None` when it is none.
    pub(super) fn parse(json: &str) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let args = deserializer.deserialize_seq(ArgsVisitor).ok()?;
        deserializer.end().ok()?;
        Some(args)
    }
}

struct ArgsVisitor;

impl<'de> Visitor<'de> for ArgsVisitor {
    type Value = Args;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Args, A::Error> {
        let mut args = Vec::new();
        while args.len() < MAX_ARGUMENTS {
            match seq.next_element()? {
                Some(arg) => args.push(arg),
                None => return Ok(Args(args)),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Args(args))
    }
}
