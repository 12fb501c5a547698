//! Certificates from files, read again when the files change.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

use crate::{config::TlsFiles, server::BindError};

/// Time between two looks at the files.
pub(crate) const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// The certificate in use.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

/// What tells that a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp([Option<(SystemTime, u64)>; 2]);

impl Certificate {
    /// Reads the files.
    pub(crate) fn load(files: TlsFiles) -> Result<Arc<Self>, BindError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let current = read(&files, &provider)?;
        Ok(Arc::new(Self {
            files,
            provider,
            current: RwLock::new(Arc::new(current)),
        }))
    }

    /// Creates the acceptor that uses this certificate, whatever it is by then.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, BindError> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(&self.files.cert, error))?;
        let mut config = builder
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Returns what the files look like now.
    pub(crate) fn stamp(&self) -> Stamp {
        let look = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        Stamp([look(&self.files.cert), look(&self.files.key)])
    }

    /// Reads the files again; the old certificate stays in use when they are
    /// unusable.
    pub(crate) fn reload(&self) {
        match read(&self.files, &self.provider) {
            Ok(new) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                tracing::info!(cert = %self.files.cert.display(), "Certificate reloaded");
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Certificate not reloaded"
                );
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(current.clone())
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, BindError> {
    let chain = CertificateDer::pem_slice_iter(&bytes_of(&files.cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| invalid(&files.cert, error))?;
    if chain.is_empty() {
        return Err(invalid(&files.cert, "no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes_of(&files.key)?)
        .map_err(|error| invalid(&files.key, error))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| invalid(&files.key, error))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, BindError> {
    fs::read(path).map_err(|source| BindError::ReadTls {
        path: PathBuf::from(path),
        source,
    })
}

fn invalid(path: &Path, reason: impl ToString) -> BindError {
    BindError::InvalidTls {
        path: PathBuf::from(path),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(files: &TlsFiles) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        fs::write(&files.cert, made.cert.pem()).unwrap();
    }

    fn served(certificate: &Certificate) -> CertificateDer<'static> {
        certificate.current.read().unwrap().cert[0].clone()
    }

    #[test]
    fn what_cannot_be_used_does_not_replace_what_is_good() {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            cert: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
        };
        write_pair(&files);
        let certificate = Certificate::load(files.clone()).unwrap();
        let (first, stamp) = (served(&certificate), certificate.stamp());

        fs::write(&files.cert, "nonsense").unwrap();
        assert_ne!(certificate.stamp(), stamp);
        certificate.reload();
        assert_eq!(served(&certificate), first);

        write_pair(&files);
        certificate.reload();
        assert_ne!(served(&certificate), first);
    }
}
