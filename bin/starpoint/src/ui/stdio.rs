//! Stdin and stdout as one side of a socket.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Stdin, Stdout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Returns stdin and stdout. When the other side ends, so does this one: what
/// feeds stdin, ssh for one, waits for stdout to end before it stops.
pub(crate) fn joined() -> (Input, Output) {
    let has_ended = CancellationToken::new();
    let input = Input {
        stdin: tokio::io::stdin(),
        has_ended: Box::pin(has_ended.clone().cancelled_owned()),
    };
    let output = Output {
        stdout: tokio::io::stdout(),
        has_ended,
    };
    (input, output)
}

/// Stdin, until the output has ended.
pub(crate) struct Input {
    stdin: Stdin,
    has_ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.has_ended.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => Pin::new(&mut self.stdin).poll_read(cx, buffer),
        }
    }
}

/// Stdout.
pub(crate) struct Output {
    stdout: Stdout,
    has_ended: CancellationToken,
}

impl AsyncWrite for Output {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdout).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.has_ended.cancel();
        Pin::new(&mut self.stdout).poll_shutdown(cx)
    }
}
