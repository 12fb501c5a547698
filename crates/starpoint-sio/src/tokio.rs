//! WebSockets and timers for programs: tokio, tungstenite and rustls.
//!
//! Everything here runs within a tokio runtime with IO and time. TLS uses *ring*,
//! TLS 1.2 and 1.3, and offers HTTP/1.1 only. No proxies and no compression.

mod dial;
mod pipe;
mod socket;
mod tls;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustls::ClientConfig;
use tokio_tungstenite::tungstenite::http::Uri;
use web_time::Instant;

use crate::{
    error::{ConnectError, PipeError},
    io::{Connector, Pipe, Socket, SocketLimits, Timers},
};

use self::pipe::Buffers;
pub use rustls::pki_types::CertificateDer;

pub use tls::{PublicRoots, RootError, TrustedRoots, read_certificates};

/// Opens WebSockets over TCP, and over TLS for `wss`.
///
/// Cheap to clone; the trusted certificates are read once. The addresses of a name
/// are tried one beside the other, 250 ms apart. Looking a name up blocks a thread
/// of the runtime's pool, which ends by itself when the attempt is dropped.
#[derive(Clone, Debug)]
pub struct TokioConnector {
    tls: Arc<ClientConfig>,
    buffers: Arc<Buffers>,
}

impl TokioConnector {
    /// Trusts what [`TrustedRoots::default`] says: public authorities.
    ///
    /// Reads the system's certificates, and so blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// As [`with_roots`](Self::with_roots).
    pub fn new() -> Result<Self, RootError> {
        Self::with_roots(&TrustedRoots::default())
    }

    /// Trusts these authorities.
    ///
    /// Reads the system's certificates if they are to be trusted, and so blocks
    /// for some milliseconds.
    ///
    /// # Errors
    ///
    /// [`RootError`] when one of the extra certificates cannot be used. The
    /// system's are taken as far as they can be.
    pub fn with_roots(roots: &TrustedRoots) -> Result<Self, RootError> {
        Ok(Self {
            tls: Arc::new(tls::client_config(roots)?),
            buffers: Arc::default(),
        })
    }
}

impl Connector for TokioConnector {
    fn connect(
        &self,
        url: &str,
        limits: SocketLimits,
    ) -> BoxFuture<'static, Result<Box<dyn Socket>, ConnectError>> {
        let tls = Arc::clone(&self.tls);
        let url = url.parse::<Uri>();
        Box::pin(async move {
            let url = url.map_err(|_| ConnectError::Url)?;
            dial::connect(url, tls, limits).await
        })
    }

    fn connect_pipe(&self, url: &str) -> BoxFuture<'static, Result<Box<dyn Pipe>, PipeError>> {
        let (tls, buffers) = (Arc::clone(&self.tls), Arc::clone(&self.buffers));
        let url = url.parse::<Uri>();
        Box::pin(async move {
            let url = url.map_err(|_| ConnectError::Url)?;
            pipe::connect(url, tls, buffers).await
        })
    }
}

/// Tokio's clock, which a test can stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioTimers;

impl Timers for TokioTimers {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}
