//! Engine.IO packets and the Socket.IO packets in them, as text.
//!
//! The server is not trusted: nothing here panics, and nothing is allocated by
//! a length that a packet claims.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, de::IgnoredAny};

use crate::{config::EngineVersion, error::Violation, io::Frame};

/// Most attachments of one packet; the events of a star have one.
pub const MAX_ATTACHMENTS: usize = 8;

/// Longest reason that is kept of a refused connect, in bytes.
const MAX_REASON_BYTES: usize = 256;

/// Shortest and longest ping interval and timeout that are believed, in seconds.
const PING_SECONDS: (f64, f64) = (1.0, 300.0);

/// A packet of Engine.IO.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Engine<'a> {
    Open(Open),
    Close,
    Ping,
    Pong,
    Message(&'a str),
    Noop,
}

/// What the server says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    pub(crate) max_payload: Option<usize>,
    /// Version of the native profile, if the server is a star that offers it.
    pub(crate) star: Option<u32>,
}

/// A packet of Socket.IO, without its attachments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Connect,
    Disconnect,
    Refused(Box<str>),
    Data { data: Data, n_attachments: usize },
}

/// An event or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Event {
        name: String,
        args: String,
        ack: Option<u64>,
    },
    Ack {
        id: u64,
        args: String,
    },
}

impl<'a> Engine<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Violation> {
        let kind = *text.as_bytes().first().ok_or(Violation::Packet)?;
        match kind {
            b'0' => Open::parse(&text[1..]).map(Self::Open),
            b'1' => Ok(Self::Close),
            b'2' => Ok(Self::Ping),
            b'3' => Ok(Self::Pong),
            b'4' => Ok(Self::Message(&text[1..])),
            b'6' => Ok(Self::Noop),
            _ => Err(Violation::Packet),
        }
    }
}

impl Open {
    fn parse(json: &str) -> Result<Self, Violation> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            ping_interval: f64,
            ping_timeout: f64,
            max_payload: Option<f64>,
            star: Option<f64>,
        }
        let fields: Fields = serde_json::from_str(json).map_err(|_| Violation::Open)?;
        let believed = |ms: f64| {
            let (shortest, longest) = PING_SECONDS;
            Duration::from_secs_f64((ms / 1000.0).clamp(shortest, longest))
        };
        Ok(Self {
            ping_interval: believed(fields.ping_interval),
            ping_timeout: believed(fields.ping_timeout),
            max_payload: fields
                .max_payload
                .filter(|bytes| *bytes >= 1.0)
                .map(|bytes| bytes as usize),
            star: fields.star.map(|version| version as u32),
        })
    }
}

impl Message {
    pub(crate) fn parse(text: &str, engine: EngineVersion) -> Result<Self, Violation> {
        let kind = *text.as_bytes().first().ok_or(Violation::Packet)?;
        let (n_attachments, rest) = match kind {
            b'0'..=b'4' => (0, &text[1..]),
            b'5' | b'6' => attachments(&text[1..])?,
            _ => return Err(Violation::Packet),
        };
        let rest = default_namespace(rest)?;
        let data = match kind {
            b'0' => return connect(rest, engine),
            b'1' => return Ok(Self::Disconnect),
            b'4' => return Ok(Self::Refused(reason(rest))),
            b'2' | b'5' => {
                let (ack, json) = id(rest)?;
                let (name, args) = split_name(json).ok_or(Violation::Arguments)?;
                Data::Event { name, args, ack }
            }
            _ => {
                let (id, json) = id(rest)?;
                let id = id.ok_or(Violation::Packet)?;
                let args = array(json).ok_or(Violation::Arguments)?.to_owned();
                Data::Ack { id, args }
            }
        };
        Ok(Self::Data {
            data,
            n_attachments,
        })
    }
}

/// Takes the bytes of an attachment out of its frame.
pub(crate) fn attachment(frame: Bytes, engine: EngineVersion) -> Result<Bytes, Violation> {
    match engine {
        EngineVersion::V4 => Ok(frame),
        EngineVersion::V3 if frame.first() == Some(&4) => Ok(frame.slice(1..)),
        EngineVersion::V3 => Err(Violation::Packet),
    }
}

