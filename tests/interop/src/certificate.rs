//! Certificates for stars that serve TLS.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

/// A certificate for `localhost` and 127.0.0.1, its key, and the authority that
/// signed it, as PEM files that live as long as this value.
#[derive(Debug)]
pub struct Certificate {
    directory: TempDir,
}

impl Certificate {
    /// Makes an authority of its own and a certificate.
    ///
    /// # Panics
    ///
    /// When the files cannot be written.
    pub fn generate() -> Self {
        let authority_key = KeyPair::generate().expect("a key can be generated");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        // A name of its own, or the certificate would seem to have signed itself.
        let name = "authority of a test";
        authority.distinguished_name.push(DnType::CommonName, name);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_pem = authority
            .self_signed(&authority_key)
            .expect("a certificate can sign itself")
            .pem();

        let key = KeyPair::generate().expect("a key can be generated");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names)
            .expect("the names are valid")
            .signed_by(&key, &Issuer::new(authority, authority_key))
            .expect("the authority can sign");

        let certificate = Self {
            directory: tempfile::tempdir().expect("a directory can be made"),
        };
        write(&certificate.authority(), &authority_pem);
        write(&certificate.chain(), &leaf.pem());
        write(&certificate.key(), &key.serialize_pem());
        certificate
    }

    /// Returns the file that a client has to trust.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// Returns the file for `--tls-cert`.
    pub fn chain(&self) -> PathBuf {
        self.directory.path().join("chain.pem")
    }

    /// Returns the file for `--tls-key`.
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }
}

fn write(path: &Path, pem: &str) {
    fs::write(path, pem).expect("a temporary file can be written");
}
