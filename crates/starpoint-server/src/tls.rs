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
use starpoint_file::SmallFile;
use tokio_rustls::TlsAcceptor;

use crate::{config::TlsFiles, server::BindError};

/// Largest file that is read: a chain has a few certificates of a few KiB.
const MAX_PEM_BYTES: u64 = 1024 * 1024;
/// Permission bits with which every user of the machine has access.
const OTHERS: u32 = 0o007;
/// Those, and the bits of the file's group.
const GROUP_AND_OTHERS: u32 = 0o077;
/// Time between two looks at the files.
pub(crate) const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// The certificate in use.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    /// The files just before they were read first, so that no later change is missed.
    at_load: Stamp,
    current: RwLock<Arc<CertifiedKey>>,
}

/// What tells that a file has changed: its time, length and permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp([Option<(SystemTime, u64, fs::Permissions)>; 2]);

impl Stamp {
    fn of(files: &TlsFiles) -> Self {
        let look = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            let modified = metadata.modified().ok()?;
            Some((modified, metadata.len(), metadata.permissions()))
        };
        Self([look(&files.cert), look(&files.key)])
    }
}

impl Certificate {
    /// Reads the files.
    pub(crate) fn load(files: TlsFiles) -> Result<Arc<Self>, BindError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let at_load = Stamp::of(&files);
        let current = read(&files, &provider, GROUP_AND_OTHERS)?;
        Ok(Arc::new(Self {
            files,
            provider,
            at_load,
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

    /// Returns what the files looked like before they were read first.
    pub(crate) fn stamp_at_load(&self) -> Stamp {
        self.at_load.clone()
    }

    /// Returns what the files look like now.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::of(&self.files)
    }

    /// Reads the files again; the old certificate stays in use when they are
    /// unusable.
    pub(crate) fn reload(&self) {
        match read(&self.files, &self.provider, OTHERS) {
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

/// Warns when the key is usable and has one of the permission bits `exposed`.
fn read(
    files: &TlsFiles,
    provider: &CryptoProvider,
    exposed: u32,
) -> Result<CertifiedKey, BindError> {
    let chain = chain_in(read_small(&files.cert)?.bytes())
        .map_err(|reason| invalid(&files.cert, reason))?;
    let key = read_small(&files.key)?;
    let certified =
        certified(chain, key.bytes(), provider).map_err(|reason| invalid(&files.key, reason))?;
    warn_if_exposed(&files.key, &key, exposed);
    Ok(certified)
}

/// Reads a chain of at least one certificate.
fn chain_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| error.to_string())?;
    if chain.is_empty() {
        return Err("no certificate in it".to_owned());
    }
    Ok(chain)
}

/// Reads the private key that belongs to the first certificate of the chain.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    pem: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| error.to_string())
}

fn read_small(path: &Path) -> Result<SmallFile, BindError> {
    starpoint_file::read(path, MAX_PEM_BYTES).map_err(|source| BindError::ReadTls {
        path: PathBuf::from(path),
        source,
    })
}

/// Warns about a private key that other users of the machine can read or replace. A group is
/// how operators share a key between servers: it is mentioned at the start, not at reloads.
fn warn_if_exposed(path: &Path, key: &SmallFile, exposed: u32) {
    let Some(mode) = key.mode().filter(|mode| mode & exposed != 0) else {
        return;
    };
    let (mode, path) = (format_args!("{mode:04o}"), path.display());
    if key.mode().is_some_and(|mode| mode & OTHERS != 0) {
        tracing::warn!(
            key = %path,
            %mode,
            hint = "chmod 600, or 640 to share it with a group; if somebody may have read it, \
                    replace the certificate",
            "Every user of this machine can access the private key of the certificate"
        );
    } else {
        tracing::warn!(
            key = %path,
            %mode,
            hint = "chmod 600 unless the group shares the key on purpose",
            "A group of users can access the private key of the certificate"
        );
    }
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

    /// The reload runs in a task of the star, which must not wait for a writer.
    #[cfg(unix)]
    #[test]
    fn a_fifo_in_place_of_the_key_does_not_stop_a_reload() {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            cert: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
        };
        write_pair(&files);
        let certificate = Certificate::load(files.clone()).unwrap();
        let (first, stamp) = (served(&certificate), certificate.stamp());

        fs::remove_file(&files.key).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(&files.key)
            .status();
        assert!(made.unwrap().success());
        assert_ne!(certificate.stamp(), stamp);
        certificate.reload();
        assert_eq!(served(&certificate), first);
    }

    #[cfg(unix)]
    #[test]
    fn other_permissions_are_a_change() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            cert: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
        };
        write_pair(&files);
        let set = |mode| fs::set_permissions(&files.key, PermissionsExt::from_mode(mode)).unwrap();
        set(0o600);
        let certificate = Certificate::load(files.clone()).unwrap();
        let stamp = certificate.stamp();
        set(0o604);
        assert_ne!(certificate.stamp(), stamp);
    }
}
