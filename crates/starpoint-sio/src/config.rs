//! What can be set for a connection.

use std::{fmt::Write as _, time::Duration};

use crate::error::UrlError;

/// Version of the Engine.IO protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineVersion {
    /// Engine.IO 3, Socket.IO 1 and 2: the client pings, the server connects the
    /// namespace unasked. Every star speaks it, the original among them.
    V3,
    /// Engine.IO 4, Socket.IO 3 and later: the server pings, the client asks for
    /// the namespace. The original star does not speak it.
    V4,
}

impl EngineVersion {
    /// Returns the value of `EIO` in the query.
    pub fn number(self) -> u8 {
        match self {
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }
}

/// Settings of a connection. The defaults fit a star.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Protocol version. Default: [`EngineVersion::V3`], which every star speaks.
    pub engine: EngineVersion,
    /// Further name and value pairs of the query, such as `star=1`. Default: none.
    pub query: Vec<(String, String)>,
    /// Longest message that the server may send, and most bytes of a message
    /// and its attachments together. Default: 16 MiB and 64 KiB for the header.
    pub max_message_bytes: usize,
    /// Bytes that may wait before [`Connection::poll_ready`] does, beside what
    /// the socket itself holds. The last message may exceed it. Default: 256 KiB.
    ///
    /// [`Connection::poll_ready`]: crate::Connection::poll_ready
    pub max_queued_bytes: usize,
    /// Time from the call of [`Connection::open`] until the namespace is
    /// connected: name, TCP, TLS, WebSocket and Socket.IO together. Default: 10 s.
    ///
    /// [`Connection::open`]: crate::Connection::open
    pub handshake_deadline: Duration,
    /// Longest time in which the network takes nothing of what waits. Default:
    /// 20 s.
    pub write_deadline: Duration,
    /// Time for an orderly end, after which the connection is dropped. Default:
    /// 5 s.
    pub close_deadline: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: EngineVersion::V3,
            query: Vec::new(),
            max_message_bytes: 16 * 1024 * 1024 + 64 * 1024,
            max_queued_bytes: 256 * 1024,
            handshake_deadline: Duration::from_secs(10),
            write_deadline: Duration::from_secs(20),
            close_deadline: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// Returns where to connect to: the server's `url` with Socket.IO's path and
    /// query (R-SIO-1).
    ///
    /// # Errors
    ///
    /// [`UrlError`] when `url` is not `ws://host`, `wss://host` or either with a
    /// port.
    pub fn endpoint(&self, url: &str) -> Result<String, UrlError> {
        let rest = url
            .strip_prefix("ws://")
            .or_else(|| url.strip_prefix("wss://"))
            .ok_or(UrlError::Scheme)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.is_empty() {
            return Err(UrlError::Host);
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]%~".contains(c);
        if !authority.chars().all(is_plain) {
            return Err(UrlError::Extra);
        }
        let base = url.strip_suffix('/').unwrap_or(url);
        let number = self.engine.number();
        let mut endpoint = format!("{base}/socket.io/?EIO={number}&transport=websocket");
        for (name, value) in &self.query {
            endpoint.push('&');
            push_encoded(&mut endpoint, name);
            endpoint.push('=');
            push_encoded(&mut endpoint, value);
        }
        Ok(endpoint)
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986, section 2.3.
fn push_encoded(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").expect("a string takes every text");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_sio_1_the_endpoint_has_the_path_the_version_and_the_query() {
        let mut config = Config::default();
        assert_eq!(
            config.endpoint("ws://127.0.0.1:9090").unwrap(),
            "ws://127.0.0.1:9090/socket.io/?EIO=3&transport=websocket"
        );
        config.engine = EngineVersion::V4;
        config.query = vec![("star".into(), "1".into()), ("a b".into(), "ü&".into())];
        assert_eq!(
            config.endpoint("wss://[::1]:443/").unwrap(),
            "wss://[::1]:443/socket.io/?EIO=4&transport=websocket&star=1&a%20b=%C3%BC%26"
        );
    }

    #[test]
    fn r_sio_1_other_urls_are_refused() {
        let config = Config::default();
        for (url, error) in [
            ("", UrlError::Scheme),
            ("http://a", UrlError::Scheme),
            ("ws:/a", UrlError::Scheme),
            ("ws://", UrlError::Host),
            ("ws:///", UrlError::Host),
            ("ws://a/b", UrlError::Extra),
            ("ws://a?b", UrlError::Extra),
            ("ws://a#b", UrlError::Extra),
            ("ws://user@a", UrlError::Extra),
            ("ws://a b", UrlError::Extra),
            ("ws://a\r\nX: y", UrlError::Extra),
        ] {
            assert_eq!(config.endpoint(url), Err(error), "{url:?}");
        }
    }
}
