//! Accepting connections, each within its bounds.

mod held;
mod requests;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    held::Held,
    requests::{Origin, Requests},
};
use crate::{
    config::ProxyProtocol,
    connections::{Admitted, Connections, Share},
    proxy::{self, Proxies, Told},
    source::Sources,
};

/// Time for a proxy to say where a connection comes from.
const PROXY_DEADLINE: Duration = Duration::from_secs(5);
/// Time for a TLS handshake.
const TLS_DEADLINE: Duration = Duration::from_secs(10);
/// Time for the head of a request, the wait for it included.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// Largest head of a request.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Time that a client has to take some of an answer.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// Time for a connection that may only ask for the star's health.
const RESERVE_DEADLINE: Duration = Duration::from_secs(5);
/// Pause after an accept that failed for want of something, such as descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every listener needs to serve a connection.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) router: Router,
    pub(crate) sources: Arc<Sources>,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) proxy_protocol: ProxyProtocol,
    pub(crate) tasks: TaskTracker,
    /// No more connections are accepted, and idle ones are closed.
    pub(crate) drain: CancellationToken,
    /// Connections end, wherever they are.
    pub(crate) end: CancellationToken,
}

impl Acceptor {
    /// Accepts until the star drains.
    pub(crate) async fn run(self, listener: TcpListener) {
        while let Some((stream, addr)) = self.next(&listener).await {
            let origin = Origin::new(&self.sources, &self.proxies, addr.ip());
            let admitted = self.connections.admit(origin.id(), origin.share());
            let connection = self.clone().serve(stream, addr, origin, admitted);
            let end = self.end.clone();
            self.tasks.spawn(end.run_until_cancelled_owned(connection));
        }
    }

    async fn next(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
        let accept = async {
            self.connections.settled().await;
            loop {
                match listener.accept().await {
                    Ok(accepted) => return accepted,
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "Cannot accept connections");
                        self.connections.shed();
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = self.drain.cancelled() => None,
            accepted = accept => Some(accepted),
        }
    }

    async fn serve(self, stream: TcpStream, addr: SocketAddr, origin: Origin, admitted: Admitted) {
        let Admitted {
            slot,
            to_go,
            refused,
        } = admitted;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%addr, %error, "Connection lost");
            return;
        }
        let requests = Requests {
            router: self.router.clone(),
            origin,
            marker: slot.marker(),
            refused,
        };
        let stream = Held::new(stream, slot, WRITE_DEADLINE);
        let deadline = async {
            match refused {
                Some(_) => tokio::time::sleep(RESERVE_DEADLINE).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // Nobody can say so any more once it is upgraded.
            Ok(()) = to_go => tracing::debug!(%addr, "Connection made room for another"),
            () = deadline => tracing::debug!(%addr, "Connection without a place too slow"),
            () = self.introduced(stream, addr, requests) => {}
        }
    }

    /// Lets a proxy say where the connection comes from, if it is to.
    async fn introduced(
        &self,
        mut stream: Held<TcpStream>,
        addr: SocketAddr,
        mut requests: Requests,
    ) {
        if self.proxy_protocol == ProxyProtocol::Version2 && requests.origin.share() == Share::Proxy
        {
            // Most connections need no buffer for it.
            let told = Box::pin(proxy::read(&mut stream));
            match tokio::time::timeout(PROXY_DEADLINE, told).await {
                Ok(Ok(Told::Nothing)) => {}
                Ok(Ok(Told::Client(client))) => {
                    requests.came_from(Origin::new(&self.sources, &self.proxies, client));
                }
                Ok(Err(error)) => return tracing::warn!(%addr, %error, "Proxy is not understood"),
                Err(_) => return tracing::warn!(%addr, "Proxy says nothing"),
            }
        }
        self.handshake(stream, addr, requests).await;
    }

    async fn handshake(&self, stream: Held<TcpStream>, addr: SocketAddr, requests: Requests) {
        match self.tls.clone() {
            None => self.http(stream, addr, requests).await,
            Some(tls) => match tokio::time::timeout(TLS_DEADLINE, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.http(stream, addr, requests).await,
                Ok(Err(error)) => tracing::debug!(%addr, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%addr, "TLS handshake too slow"),
            },
        }
    }

    async fn http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        addr: SocketAddr,
        requests: Requests,
    ) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), requests)
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
