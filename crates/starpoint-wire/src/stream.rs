//! Names of the two streams of a dialed connection, and how a stream ends.

use std::{fmt, sync::Arc};

use crate::limits::MAX_DIAL_ID_BYTES;

/// Name that the dialer gave to a dial. Both streams of the connection carry it.
///
/// 1 to [`MAX_DIAL_ID_BYTES`] bytes, without control characters, quotes and
/// backslashes, so that it reads the same in JSON and in an event name
/// (R-DIAL-3). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(Arc<str>);

impl DialId {
    /// Checks a dial id from a peer.
    ///
    /// Returns `None` when it is empty, too long, or has a character that JSON
    /// would have to escape.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= MAX_DIAL_ID_BYTES;
        let plain = !text
            .chars()
            .any(|c| c.is_control() || c == '"' || c == '\\');
        (fits && plain).then(|| Self(text.into()))
    }

    /// Returns the id as it goes over the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who writes a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The peer that dialed writes, the callee reads.
    Dialer,
    /// The callee writes, the peer that dialed reads.
    Listener,
}

impl Direction {
    /// Returns the direction of the other stream of the same connection.
    pub fn opposite(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Dialer => "dialer",
            Self::Listener => "listener",
        }
    }
}

/// One direction of a dialed connection: `<dial id>.dialer` or `<dial id>.listener`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The dial that the stream belongs to.
    pub dial: DialId,
    /// Who writes it.
    pub direction: Direction,
}

impl StreamId {
    /// Parses the last part of a stream event's name.
    ///
    /// The direction is what follows the *last* dot, so a dial id may have dots.
    pub fn parse(text: &str) -> Option<Self> {
        let (dial, suffix) = text.rsplit_once('.')?;
        let direction = match suffix {
            "dialer" => Direction::Dialer,
            "listener" => Direction::Listener,
            _ => return None,
        };
        Some(Self {
            dial: DialId::parse(dial)?,
            direction,
        })
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.dial, self.direction.suffix())
    }
}

/// How the writer of a stream ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// All bytes were sent: `true` on the wire.
    Clean,
    /// Something broke: the text on the wire.
    Error(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_id_may_have_dots_and_look_like_a_stream() {
        let stream = StreamId::parse("a.dialer.listener").unwrap();
        assert_eq!(stream.dial.as_str(), "a.dialer");
        assert_eq!(stream.direction, Direction::Listener);
        assert_eq!(stream.to_string(), "a.dialer.listener");
    }

    #[test]
    fn r_dial_3_dial_ids_are_short_and_need_no_escaping() {
        for good in [
            "x",
            "__proto__",
            "☎",
            "40c71676-4b54-43f0-b4f5-05fb02a61caf",
        ] {
            assert!(DialId::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "\0",
            "a\nb",
            "a\"b",
            "a\\b",
            &"A".repeat(MAX_DIAL_ID_BYTES + 1),
        ] {
            assert!(DialId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn r_limit_2_a_dial_id_has_at_most_256_bytes() {
        assert!(DialId::parse(&"é".repeat(128)).is_some());
        assert!(DialId::parse(&"é".repeat(129)).is_none());
    }

    #[test]
    fn streams_without_a_direction_do_not_parse() {
        for bad in ["", ".", "x", ".dialer", "x.", "x.dialers", "x.Dialer"] {
            assert!(StreamId::parse(bad).is_none(), "{bad}");
        }
    }
}
