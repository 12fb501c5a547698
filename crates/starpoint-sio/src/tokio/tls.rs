//! Which certificates are trusted.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Which public authorities are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PublicRoots {
    /// Mozilla's list, compiled in, and the system's.
    #[default]
    WebAndSystem,
    /// Mozilla's list, compiled in.
    Web,
    /// The system's, with what its operator has added.
    System,
    /// None: only the [extra](TrustedRoots::extra) ones.
    None,
}

/// Authorities whose certificates are accepted.
#[derive(Clone, Debug, Default)]
pub struct TrustedRoots {
    /// Public ones. Default: Mozilla's and the system's.
    pub public: PublicRoots,
    /// Further ones, such as a company's own or a self-signed certificate.
    /// Default: none.
    pub extra: Vec<CertificateDer<'static>>,
}

/// A certificate to be trusted cannot be used: the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// The text has no certificate, or a broken one.
    #[error("no certificate in pem format")]
    Pem,
    /// The certificate does not parse.
    #[error("unusable certificate authority")]
    Certificate,
}

/// Reads all certificates of a PEM file, of which there must be at least one.
///
/// # Errors
///
/// [`RootError::Pem`].
pub fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, RootError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    certificates
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or(RootError::Pem)
}

pub(super) fn client_config(trusted: &TrustedRoots) -> Result<ClientConfig, RootError> {
    let mut roots = RootCertStore::empty();
    match trusted.public {
        PublicRoots::WebAndSystem => {
            add_web(&mut roots);
            add_system(&mut roots);
        }
        PublicRoots::Web => add_web(&mut roots),
        PublicRoots::System => add_system(&mut roots),
        PublicRoots::None => {}
    }
    for certificate in &trusted.extra {
        roots
            .add(certificate.clone())
            .map_err(|_| RootError::Certificate)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn add_web(roots: &mut RootCertStore) {
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
}

/// Systems keep certificates that no longer parse; the others count.
fn add_system(roots: &mut RootCertStore) {
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
}
