//! Arguments of an event, read without keeping more than a call can use.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    limits::{MAX_ARGUMENTS, MAX_EVENT_NAME_BYTES},
    refusal::cut_text,
    stream::StreamEnd,
};

/// Name and first arguments of an event.
pub(crate) struct Arguments<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(super) args: Vec<Arg>,
}

/// One argument, as far as any call needs to know it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arg {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// An array; what is no number counts as 0, as in the original.
    Numbers(Vec<u8>),
    /// A placeholder for the attachment of this number.
    Attachment(usize),
    /// An attachment number that cannot be one.
    Oversized,
    /// An object of any other kind.
    Other,
}

impl<'a> Arguments<'a> {
    /// Parses `["name", …]`; `None` when it is no such array.
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let arguments = deserializer.deserialize_seq(ArgumentsVisitor).ok()?;
        deserializer.end().ok()?;
        Some(arguments)
    }
}

struct ArgumentsVisitor;

impl<'de> Visitor<'de> for ArgumentsVisitor {
    type Value = Arguments<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event: a name and its arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let name: Name<'de> = seq
            .next_element()?
            .ok_or_else(|| serde::de::Error::invalid_length(0, &self))?;
        let mut args = Vec::new();
        while args.len() < MAX_ARGUMENTS {
            match seq.next_element()? {
                Some(arg) => args.push(arg),
                None => return Ok(Arguments { name: name.0, args }),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Arguments { name: name.0, args })
    }
}

/// An event name; borrowed unless it has escapes, empty when it is too long.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                let kept = if text.len() > MAX_EVENT_NAME_BYTES {
                    ""
                } else {
                    text
                };
                Ok(Name(Cow::Owned(kept.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

impl Arg {
    /// Returns the text of a string argument.
    pub(crate) fn into_string(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Number(_)
            | Self::Numbers(_)
            | Self::Attachment(_)
            | Self::Oversized
            | Self::Other => None,
        }
    }

    /// Returns the bytes of a chunk: an attachment, a string's UTF-8, or an array
    /// of numbers (R-STREAM-7). An object never becomes bytes, whatever length it
    /// claims.
    pub(crate) fn into_payload(self, attachments: &[Bytes]) -> Option<Bytes> {
        match self {
            Self::Attachment(index) => attachments.get(index).cloned(),
            Self::Text(text) => Some(text.into()),
            Self::Numbers(bytes) => Some(bytes.into()),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Oversized | Self::Other => None,
        }
    }
}

impl<'de> Deserialize<'de> for Arg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ArgVisitor)
    }
}

struct ArgVisitor;

impl<'de> Visitor<'de> for ArgVisitor {
    type Value = Arg;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an argument")
    }

    fn visit_unit<E>(self) -> Result<Arg, E> {
        Ok(Arg::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Arg, E> {
        Ok(Arg::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Arg, E> {
        Ok(Arg::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Arg, E> {
        Ok(Arg::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Arg, E> {
        Ok(Arg::Number(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Arg, E> {
        Ok(Arg::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Arg, A::Error> {
        let mut bytes = Vec::new();
        while let Some(ArrayItem(byte)) = seq.next_element()? {
            bytes.push(byte);
        }
        Ok(Arg::Numbers(bytes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Arg, A::Error> {
        let mut is_placeholder = false;
        let mut number = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "_placeholder" => is_placeholder = matches!(map.next_value()?, Scalar::True),
                "num" => number = Some(map.next_value::<Scalar>()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(match (is_placeholder, number) {
            (true, Some(Scalar::Index(index))) => Arg::Attachment(index),
            (true, _) => Arg::Oversized,
            (false, _) => Arg::Other,
        })
    }
}

/// An element of an array argument, as `Buffer.from` reads it: the low byte of
/// an integer, 0 for everything else.
struct ArrayItem(u8);

impl<'de> Deserialize<'de> for ArrayItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let byte = match Scalar::deserialize(deserializer)? {
            Scalar::Index(index) => (index & 0xff) as u8,
            Scalar::True | Scalar::Other => 0,
        };
        Ok(Self(byte))
    }
}

/// A value of which only an index or `true` matters.
enum Scalar {
    True,
    Index(usize),
    Other,
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(if value { Scalar::True } else { Scalar::Other })
            }

            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(usize::try_from(value).map_or(Scalar::Other, Scalar::Index))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Index((value & 0xff) as usize))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }

            fn visit_str<E>(self, _: &str) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// Any argument ends the stream, and so does none (R-STREAM-6): `true` and what
/// JavaScript takes for false end it cleanly, everything else is an error.
pub(super) fn end_of(arg: Arg) -> StreamEnd {
    match arg {
        Arg::Null | Arg::Bool(_) => StreamEnd::Clean,
        Arg::Text(text) if text.is_empty() => StreamEnd::Clean,
        Arg::Text(text) => StreamEnd::Error(cut_text(text)),
        Arg::Number(0.0) => StreamEnd::Clean,
        Arg::Number(number) => StreamEnd::Error(number.to_string()),
        Arg::Oversized | Arg::Numbers(_) | Arg::Attachment(_) | Arg::Other => {
            StreamEnd::Error("Stream failed".into())
        }
    }
}

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
