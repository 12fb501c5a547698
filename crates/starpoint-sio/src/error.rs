//! Everything that can go wrong, and whose fault it is.

use std::{error::Error, io, sync::Arc};

/// Cause that a connector or socket adds for the log; nobody branches on it.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// The text is no address of a Socket.IO server: the caller's fault. Nothing was
/// sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Begins with neither `ws://` nor `wss://`.
    #[error("scheme is neither ws nor wss")]
    Scheme,
    /// Has no host.
    #[error("no host")]
    Host,
    /// Has a path, query, fragment or user, or a character that no host has.
    #[error("something other than host and port")]
    Extra,
}

/// A WebSocket could not be opened. Nothing is left of the attempt.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL has no usable host or port: the caller's fault; give another.
    #[error("unusable url")]
    Url,
    /// The name has no address: a wrong name, or no network. Try later.
    #[error("name does not resolve")]
    Resolve(#[source] Arc<io::Error>),
    /// No address of the server takes the connection: it is down, blocked, or
    /// there is no network. Try later.
    #[error("connection refused or lost")]
    Network(#[source] Arc<io::Error>),
    /// The server's certificate is not trusted, not for this name, or not valid
    /// now. The operator of the server mends it, or the caller trusts another
    /// authority; trying again is useless.
    #[error("server certificate not accepted")]
    Certificate(#[source] Cause),
    /// TLS failed for another reason; often the server does not speak it on this
    /// port.
    #[error("tls handshake failed")]
    Tls(#[source] Cause),
    /// The server answers HTTP, but does not change to WebSocket. 400 with
    /// Engine.IO 3 often means that it speaks 4 only; 5xx that it is overloaded.
    #[error("server answers http status {status}")]
    Rejected {
        /// HTTP status, 100 to 999.
        status: u16,
    },
    /// What answers is no WebSocket server.
    #[error("server does not speak websocket")]
    NotWebSocket(#[source] Cause),
}

/// A pipe was not opened. Nothing is left of the attempt.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipeError {
    /// The star does not open the pipe; its code tells why and whose fault it is.
    #[error("refused by the star with http status {status} and code {code:?}")]
    Refused {
        /// HTTP status, 100 to 999.
        status: u16,
        /// Code of the refusal: at most 64 lowercase letters, digits and dashes.
        /// Empty when what answers is no star, or gives none.
        code: Box<str>,
    },
    /// The star was not reached, or does not speak WebSocket.
    #[error("cannot connect")]
    Connect(#[source] ConnectError),
}

impl From<ConnectError> for PipeError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

/// An open WebSocket is of no more use.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The network failed, or the server vanished. Connect again.
    #[error("network failed")]
    Network(#[source] Arc<io::Error>),
    /// The server closed with a status: 1009 when a message was too long for it,
    /// 1012 when it restarts.
    #[error("server closed with status {status}")]
    Closed {
        /// Status of the close frame, as in RFC 6455, section 7.4.
        status: u16,
    },
    /// The server sends a message longer than
    /// [`SocketLimits::max_message_bytes`](crate::SocketLimits::max_message_bytes):
    /// its fault.
    #[error("message too long")]
    MessageTooLong,
    /// What the server sends is not WebSocket, or its text not UTF-8: its fault.
    #[error("malformed websocket frame")]
    Malformed(#[source] Cause),
}

/// The server breaks the protocol. Its fault; another server may be better, the
/// same one hardly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A packet of no known type, or cut off before its end.
    #[error("malformed packet")]
    Packet,
    /// The JSON of a packet does not parse, or is not an array that begins with
    /// a name where it should be.
    #[error("malformed arguments")]
    Arguments,
    /// The open packet has no usable times.
    #[error("malformed open packet")]
    Open,
    /// A packet that has no place at this point of the handshake.
    #[error("unexpected packet")]
    Unexpected,
    /// The server answers in another version of the protocol than was asked for:
    /// one of socket.io 2 ignores `EIO=4`. Connect again with
    /// [`EngineVersion::V3`](crate::EngineVersion::V3).
    #[error("server speaks another protocol version")]
    EngineVersion,
    /// A packet of a namespace that nobody has connected.
    #[error("packet of a foreign namespace")]
    Namespace,
    /// More attachments than [`MAX_ATTACHMENTS`](crate::MAX_ATTACHMENTS).
    #[error("too many attachments")]
    TooManyAttachments,
    /// Another packet where an attachment should be.
    #[error("missing attachment")]
    MissingAttachment,
    /// A binary message that no packet has announced.
    #[error("unannounced attachment")]
    UnannouncedAttachment,
    /// A message, or a packet with its attachments, longer than
    /// [`Config::max_message_bytes`](crate::Config::max_message_bytes).
    #[error("message too long")]
    MessageTooLong,
    /// More than [`MAX_QUEUED_ANSWERS`](crate::MAX_QUEUED_ANSWERS) answers that
    /// the server asked for and does not read.
    #[error("answers not read")]
    UnreadAnswers,
}

/// Why a connection has ended. Nothing can be sent or received on it; what was
/// queued is lost.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// [`Connection::poll_close`](crate::Connection::poll_close) was called.
    #[error("closed here")]
    Local,
    /// The server has disconnected the namespace: it wants this client to go.
    #[error("disconnected by the server")]
    Disconnected,
    /// The server has closed the WebSocket or said that it is about to; it often
    /// restarts. Connect again.
    #[error("closed by the server")]
    ByServer,
    /// The server refuses the namespace, in its own words: at most 256 bytes,
    /// without control characters.
    #[error("refused by the server")]
    Refused {
        /// For people; empty when the server gives no reason.
        reason: Box<str>,
    },
    /// Nothing was heard for the server's ping interval and timeout: it, or the
    /// network, is gone. Connect again.
    #[error("server is silent")]
    Silent,
    /// The server did not finish the handshake in time.
    #[error("handshake not finished in time")]
    HandshakeTimeout,
    /// The network took nothing for
    /// [`Config::write_deadline`](crate::Config::write_deadline): the server does
    /// not read, or is gone. Connect again.
    #[error("server does not read")]
    WriteTimeout,
    /// The WebSocket failed.
    #[error("websocket failed")]
    Socket(#[source] SocketError),
    /// The server breaks the protocol.
    #[error("protocol violated by the server")]
    Protocol(#[source] Violation),
}

impl From<SocketError> for Closed {
    fn from(error: SocketError) -> Self {
        Self::Socket(error)
    }
}

/// A connection was not opened. Nothing is left of the attempt.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address is none; the caller's fault.
    #[error("invalid server url")]
    Url(#[source] UrlError),
    /// No WebSocket to the server.
    #[error("cannot connect")]
    Connect(#[source] ConnectError),
    /// [`Config::handshake_deadline`](crate::Config::handshake_deadline) passed
    /// first: the server accepts and does not answer, or packets vanish.
    #[error("server does not answer in time")]
    Deadline,
    /// The WebSocket opened, and Socket.IO did not.
    #[error("handshake failed")]
    Handshake(#[source] Closed),
}
