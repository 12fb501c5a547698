//! Counts what a star sends to its peers, below everything that understands it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use libp2p_websocket_star::sio::{
    ConnectError, Connector, Frame, Pipe, PipeError, Socket, SocketError, SocketLimits,
};

/// WebSocket messages that all parties of one target have received from it, pipes
/// apart.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    n_messages: AtomicU64,
    n_bytes: AtomicU64,
}

impl Traffic {
    /// Returns how many messages came in up to now.
    pub(crate) fn n_messages(&self) -> u64 {
        self.n_messages.load(Ordering::Relaxed)
    }

    /// Returns how many bytes they had, without the frames around them.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes.load(Ordering::Relaxed)
    }
}

/// Returns a connector whose sockets count what they receive.
pub(super) fn counting(inner: Arc<dyn Connector>, traffic: Arc<Traffic>) -> Arc<dyn Connector> {
    Arc::new(Counting { inner, traffic })
}

struct Counting<T> {
    inner: T,
    traffic: Arc<Traffic>,
}

impl Connector for Counting<Arc<dyn Connector>> {
    fn connect(
        &self,
        url: &str,
        limits: SocketLimits,
    ) -> BoxFuture<'static, Result<Box<dyn Socket>, ConnectError>> {
        let connect = self.inner.connect(url, limits);
        let traffic = Arc::clone(&self.traffic);
        async move {
            let inner = connect.await?;
            Ok(Box::new(Counting { inner, traffic }) as Box<dyn Socket>)
        }
        .boxed()
    }

    /// What goes through a pipe is what parties say to each other.
    fn connect_pipe(&self, url: &str) -> BoxFuture<'static, Result<Box<dyn Pipe>, PipeError>> {
        self.inner.connect_pipe(url)
    }
}

impl Socket for Counting<Box<dyn Socket>> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, SocketError>>> {
        let received = self.inner.poll_receive(cx);
        if let Poll::Ready(Some(Ok(frame))) = &received {
            self.traffic.n_messages.fetch_add(1, Ordering::Relaxed);
            let n_bytes = frame.len() as u64;
            self.traffic.n_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        }
        received
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.inner.poll_ready(cx)
    }

    fn start_send(&mut self, frame: Frame) -> Result<(), SocketError> {
        self.inner.start_send(frame)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.inner.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.inner.poll_close(cx)
    }

    fn written_bytes(&self) -> Option<u64> {
        self.inner.written_bytes()
    }
}
