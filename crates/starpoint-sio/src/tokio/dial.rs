//! From a URL to an open WebSocket.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{self, http::Uri},
};

use super::socket::{Counted, Counting, NativeSocket, websocket_config};
use crate::{
    error::{Cause, ConnectError},
    io::{Socket, SocketLimits},
};

/// Time that an address has to itself before the next is tried beside it, as in
/// RFC 8305, section 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Where a URL leads.
pub(super) struct Target {
    host: String,
    port: u16,
    tls: Option<ServerName<'static>>,
}

impl Target {
    pub(super) fn new(url: &Uri) -> Result<Self, ConnectError> {
        let host = url.host().ok_or(ConnectError::Url)?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let (tls, port) = match url.scheme_str() {
            Some("wss") => {
                let name = ServerName::try_from(host.clone()).map_err(|_| ConnectError::Url)?;
                (Some(name), 443)
            }
            Some(_) | None => (None, 80),
        };
        Ok(Self {
            port: url.port_u16().unwrap_or(port),
            host,
            tls,
        })
    }

    pub(super) fn tls_name(&self) -> Option<ServerName<'static>> {
        self.tls.clone()
    }

    pub(super) async fn connect(&self) -> Result<TcpStream, ConnectError> {
        connect_tcp(&self.host, self.port).await
    }
}

pub(super) async fn connect(
    url: Uri,
    tls: Arc<ClientConfig>,
    limits: SocketLimits,
) -> Result<Box<dyn Socket>, ConnectError> {
    let target = Target::new(&url)?;
    let tcp = Counted::new(target.connect().await?);
    match target.tls_name() {
        Some(name) => upgrade(url, secure(tls, name, tcp).await?, limits).await,
        None => upgrade(url, tcp, limits).await,
    }
}

pub(super) async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    tls: Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: S,
) -> Result<TlsStream<S>, ConnectError> {
    let connecting = TlsConnector::from(tls).connect(name, stream);
    connecting.await.map_err(tls_error)
}

/// Connects to the first address that answers: each has a head start before the
/// next, and those that were begun go on.
async fn connect_tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let resolve_error = |error| ConnectError::Resolve(Arc::new(error));
    let found = lookup_host((host, port)).await.map_err(resolve_error)?;
    let mut waiting = interleave(found.take(MAX_ADDRESSES)).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last_error = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(TcpStream::connect(address));
        } else if attempts.is_empty() {
            let error = last_error.unwrap_or_else(|| io::ErrorKind::NotFound.into());
            return Err(ConnectError::Network(Arc::new(error)));
        }
        tokio::select! {
            biased;
            Some(outcome) = attempts.next() => match outcome {
                Ok(stream) => {
                    // Best effort: without it, small packets wait for one another.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last_error = Some(error),
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if waiting.len() > 0 => {}
        }
    }
}

/// Sorts addresses so that the two families take turns, in the resolver's order.
fn interleave(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses: Vec<_> = addresses.collect();
    let Some(first) = addresses.first().copied() else {
        return addresses;
    };
    let (mut n_same, mut n_other) = (0, 0);
    addresses.sort_by_cached_key(|address| {
        if address.is_ipv4() == first.is_ipv4() {
            n_same += 1;
            2 * n_same - 1
        } else {
            n_other += 1;
            2 * n_other
        }
    });
    addresses
}

async fn upgrade<S>(
    url: Uri,
    stream: S,
    limits: SocketLimits,
) -> Result<Box<dyn Socket>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Counting + Unpin + Send + 'static,
{
    let (websocket, _) = client_async_with_config(url, stream, Some(websocket_config(limits)))
        .await
        .map_err(upgrade_error)?;
    Ok(Box::new(NativeSocket::new(websocket)))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows")]
fn upgrade_error(error: tungstenite::Error) -> ConnectError {
    match error {
        tungstenite::Error::Http(response) => ConnectError::Rejected {
            status: response.status().as_u16(),
        },
        tungstenite::Error::Url(_) | tungstenite::Error::HttpFormat(_) => ConnectError::Url,
        tungstenite::Error::Io(error) => ConnectError::Network(Arc::new(error)),
        other => ConnectError::NotWebSocket(Arc::new(other)),
    }
}

/// Tells an untrusted certificate from everything else that breaks TLS.
fn tls_error(error: io::Error) -> ConnectError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => ConnectError::Certificate(cause(error)),
        Some(_) => ConnectError::Tls(cause(error)),
        None => ConnectError::Network(Arc::new(error)),
    }
}

fn cause(error: io::Error) -> Cause {
    Arc::new(error)
}
