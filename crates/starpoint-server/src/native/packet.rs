//! Packets of Engine.IO and Socket.IO, as a client sends and gets them.

use std::fmt::Write as _;

use serde::de::IgnoredAny;

/// Most attachments of one packet that are read; the star's own events have one.
const MAX_ATTACHMENTS: usize = 8;

/// A packet from a client, as text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    Ping,
    Pong,
    /// Engine.IO's close, or Socket.IO's disconnect.
    Close,
    /// The client asks for the namespace; Engine.IO 4 only.
    Connect,
    /// `["name", …]`, and how many attachments follow.
    Event {
        json: &'a str,
        ack: Option<i64>,
        n_attachments: usize,
    },
    /// The answer to an event of the star's.
    Ack {
        id: u64,
        args: &'a str,
        n_attachments: usize,
    },
    Noop,
}

/// The client breaks the protocol; its connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Packet<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Malformed> {
        let (kind, rest) = split_kind(text)?;
        match kind {
            b'1' => Ok(Self::Close),
            b'2' => Ok(Self::Ping),
            b'3' => Ok(Self::Pong),
            b'4' => Self::parse_message(rest),
            b'6' => Ok(Self::Noop),
            _ => Err(Malformed),
        }
    }

    fn parse_message(text: &'a str) -> Result<Self, Malformed> {
        let (kind, rest) = split_kind(text)?;
        let (n_attachments, rest) = match kind {
            b'5' | b'6' => attachments(rest)?,
            _ => (0, rest),
        };
        let rest = default_namespace(rest)?;
        match kind {
            b'0' => Ok(Self::Connect),
            b'1' => Ok(Self::Close),
            b'2' | b'5' => {
                let (id, json) = number(rest)?;
                let ack = id.map(i64::try_from).transpose().map_err(|_| Malformed)?;
                Ok(Self::Event {
                    json,
                    ack,
                    n_attachments,
                })
            }
            b'3' | b'6' => {
                let (id, args) = number(rest)?;
                let is_array =
                    args.starts_with('[') && serde_json::from_str::<IgnoredAny>(args).is_ok();
                match id {
                    Some(id) if is_array => Ok(Self::Ack {
                        id,
                        args,
                        n_attachments,
                    }),
                    Some(_) | None => Err(Malformed),
                }
            }
            _ => Err(Malformed),
        }
    }
}

fn split_kind(text: &str) -> Result<(u8, &str), Malformed> {
    let kind = *text.as_bytes().first().ok_or(Malformed)?;
    if !kind.is_ascii_digit() {
        return Err(Malformed);
    }
    Ok((kind, &text[1..]))
}

fn attachments(text: &str) -> Result<(usize, &str), Malformed> {
    let (digits, rest) = text.split_once('-').ok_or(Malformed)?;
    // A sign would be read as a part of the number.
    let is_plain = digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<usize>() {
        Ok(n) if n <= MAX_ATTACHMENTS && is_plain => Ok((n, rest)),
        Ok(_) | Err(_) => Err(Malformed),
    }
}

fn default_namespace(text: &str) -> Result<&str, Malformed> {
    match text.strip_prefix('/') {
        None => Ok(text),
        Some("") => Ok(""),
        Some(rest) => rest.strip_prefix(',').ok_or(Malformed),
    }
}

fn number(text: &str) -> Result<(Option<u64>, &str), Malformed> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    Ok((Some(digits.parse().map_err(|_| Malformed)?), rest))
}

/// Writes an event; `args` is the text of a JSON array. Names need no escaping.
pub(crate) fn event(name: &str, args: &str, ack: Option<u64>, n_attachments: usize) -> String {
    let inner = args.strip_prefix('[').unwrap_or(args);
    let comma = if inner == "]" { "" } else { "," };
    let mut text = String::with_capacity(name.len() + args.len() + 32);
    text.push('4');
    let written = match n_attachments {
        0 => write!(text, "2"),
        n => write!(text, "5{n}-"),
    };
    written.expect("a string takes every text");
    if let Some(ack) = ack {
        write!(text, "{ack}").expect("a string takes every text");
    }
    text.push_str("[\"");
    text.push_str(name);
    text.push('"');
    text.push_str(comma);
    text.push_str(inner);
    text
}

/// Writes an answer.
pub(crate) fn answer(ack: i64, args: &str) -> String {
    format!("43{ack}{args}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_a_client_are_read() {
        assert_eq!(Packet::parse("2"), Ok(Packet::Ping));
        assert_eq!(Packet::parse("40"), Ok(Packet::Connect));
        assert_eq!(Packet::parse("40/,"), Ok(Packet::Connect));
        assert_eq!(Packet::parse("41"), Ok(Packet::Close));
        assert_eq!(
            Packet::parse(r#"427["a",1]"#),
            Ok(Packet::Event {
                json: r#"["a",1]"#,
                ack: Some(7),
                n_attachments: 0
            })
        );
        assert_eq!(
            Packet::parse(r#"451-["a"]"#),
            Ok(Packet::Event {
                json: r#"["a"]"#,
                ack: None,
                n_attachments: 1
            })
        );
        assert_eq!(
            Packet::parse("4312[]"),
            Ok(Packet::Ack {
                id: 12,
                args: "[]",
                n_attachments: 0
            })
        );
    }

    #[test]
    fn other_packets_are_malformed() {
        for text in [
            "",
            "x",
            "4",
            "4x",
            "9",
            "42/other,[]",
            "459-[]",
            "45999999999999999999-[]",
            "45+1-[]",
            "43[]",
            "431{}",
            "431[",
            "4299999999999999999999[]",
            "ä",
        ] {
            assert_eq!(Packet::parse(text), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn events_and_answers_are_written() {
        assert_eq!(event("a", "[]", None, 0), r#"42["a"]"#);
        assert_eq!(event("a", "[1]", Some(3), 0), r#"423["a",1]"#);
        assert_eq!(event("a", "[1]", None, 2), r#"452-["a",1]"#);
        assert_eq!(answer(5, "[null]"), "435[null]");
    }
}
