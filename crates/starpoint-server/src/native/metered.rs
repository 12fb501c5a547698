//! A stream that counts what passes, for the session of its client.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    account::{Charge, SMALL_BYTES},
    session::{Session, Wait},
};

/// Bytes of a masked control frame before its payload (RFC 6455, section 5.2).
const CONTROL_HEAD_BYTES: usize = 6;

/// The stream below a native client's WebSocket.
///
/// Bytes that are read are charged to the client until [`taken`](Self::taken) says
/// that the message is whole. A client that has not joined may not send a message
/// above [`SMALL_BYTES`]; a large one is read while there is room for it.
#[derive(Debug)]
pub(super) struct Metered<S> {
    io: S,
    session: Arc<Session>,
    charge: Charge,
    is_open_told: bool,
}

impl<S> Metered<S> {
    pub(super) fn new(io: S, session: Arc<Session>) -> Self {
        Self {
            io,
            charge: Charge::none(Arc::clone(&session.source)),
            session,
            is_open_told: false,
        }
    }

    /// Notes that everything read so far was handed on.
    pub(super) fn taken(&mut self) {
        self.charge.release(usize::MAX);
        if std::mem::take(&mut self.is_open_told) {
            self.session.messages_completed();
        }
    }

    /// Notes that a control frame with a payload of `len` bytes was handed on. It may
    /// have stood between the fragments of a message, which is no more whole than
    /// before.
    pub(super) fn taken_between(&mut self, len: usize) {
        self.charge.release(CONTROL_HEAD_BYTES + len);
        if self.charge.bytes() == 0 {
            self.taken();
        }
    }

    /// Notes that the client has to send more before anything can be handed on.
    pub(super) fn starved(&mut self) {
        if self.charge.bytes() > 0 && !std::mem::replace(&mut self.is_open_told, true) {
            self.session.message_began();
        }
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.charge.bytes() <= SMALL_BYTES {
            return Poll::Ready(Ok(()));
        }
        if !self.session.is_joined() {
            self.session.refuse_message();
            let text = "message too long before a join";
            return Poll::Ready(Err(io::Error::other(text)));
        }
        let polled = self.session.source.share.poll_room(0, cx);
        self.session.set_wait(match polled {
            Poll::Ready(()) => Wait::No,
            Poll::Pending => Wait::WithinMessage,
        });
        polled.map(Ok)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_room(cx))?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        this.charge.add(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let n_written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
        this.session.took(n_written as u64);
        Poll::Ready(Ok(n_written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
