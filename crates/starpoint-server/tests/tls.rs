//! Certificates: served, and read again when the files change.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use starpoint_server::{BindError, Config, Server, Shutdown, TlsFiles};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes a self-signed certificate and returns it.
fn write_certificate(dir: &Path) -> CertificateDer<'static> {
    let made =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("works in a test");
    fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).expect("works in a test");
    fs::write(dir.join("cert.pem"), made.cert.pem()).expect("works in a test");
    CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).expect("works in a test")
}

fn config(dir: &Path) -> Config {
    Config {
        listen: vec![([127, 0, 0, 1], 0).into()],
        tls: Some(TlsFiles {
            cert: dir.join("cert.pem"),
            key: dir.join("key.pem"),
        }),
        ..Config::default()
    }
}

/// Returns whether a handshake succeeds for a client that trusts one certificate.
async fn is_served(port: u16, trusted: &CertificateDer<'static>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("works in a test");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("works in a test")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("works in a test");
    let name = ServerName::try_from("localhost").expect("works in a test");
    TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await
        .is_ok()
}

#[tokio::test]
async fn a_changed_certificate_is_served_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let old = write_certificate(dir.path());
    let server = Server::bind(config(dir.path())).await.unwrap();
    let port = server.listening()[0].addr.port();
    assert_eq!(server.listening()[0].scheme, "https");
    let shutdown = Shutdown::new();
    let running = tokio::spawn(server.run(shutdown.clone()));
    assert!(is_served(port, &old).await);

    let new = write_certificate(dir.path());
    tokio::time::timeout(PATIENCE, async {
        while !is_served(port, &new).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("the new certificate is served");
    assert!(!is_served(port, &old).await);

    shutdown.drain();
    tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn unusable_files_are_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Server::bind(config(dir.path())).await.err();
    assert!(matches!(missing, Some(BindError::ReadTls { path, .. }) if path.ends_with("cert.pem")));

    write_certificate(dir.path());
    fs::write(dir.path().join("cert.pem"), "").unwrap();
    let empty = Server::bind(config(dir.path())).await.err();
    assert!(
        matches!(empty, Some(BindError::InvalidTls { path, .. }) if path.ends_with("cert.pem"))
    );

    write_certificate(dir.path());
    let other = rcgen::KeyPair::generate().unwrap();
    fs::write(dir.path().join("key.pem"), other.serialize_pem()).unwrap();
    let mismatch = Server::bind(config(dir.path())).await.err();
    assert!(
        matches!(mismatch, Some(BindError::InvalidTls { path, .. }) if path.ends_with("key.pem"))
    );
}
