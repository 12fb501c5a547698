//! The stream that libp2p reads and writes.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    held::HeldPipe,
    relayed::{Relayed, StreamState},
};
use crate::gauges::Counted;
use futures_util::io::{AsyncRead, AsyncWrite};

/// A connection to a peer by way of a star: plain bytes, to be encrypted by
/// Noise or TLS above.
///
/// * At a star of the native profile it is a *pipe*, with a WebSocket of its own:
///   it waits for nobody but its own reader, and outlives that connection to the
///   star. At another star, or with a peer that speaks the legacy profile only, it
///   shares that connection with all others.
/// * Writing is pending while [`Config::stream_buffer_bytes`], or 64 KiB of a pipe,
///   wait, because the star, or the peer behind it, takes no more.
/// * Flushing is pending until the connection to the star has taken everything.
/// * Closing ends the own direction; the other one goes on.
/// * The end of the remote is 0 bytes read. A stream that the remote has reset is
///   [`ConnectionReset`](io::ErrorKind::ConnectionReset), one whose star is lost
///   [`ConnectionAborted`](io::ErrorKind::ConnectionAborted); what was received
///   before is read first.
/// * Dropping it without closing resets it. A remote that goes on writing after
///   both sides have closed the other direction is not told by a legacy star: that
///   protocol has no words for it.
///
/// [`Config::stream_buffer_bytes`]: crate::Config::stream_buffer_bytes
pub struct Stream {
    way: Way,
    _counted: Counted,
}

enum Way {
    Relayed(Relayed),
    Pipe(HeldPipe),
}

impl Stream {
    pub(crate) fn relayed(shared: Arc<StreamState>, counted: Counted) -> Self {
        Self {
            way: Way::Relayed(Relayed::new(shared)),
            _counted: counted,
        }
    }

    pub(crate) fn pipe(pipe: HeldPipe, counted: Counted) -> Self {
        Self {
            way: Way::Pipe(pipe),
            _counted: counted,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Relayed(stream) => Pin::new(stream).poll_read(cx, buf),
            Way::Pipe(pipe) => Pin::new(pipe).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Relayed(stream) => Pin::new(stream).poll_write(cx, buf),
            Way::Pipe(pipe) => Pin::new(pipe).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Relayed(stream) => Pin::new(stream).poll_flush(cx),
            Way::Pipe(pipe) => Pin::new(pipe).poll_flush(cx),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Relayed(stream) => Pin::new(stream).poll_close(cx),
            Way::Pipe(pipe) => Pin::new(pipe).poll_close(cx),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way: &dyn fmt::Debug = match &self.way {
            Way::Relayed(stream) => stream,
            Way::Pipe(_) => &"Pipe",
        };
        f.debug_tuple("Stream").field(way).finish()
    }
}
