//! What the client needs from its surroundings: a WebSocket, a way to open one,
//! and a clock.
//!
//! A native program takes all three from the feature `tokio`. A browser has
//! its own WebSocket and timers; they fit behind the same three traits.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{
    future::BoxFuture,
    io::{AsyncRead, AsyncWrite},
};
use web_time::Instant;

use crate::error::{ConnectError, PipeError, SocketError};

/// One WebSocket message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
}

impl Frame {
    /// Returns the length of the message in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Returns whether the message has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One open WebSocket, whatever carries it. Pings and pongs of the WebSocket
/// itself are its own business and never come out of it.
///
/// Owned and polled by one task. Dropping it closes the connection at once.
pub trait Socket: Send {
    /// Returns the next message; `None` when the server has closed without a
    /// status.
    ///
    /// # Errors
    ///
    /// [`SocketError`]; the socket is of no more use then.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, SocketError>>>;

    /// Waits until [`start_send`](Self::start_send) may be called once.
    ///
    /// Pending for as long as the socket holds more than a fixed amount of what
    /// it was given before.
    ///
    /// # Errors
    ///
    /// [`SocketError`]; the socket is of no more use then.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>>;

    /// Takes a message; it may wait in a buffer until
    /// [`poll_flush`](Self::poll_flush).
    ///
    /// # Errors
    ///
    /// [`SocketError`]; the socket is of no more use then.
    fn start_send(&mut self, frame: Frame) -> Result<(), SocketError>;

    /// Hands everything over to the network.
    ///
    /// # Errors
    ///
    /// [`SocketError`]; the socket is of no more use then.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>>;

    /// Flushes and sends a close frame; does not wait for the server's.
    ///
    /// # Errors
    ///
    /// [`SocketError`]; the socket is of no more use either way.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>>;

    /// Returns how many bytes the network has taken up to now, if the socket
    /// knows.
    ///
    /// A large message on a slow network takes longer than the write deadline;
    /// this number tells slow from stuck. Without it each message has to be
    /// taken within the deadline.
    fn written_bytes(&self) -> Option<u64> {
        None
    }
}

/// What a [`Socket`] has to enforce while it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketLimits {
    /// Longest message, in bytes. A longer one is
    /// [`SocketError::MessageTooLong`], before it is in memory as a whole.
    pub max_message_bytes: usize,
}

/// Opens WebSockets.
pub trait Connector: Send + Sync + 'static {
    /// Connects to `url`, `ws://…` or `wss://…` with path and query.
    ///
    /// Sets no deadline: the caller drops the future when it has waited long
    /// enough, and nothing of the attempt is left then.
    fn connect(
        &self,
        url: &str,
        limits: SocketLimits,
    ) -> BoxFuture<'static, Result<Box<dyn Socket>, ConnectError>>;

    /// Opens this side of a pipe at `url`, `ws://…` or `wss://…` with the path
    /// that the star named. The star answers once the other side is there, too.
    ///
    /// Sets no deadline: the caller drops the future when it has waited long
    /// enough, and nothing of the attempt is left then.
    fn connect_pipe(&self, url: &str) -> BoxFuture<'static, Result<Box<dyn Pipe>, PipeError>>;
}

/// One dialed connection, through a WebSocket of its own. Plain bytes: there are
/// no borders of messages.
///
/// * A read of 0 bytes is the clean end of the remote. What the remote gave up is
///   [`io::ErrorKind::ConnectionReset`](std::io::ErrorKind::ConnectionReset), and
///   [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted) when the remote
///   or the star was lost; what arrived before is read first.
/// * A write is sent at once if the connection takes it; else it waits, with at
///   most 64 KiB, until the pipe is polled again.
/// * Closing ends the own direction and flushes; reading goes on.
/// * Dropping it before both directions have ended resets it: what was not
///   flushed is lost, and the remote reads an error. [`Pipe::poll_finish`] does the
///   same in good order, so that what was flushed before is not lost with it.
///
/// The star drops who is silent for 90 s; a pipe answers for itself only while it
/// is polled, for reading or for writing. Both halves may be polled by different
/// tasks.
pub trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {
    /// Ends the pipe for good and waits until the star knows; it is of no more use
    /// then. Ready also when the pipe is lost.
    ///
    /// Sets no deadline: the caller drops the pipe when it has waited long enough.
    fn poll_finish(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
}

/// A monotonic clock and its alarms.
pub trait Timers: Send + Sync + 'static {
    /// Returns the time.
    fn now(&self) -> Instant;

    /// Returns a future that is ready once `at` has come.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()>;
}
