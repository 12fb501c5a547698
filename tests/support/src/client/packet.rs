//! Socket.IO packets, as text and back.

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use serde_json::Value;

/// A packet from the star.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// Engine.IO is open: the session's parameters.
    Open(Value),
    /// Engine.IO closes.
    Close,
    /// Answer to a ping.
    Pong,
    /// Nothing; ends a poll.
    Noop,
    /// Socket.IO is connected; version 4 has an object.
    Connect(Value),
    /// The star disconnects.
    Disconnect,
    /// An event.
    Event(Event),
    /// An acknowledgement.
    Ack {
        /// Id that the client chose.
        id: u64,
        /// Arguments, an array.
        args: Value,
    },
    /// A connection was refused.
    Error(Value),
}

/// An event from the star.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its arguments behind the name; a binary one is a placeholder.
    pub args: Vec<Value>,
    /// Id of the acknowledgement that it asks for.
    pub ack_id: Option<u64>,
    /// Its binary attachments, in order.
    pub attachments: Vec<Bytes>,
    pub(super) n_missing: usize,
}

/// Encodes an event; `args` is an array.
pub(super) fn encode_event(name: &str, args: &Value, ack_id: Option<u64>) -> String {
    let args = args.as_array().expect("arguments are an array");
    let list: Vec<_> = std::iter::once(&Value::from(name))
        .chain(args)
        .cloned()
        .collect();
    let id = ack_id.map(|id| id.to_string()).unwrap_or_default();
    format!("42{id}{}", Value::from(list))
}

/// Decodes an Engine.IO text packet; an event may still miss attachments.
pub(super) fn decode(text: &str) -> anyhow::Result<Packet> {
    let mut chars = text.chars();
    match chars.next().context("an empty packet")? {
        '0' => Ok(Packet::Open(serde_json::from_str(chars.as_str())?)),
        '1' => Ok(Packet::Close),
        '3' => Ok(Packet::Pong),
        '4' => decode_message(chars.as_str()),
        '6' => Ok(Packet::Noop),
        kind => bail!("packet of type {kind:?}"),
    }
}

fn decode_message(text: &str) -> anyhow::Result<Packet> {
    let mut chars = text.chars();
    let kind = chars.next().context("an empty message")?;
    let rest = chars.as_str();
    match kind {
        '0' if rest.is_empty() => Ok(Packet::Connect(Value::Null)),
        '0' => Ok(Packet::Connect(serde_json::from_str(rest)?)),
        '1' => Ok(Packet::Disconnect),
        '2' => event(rest, 0),
        '3' => {
            let (id, args) = ack_id(rest)?;
            let id = id.context("an acknowledgement without an id")?;
            let args: Value = serde_json::from_str(args)?;
            ensure!(args.is_array(), "the arguments are no array");
            Ok(Packet::Ack { id, args })
        }
        '4' => Ok(Packet::Error(serde_json::from_str(rest)?)),
        '5' => {
            let (n_attachments, rest) = rest.split_once('-').context("no number of attachments")?;
            event(rest, n_attachments.parse()?)
        }
        kind => bail!("message of type {kind:?}"),
    }
}

fn event(text: &str, n_missing: usize) -> anyhow::Result<Packet> {
    let (ack_id, list) = ack_id(text)?;
    let mut args: Vec<Value> = serde_json::from_str(list)?;
    ensure!(!args.is_empty(), "an event without a name");
    let name = args
        .remove(0)
        .as_str()
        .context("a name that is no text")?
        .to_owned();
    Ok(Packet::Event(Event {
        name,
        args,
        ack_id,
        attachments: Vec::new(),
        n_missing,
    }))
}

fn ack_id(text: &str) -> anyhow::Result<(Option<u64>, &str)> {
    let start = text.find('[').context("no array")?;
    let (digits, list) = text.split_at(start);
    let id = (!digits.is_empty()).then(|| digits.parse()).transpose()?;
    Ok((id, list))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn packets_of_the_recorded_forms_are_understood() {
        assert_eq!(decode("40").unwrap(), Packet::Connect(Value::Null));
        let ack = Packet::Ack {
            id: 12,
            args: json!([null, "x"]),
        };
        assert_eq!(decode(r#"4312[null,"x"]"#).unwrap(), ack);
        let Packet::Event(event) = decode(r#"451-7["e",{"_placeholder":true,"num":0}]"#).unwrap()
        else {
            panic!("no event");
        };
        assert_eq!(
            (event.name.as_str(), event.ack_id, event.n_missing),
            ("e", Some(7), 1)
        );
    }

    #[test]
    fn what_is_no_packet_is_an_error() {
        for bad in [
            "", "4", "42", "42{}", "42[]", "42[1]", "43[]", "45[]", "9", "432",
        ] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_carries_its_id_and_arguments() {
        assert_eq!(
            encode_event("e", &json!(["a", null]), Some(3)),
            r#"423["e","a",null]"#
        );
        assert_eq!(encode_event("e", &json!([]), None), r#"42["e"]"#);
    }
}
