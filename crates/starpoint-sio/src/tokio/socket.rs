//! A WebSocket of tungstenite, bounded.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, error::ProtocolError, protocol::WebSocketConfig},
};

use crate::{
    error::SocketError,
    io::{Frame, Socket, SocketLimits},
};

/// Bytes that are read at once, and that a connection keeps for it.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Bytes that may wait in the socket before it writes, beside one message.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// Pings that may be answered while the network takes nothing. Each answer has up to
/// 127 bytes and waits in the socket; then nothing more is read before they are
/// written.
const MAX_WAITING_PONGS: usize = 32;

pub(super) fn websocket_config(limits: SocketLimits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(limits.max_message_bytes))
        .max_frame_size(Some(limits.max_message_bytes))
}

/// A WebSocket over a stream that counts what it has written.
pub(super) struct NativeSocket<S> {
    websocket: WebSocketStream<S>,
    /// Pings since the socket was last flushed.
    n_pings: usize,
}

/// A stream at whose bottom there is a [`Counted`] one.
pub(super) trait Counting {
    /// Returns the bytes that the network has taken.
    fn written_bytes(&self) -> u64;
}

/// A stream that counts what it has written.
pub(super) struct Counted<S> {
    inner: S,
    n_written: u64,
}

impl<S> NativeSocket<S> {
    pub(super) fn new(websocket: WebSocketStream<S>) -> Self {
        Self {
            websocket,
            n_pings: 0,
        }
    }
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            n_written: 0,
        }
    }
}

impl<S> Counting for Counted<S> {
    fn written_bytes(&self) -> u64 {
        self.n_written
    }
}

impl<S: Counting> Counting for tokio_rustls::client::TlsStream<S> {
    fn written_bytes(&self) -> u64 {
        self.get_ref().0.written_bytes()
    }
}

impl<S> Socket for NativeSocket<S>
where
    S: AsyncRead + AsyncWrite + Counting + Unpin + Send,
{
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, SocketError>>> {
        loop {
            if self.n_pings >= MAX_WAITING_PONGS
                && let Err(error) = ready!(self.poll_flush(cx))
            {
                return Poll::Ready(Some(Err(error)));
            }
            let message = match ready!(Pin::new(&mut self.websocket).poll_next(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(as_end(error).map(Err)),
                None => return Poll::Ready(None),
            };
            return Poll::Ready(match message {
                Message::Text(text) => Some(Ok(Frame::Text(text.as_str().to_owned()))),
                Message::Binary(bytes) => Some(Ok(Frame::Binary(bytes))),
                Message::Close(Some(close)) => Some(Err(SocketError::Closed {
                    status: close.code.into(),
                })),
                Message::Close(None) => None,
                Message::Ping(_) => {
                    self.n_pings += 1;
                    continue;
                }
                Message::Pong(_) | Message::Frame(_) => continue,
            });
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Pin::new(&mut self.websocket)
            .poll_ready(cx)
            .map_err(as_error)
    }

    fn start_send(&mut self, frame: Frame) -> Result<(), SocketError> {
        let message = match frame {
            Frame::Text(text) => Message::Text(text.into()),
            Frame::Binary(bytes) => Message::Binary(bytes),
        };
        Pin::new(&mut self.websocket)
            .start_send(message)
            .map_err(as_error)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        ready!(Pin::new(&mut self.websocket).poll_flush(cx)).map_err(as_error)?;
        self.n_pings = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Pin::new(&mut self.websocket)
            .poll_close(cx)
            .map_err(as_error)
    }

    fn written_bytes(&self) -> Option<u64> {
        Some(self.websocket.get_ref().written_bytes())
    }
}

/// `None` for an end that is none of the errors.
#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows")]
fn as_end(error: tungstenite::Error) -> Option<SocketError> {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => None,
        other => Some(as_error(other)),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows")]
fn as_error(error: tungstenite::Error) -> SocketError {
    use tungstenite::Error;
    match error {
        Error::Io(error) => SocketError::Network(Arc::new(error)),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
        ) => SocketError::Network(Arc::new(io::ErrorKind::ConnectionReset.into())),
        Error::Capacity(_) => SocketError::MessageTooLong,
        other => SocketError::Malformed(Arc::new(other)),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.n_written += n as u64;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
