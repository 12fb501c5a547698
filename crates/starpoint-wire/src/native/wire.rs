//! The JSON objects of the profile, and nothing that they mean.

use std::{borrow::Cow, fmt};

use data_encoding::BASE64;
use serde::{
    Deserialize, Deserializer as _, Serialize,
    de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Writes the arguments of an event or answer.
pub(super) fn to_text<T: Serialize>(args: &T) -> String {
    serde_json::to_string(args).expect("keys are strings and writing to memory does not fail")
}

/// Reads `["name", {…}]`, what follows ignored.
pub(super) fn second<T: DeserializeOwned>(json: &str) -> Option<T> {
    argument(json, 1)
}

/// Reads `[{…}]`, what follows ignored.
pub(super) fn first<T: DeserializeOwned>(args: &str) -> Option<T> {
    argument(args, 0)
}

fn argument<T: DeserializeOwned>(json: &str, at: usize) -> Option<T> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let text = deserializer.deserialize_seq(Argument(at)).ok()??;
    deserializer.end().ok()?;
    serde_json::from_str(text.get()).ok()
}

/// Takes one element of an array, borrowed, and looks over the others: nothing is kept
/// of an array of a million empty ones.
struct Argument(usize);

impl<'de> Visitor<'de> for Argument {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the arguments of an event or answer")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        for _ in 0..self.0 {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let argument = seq.next_element()?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(argument)
    }
}

/// Reads bytes in base64, at most so many.
pub(super) fn bytes(text: &str, max_bytes: usize) -> Option<Vec<u8>> {
    if text.len() > max_bytes.div_ceil(3) * 4 {
        return None;
    }
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    (bytes.len() <= max_bytes).then_some(bytes)
}

#[derive(Serialize, Deserialize)]
pub(super) struct HelloWire<'a> {
    pub(super) v: u32,
    pub(super) star: Cow<'a, str>,
    pub(super) challenge: Cow<'a, str>,
    pub(super) expires: u64,
    #[serde(default)]
    pub(super) open: bool,
    #[serde(default)]
    pub(super) grace_ms: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) hosts: Vec<Cow<'a, str>>,
    pub(super) key: Cow<'a, str>,
    pub(super) signature: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct JoinWire<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) signature: Cow<'a, str>,
    pub(super) host: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) namespaces: Vec<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PeersWire<'a> {
    pub(super) ns: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct DialWire<'a> {
    pub(super) to: Cow<'a, str>,
    pub(super) token: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RefuseWire<'a> {
    pub(super) token: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct IncomingWire<'a> {
    pub(super) from: Cow<'a, str>,
    pub(super) token: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PageWire<'a> {
    pub(super) ns: Cow<'a, str>,
    pub(super) seq: u64,
    pub(super) total: usize,
    pub(super) peers: Vec<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct JoinedWire<'a> {
    #[serde(default)]
    pub(super) resumed: bool,
    pub(super) pages: Vec<PageWire<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct DialedWire<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RefusalWire<'a> {
    pub(super) code: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retry_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct BatchWire<'a> {
    pub(super) ns: Cow<'a, str>,
    pub(super) seq: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) joined: Vec<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) left: Vec<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) resync: bool,
}
