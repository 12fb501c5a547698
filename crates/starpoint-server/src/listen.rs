//! Accepting connections, each within its bounds.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::add_extension::AddExtension;

use crate::source::Sources;

/// Time for a TLS handshake.
const TLS_DEADLINE: Duration = Duration::from_secs(10);
/// Time for the head of a request, the wait for it included.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// Largest head of a request.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Pause after an accept that failed for want of something, such as descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every listener needs to serve a connection.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) router: Router,
    pub(crate) sources: Arc<Sources>,
    pub(crate) tls: Option<TlsAcceptor>,
    /// One permit for each connection, taken before it is accepted.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) tasks: TaskTracker,
    /// No more connections are accepted, and idle ones are closed.
    pub(crate) drain: CancellationToken,
    /// Connections end, wherever they are.
    pub(crate) end: CancellationToken,
}

impl Acceptor {
    /// Accepts until the star drains.
    pub(crate) async fn run(self, listener: TcpListener) {
        while let Some((stream, addr, permit)) = self.next(&listener).await {
            let connection = self.clone().serve(stream, addr, permit);
            let end = self.end.clone();
            self.tasks.spawn(end.run_until_cancelled_owned(connection));
        }
    }

    async fn next(
        &self,
        listener: &TcpListener,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let accept = async {
            // The semaphore is never closed.
            let permit = self.permits.clone().acquire_owned().await.ok()?;
            loop {
                match listener.accept().await {
                    Ok((stream, addr)) => return Some((stream, addr, permit)),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "Cannot accept connections");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = self.drain.cancelled() => None,
            accepted = accept => accepted,
        }
    }

    async fn serve(self, stream: TcpStream, addr: SocketAddr, permit: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%addr, %error, "Connection lost");
            return;
        }
        let stream = Held {
            io: stream,
            _permit: permit,
        };
        match self.tls.clone() {
            None => self.http(stream, addr).await,
            Some(tls) => match tokio::time::timeout(TLS_DEADLINE, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.http(stream, addr).await,
                Ok(Err(error)) => tracing::debug!(%addr, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%addr, "TLS handshake too slow"),
            },
        }
    }

    async fn http(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        addr: SocketAddr,
    ) {
        let service = AddExtension::new(self.router, self.sources.of(addr.ip()));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.drain.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%addr, %error, "Connection ended");
        }
    }
}

/// Returns whether accepting failed because of the connection that was to be
/// accepted, so that the next may be better.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// A connection that holds its permit until it is closed, upgraded or not.
struct Held<S> {
    io: S,
    _permit: OwnedSemaphorePermit,
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