/// Puts the bytes of an attachment into its frame.
pub(crate) fn attachment_frame(attachment: Bytes, engine: EngineVersion) -> Frame {
    Frame::Binary(match engine {
        EngineVersion::V4 => attachment,
        EngineVersion::V3 => {
            let mut frame = BytesMut::with_capacity(attachment.len() + 1);
            frame.put_u8(4);
            frame.put(attachment);
            frame.freeze()
        }
    })
}

/// Writes the text of an event with `n_attachments` to follow.
pub(crate) fn event(name: &str, args: &str, ack: Option<u64>, n_attachments: usize) -> String {
    let args = args.trim();
    let inner = args.strip_prefix('[').unwrap_or(args);
    let inner = inner.strip_suffix(']').unwrap_or(inner).trim();
    let name = serde_json::Value::from(name);
    let comma = if inner.is_empty() { "" } else { "," };
    let id = ack.map(|id| id.to_string()).unwrap_or_default();
    match n_attachments {
        0 => format!("42{id}[{name}{comma}{inner}]"),
        n => format!("45{n}-{id}[{name}{comma}{inner}]"),
    }
}

/// Writes the text of an answer.
pub(crate) fn answer(id: u64, args: &str) -> String {
    format!("43{id}{args}")
}

fn connect(json: &str, engine: EngineVersion) -> Result<Message, Violation> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(rename = "sid")]
        _sid: IgnoredAny,
    }
    match engine {
        EngineVersion::V3 => Ok(Message::Connect),
        EngineVersion::V4 => serde_json::from_str::<Fields>(json)
            .map(|_| Message::Connect)
            .map_err(|_| Violation::EngineVersion),
    }
}

/// Splits the number of attachments off, `2-`.
fn attachments(text: &str) -> Result<(usize, &str), Violation> {
    let (digits, rest) = text.split_once('-').ok_or(Violation::Packet)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse::<usize>() {
        Ok(n) if is_number && n <= MAX_ATTACHMENTS => Ok((n, rest)),
        _ if is_number => Err(Violation::TooManyAttachments),
        _ => Err(Violation::Packet),
    }
}

/// Takes the name of the default namespace off, which may be there or not.
fn default_namespace(text: &str) -> Result<&str, Violation> {
    if !text.starts_with('/') {
        return Ok(text);
    }
    if text == "/" {
        return Ok("");
    }
    text.strip_prefix("/,").ok_or(Violation::Namespace)
}

fn id(text: &str) -> Result<(Option<u64>, &str), Violation> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    let id = digits.parse().map_err(|_| Violation::Packet)?;
    Ok((Some(id), rest))
}

/// Splits `["name", …]` into the name and the array of what follows.
fn split_name(json: &str) -> Option<(String, String)> {
    let inner = array(json)?.trim_ascii_start().strip_prefix('[')?;
    let mut values = serde_json::Deserializer::from_str(inner).into_iter::<String>();
    let name = values.next()?.ok()?;
    let rest = inner[values.byte_offset()..].trim_ascii_start();
    let args = rest.strip_prefix(',').unwrap_or(rest);
    Some((name, format!("[{args}")))
}

/// Returns the text if it is a JSON array.
fn array(json: &str) -> Option<&str> {
    let is_array = json.trim_ascii_start().starts_with('[');
    let is_valid = is_array && serde_json::from_str::<IgnoredAny>(json).is_ok();
    is_valid.then_some(json)
}

/// Reads why a namespace is refused: `"text"`, `{"message":"text"}`, or nothing
/// of use.
fn reason(json: &str) -> Box<str> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Reason {
        Text(String),
        Object { message: String },
    }
    let text = match serde_json::from_str(json) {
        Ok(Reason::Text(text) | Reason::Object { message: text }) => text,
        Err(_) => String::new(),
    };
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > MAX_REASON_BYTES {
            break;
        }
        kept.push(c);
    }
    kept.into()
}
