//! The query of an Engine.IO request, read once and strictly.
//!
//! Socket.IO's library reads it, too, and in another way. It is given a query that
//! was written anew from what was read here, so that the two cannot differ: what the
//! star does for long polling or for a WebSocket is done for what the library takes
//! as one.

use axum::http::Uri;
use socketioxide::ProtocolVersion;

use crate::socketio;

/// An Engine.IO query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    pub(super) protocol: ProtocolVersion,
    pub(super) transport: Transport,
    /// The session that exists, by its name.
    pub(super) sid: Option<String>,
    /// The client wants text only (Engine.IO 3).
    is_base64: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    WebSocket,
}

/// Why a query is none, as the original says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueryError {
    Transport,
    Protocol,
    Session,
}

impl Query {
    /// Reads the query of a request. Of a name that is there twice, the first counts.
    pub(super) fn parse(query: &str) -> Result<Self, QueryError> {
        let transport = match value(query, "transport") {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            Some(_) | None => return Err(QueryError::Transport),
        };
        let protocol = match value(query, "EIO") {
            // Socket.IO's protocols are numbered one above Engine.IO's.
            Some("3") => ProtocolVersion::V4,
            Some("4") => ProtocolVersion::V5,
            Some(_) | None => return Err(QueryError::Protocol),
        };
        let sid = value(query, "sid").map(str::to_owned);
        let is_name = |sid: &String| sid.bytes().all(is_of_name);
        if !sid.iter().all(is_name) {
            return Err(QueryError::Session);
        }
        Ok(Self {
            protocol,
            transport,
            sid,
            is_base64: matches!(value(query, "b64"), Some("1" | "true")),
        })
    }

    pub(super) fn is_engine3(&self) -> bool {
        self.protocol == ProtocolVersion::V4
    }

    /// Returns the target of a request that asks for the same, for the library.
    pub(super) fn target(&self) -> Uri {
        let engine = if self.is_engine3() { 3 } else { 4 };
        let transport = match self.transport {
            Transport::Polling => "polling",
            Transport::WebSocket => "websocket",
        };
        let mut target = format!("{}/?EIO={engine}&transport={transport}", socketio::PATH);
        if self.is_base64 {
            target.push_str("&b64=1");
        }
        if let Some(sid) = &self.sid {
            target.push_str("&sid=");
            target.push_str(sid);
        }
        Uri::try_from(target).unwrap_or_default()
    }
}

/// Returns the first value of a name, without any decoding.
pub(super) fn value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| (key == name).then_some(value))
}

/// Returns whether a byte may be in the name of a session.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_written_anew() {
        for (query, target) in [
            ("EIO=4&transport=polling&t=x", "EIO=4&transport=polling"),
            (
                "t=1&b64=true&transport=websocket&sid=aB-_1&EIO=3&sid=other&transport=polling",
                "EIO=3&transport=websocket&b64=1&sid=aB-_1",
            ),
        ] {
            let read = Query::parse(query).unwrap();
            assert_eq!(read.target().to_string(), format!("/socket.io/?{target}"));
            assert_eq!(Query::parse(target), Ok(read));
        }
    }

    #[test]
    fn r_http_6_what_another_parser_may_read_otherwise_is_refused() {
        use QueryError::{Protocol, Session, Transport};
        for (query, error) in [
            ("", Transport),
            ("EIO=4", Transport),
            ("EIO=4&transport=websocket=", Transport),
            ("EIO=4&transport=Polling", Transport),
            ("EIO=4&transport=%70olling", Transport),
            ("transport=polling", Protocol),
            ("EIO=3=&transport=polling", Protocol),
            ("EIO=+3&transport=polling", Protocol),
            ("EIO=5&transport=polling", Protocol),
            ("EIO=4&transport=polling&sid=a=b", Session),
            ("EIO=4&transport=polling&sid=a%20", Session),
        ] {
            assert_eq!(Query::parse(query), Err(error), "{query}");
        }
    }
}
