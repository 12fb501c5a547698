//! The pipe as its caller sees it.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures_util::io::{AsyncRead, AsyncWrite};
use starpoint_wire::pipe::{END, Opcode, PipeClose};

use super::{
    buffers::Buffers,
    reader::{Advance, Failure, ReadState, Reader},
    waker::Wakers,
    writer::Writer,
};
use crate::io::Pipe;

/// A pipe over a TCP or TLS stream.
pub(super) struct NativePipe<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> {
    stream: S,
    reader: Reader,
    writer: Writer,
    writing: Writing,
    is_closed: bool,
    wakers: Wakers,
    buffers: Arc<Buffers>,
}

/// ```text
///  Open ──close──▶ Ended
///    └────┬──────────┴──▶ Failed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Open,
    Ended,
    Failed(Failure),
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> NativePipe<S> {
    pub(super) fn new(stream: S, follows: Vec<u8>, buffers: Arc<Buffers>) -> Self {
        Self {
            stream,
            reader: Reader::new(&follows, &buffers),
            writer: Writer::new(RandomState::new().build_hasher().finish()),
            writing: Writing::Open,
            is_closed: false,
            wakers: Wakers::new(),
            buffers,
        }
    }

    /// Reads until there is data, or nothing more to wait for. Answers pings.
    fn poll_listen(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.reader.state() {
                ReadState::Done | ReadState::Failed(_) => return Poll::Ready(()),
                ReadState::Open | ReadState::Ended if self.reader.has_data() => {
                    return Poll::Ready(());
                }
                ReadState::Open | ReadState::Ended => {}
            }
            let Self {
                reader,
                stream,
                buffers,
                ..
            } = self;
            match ready!(reader.poll_advance(stream, cx, buffers)) {
                Advance::Progress if self.reader.state() == ReadState::Ended => {
                    return Poll::Ready(());
                }
                Advance::Progress => {}
                Advance::Ping(payload) => {
                    let payload = payload.as_bytes();
                    self.writer.push_frame(Opcode::Pong, payload, &self.buffers);
                    // A write that fails is the next writer's to tell.
                    let _ = self.poll_sent(cx);
                }
            }
        }
    }

    /// Flushes, and listens meanwhile when that has to wait.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            writer,
            stream,
            buffers,
            ..
        } = self;
        writer.poll_flush(stream, cx, buffers)
    }

    /// Looks for what the star says while a write waits or has failed.
    fn check_writing(&mut self, cx: &mut Context<'_>, sent: &Poll<io::Result<()>>) {
        if matches!(sent, Poll::Ready(Ok(()))) || matches!(self.writing, Writing::Failed(_)) {
            return;
        }
        let is_lost = matches!(sent, Poll::Ready(Err(_)));
        while !self.reader.has_data() && self.reader.state() == ReadState::Open {
            if self.poll_listen(cx).is_pending() {
                break;
            }
        }
        if self.reader.state() == ReadState::Ended {
            let _ = self.poll_listen(cx);
        }
        match self.reader.state() {
            ReadState::Failed(failure) => self.writing = Writing::Failed(failure),
            ReadState::Open | ReadState::Ended | ReadState::Done if is_lost => {
                self.writing = Writing::Failed(Failure::StarLost);
            }
            ReadState::Open | ReadState::Ended | ReadState::Done => {}
        }
        if let Writing::Failed(_) = self.writing {
            self.writer.discard(&self.buffers);
        }
    }

    /// Fails if a write is of no more use.
    fn writable(&mut self) -> io::Result<()> {
        if let (Writing::Open, ReadState::Failed(failure)) = (self.writing, self.reader.state()) {
            self.writing = Writing::Failed(failure);
            self.writer.discard(&self.buffers);
        }
        match self.writing {
            Writing::Open | Writing::Ended => Ok(()),
            Writing::Failed(failure) => Err(failure.into()),
        }
    }

    /// Queues the close frame, once; returns whether there is somebody to tell.
    fn push_close(&mut self) -> bool {
        let has_ended = self.writing == Writing::Ended && self.reader.has_ended();
        let is_of_use = match self.reader.state() {
            ReadState::Open | ReadState::Ended => !matches!(self.writing, Writing::Failed(_)),
            ReadState::Done | ReadState::Failed(_) => false,
        };
        if !is_of_use || std::mem::replace(&mut self.is_closed, true) {
            return is_of_use;
        }
        let close = if has_ended {
            PipeClose::Done
        } else {
            PipeClose::Reset
        };
        self.writer.discard_open_frame();
        let status = close.status().to_be_bytes();
        self.writer
            .push_frame(Opcode::Close, &status, &self.buffers);
        true
    }

    /// Sends what is whole, and turns a failure into what the star says of it.
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.poll_sent(cx);
        self.check_writing(cx, &sent);
        match self.writing {
            Writing::Failed(failure) => Poll::Ready(Err(failure.into())),
            Writing::Open | Writing::Ended => sent,
        }
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> AsyncRead for NativePipe<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        this.wakers.remember_reader(cx.waker());
        let both = this.wakers.both();
        let cx = &mut Context::from_waker(&both);
        if !this.writer.is_empty() {
            // What a write has left behind; a failure is the next writer's to tell.
            let _ = this.poll_sent(cx);
        }
        if !this.reader.has_data() && this.reader.state() == ReadState::Open {
            ready!(this.poll_listen(cx));
        }
        if this.reader.has_data() {
            return Poll::Ready(Ok(this.reader.take(buf, &this.buffers)));
        }
        match this.reader.state() {
            ReadState::Failed(failure) if !this.reader.has_ended() => {
                Poll::Ready(Err(failure.into()))
            }
            ReadState::Open | ReadState::Ended | ReadState::Done | ReadState::Failed(_) => {
                Poll::Ready(Ok(0))
            }
        }
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> AsyncWrite for NativePipe<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.writing {
            Writing::Ended => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Writing::Open | Writing::Failed(_) => this.writable()?,
        }
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if this.writer.is_full() {
            this.wakers.remember_writer(cx.waker());
            let both = this.wakers.both();
            ready!(this.poll_write_out(&mut Context::from_waker(&both)))?;
        }
        let n = this.writer.push(buf, &this.buffers);
        // What does not go now goes with the next poll; so does word of a failure.
        let both = this.wakers.both();
        let _ = this.writer.poll_send(
            &mut this.stream,
            &mut Context::from_waker(&both),
            &this.buffers,
        );
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.writable()?;
        if this.writer.is_empty() {
            return Poll::Ready(Ok(()));
        }
        this.wakers.remember_writer(cx.waker());
        let both = this.wakers.both();
        this.poll_write_out(&mut Context::from_waker(&both))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.writable()?;
        if this.writing == Writing::Open {
            this.writer.push_frame(Opcode::Text, END, &this.buffers);
            this.writing = Writing::Ended;
        }
        self.poll_flush(cx)
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Pipe for NativePipe<S> {
    fn poll_finish(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.push_close() || ready!(this.poll_sent(cx)).is_err() {
            return Poll::Ready(());
        }
        if ready!(Pin::new(&mut this.stream).poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        // The star closes as well when it has read everything.
        loop {
            this.reader.discard(&this.buffers);
            match this.reader.state() {
                ReadState::Open | ReadState::Ended => {}
                ReadState::Done | ReadState::Failed(_) => return Poll::Ready(()),
            }
            // A ping needs no answer any more.
            ready!(
                this.reader
                    .poll_advance(&mut this.stream, cx, &this.buffers)
            );
        }
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Drop for NativePipe<S> {
    /// Resets the pipe if it has not ended, as far as that does not have to wait.
    fn drop(&mut self) {
        if self.push_close() {
            let mut cx = Context::from_waker(Waker::noop());
            // Without the close frame the star sees a pipe that was lost.
            let _ = self.poll_sent(&mut cx);
        }
        self.writer.discard(&self.buffers);
    }
}
