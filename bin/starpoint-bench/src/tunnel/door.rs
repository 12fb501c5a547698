//! Where programs connect to reach the service.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context as _;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use crate::party::ByteStream;

/// Name in the certificate of a proxy.
pub(crate) const SERVER_NAME: &str = "localhost";

/// An address, and what is spoken there.
#[derive(Clone)]
pub(crate) struct Door {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Door {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    /// Creates a door behind which TLS is spoken, with the certificate in this file.
    ///
    /// # Errors
    ///
    /// The file has none.
    pub(crate) fn with_tls(address: SocketAddr, certificate: &Path) -> anyhow::Result<Self> {
        let der = std::fs::read(certificate).context("the proxy has written no certificate")?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(der))?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address,
            tls: Some(TlsConnector::from(Arc::new(config))),
        })
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens, or it is not who it should be.
    pub(crate) async fn connect(&self) -> anyhow::Result<ByteStream> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(tcp.compat()),
            Some(tls) => {
                let name = ServerName::try_from(SERVER_NAME)?;
                Box::new(tls.connect(name, tcp).await?.compat())
            }
        })
    }
}
