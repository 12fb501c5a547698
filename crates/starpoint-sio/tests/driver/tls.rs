//! Certificates of stars.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use starpoint_sio::{
    Config, ConnectError, OpenError,
    tokio::{PublicRoots, RootError, TrustedRoots, read_certificates},
};
use starpoint_test_support::{Star, StarOptions};

use crate::peer::{open, open_with};

/// Makes an authority, and a certificate for `localhost` in `dir`.
fn write_certificate(dir: &Path) -> TrustedRoots {
    let authority_key = KeyPair::generate().expect("a key can be generated");
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let name = "authority of a test";
    authority.distinguished_name.push(DnType::CommonName, name);
    let trusted = authority
        .self_signed(&authority_key)
        .expect("a certificate can sign itself")
        .pem();
    let key = KeyPair::generate().expect("a key can be generated");
    let leaf = CertificateParams::new(["localhost".to_owned()])
        .expect("the name is valid")
        .signed_by(&key, &Issuer::new(authority, authority_key))
        .expect("the authority can sign");
    fs::write(dir.join("cert.pem"), leaf.pem()).expect("the file can be written");
    fs::write(dir.join("key.pem"), key.serialize_pem()).expect("the file can be written");
    TrustedRoots {
        public: PublicRoots::None,
        extra: read_certificates(trusted.as_bytes()).expect("the authority is PEM"),
    }
}

async fn start(dir: &Path) -> Star {
    let path = |name: &str| dir.join(name).display().to_string();
    let args = [
        "--tls-cert".to_owned(),
        path("cert.pem"),
        "--tls-key".to_owned(),
        path("key.pem"),
    ];
    let options = StarOptions::args(args);
    tokio::task::spawn_blocking(move || Star::start(&options))
        .await
        .expect("the star starts")
}

#[tokio::test]
async fn r_sio_11_a_star_with_a_trusted_certificate_is_joined() {
    let dir = tempfile::tempdir().unwrap();
    let trusted = write_certificate(dir.path());
    let star = start(dir.path()).await;
    let url = format!("wss://localhost:{}", star.port());
    let mut peer = open_with(&url, Config::default(), &trusted)
        .await
        .expect("the certificate is trusted");
    let call = peer.call("ss-join", "[]").await;
    assert_eq!(peer.answer(call).await[0], "Invalid arguments");
    peer.close().await;
    star.stop().await;
}

#[tokio::test]
async fn r_sio_11_an_untrusted_certificate_and_a_wrong_name_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let trusted = write_certificate(dir.path());
    let other = write_certificate(tempfile::tempdir().unwrap().path());
    let star = start(dir.path()).await;
    for (host, roots) in [("localhost", &other), ("127.0.0.1", &trusted)] {
        let url = format!("wss://{host}:{}", star.port());
        let error = open_with(&url, Config::default(), roots)
            .await
            .expect_err("the certificate is refused");
        assert!(
            matches!(error, OpenError::Connect(ConnectError::Certificate(_))),
            "{host}: {error:?}"
        );
    }
    star.stop().await;
}

#[tokio::test]
async fn r_sio_11_tls_and_plain_text_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let trusted = write_certificate(dir.path());
    let star = start(dir.path()).await;
    let url = format!("ws://localhost:{}", star.port());
    let error = open(&url, Config::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::Connect(_)), "{error:?}");

    let plain = tokio::task::spawn_blocking(|| Star::start(&StarOptions::default()))
        .await
        .expect("the star starts");
    let url = format!("wss://localhost:{}", plain.port());
    let error = open_with(&url, Config::default(), &trusted)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Connect(ConnectError::Tls(_) | ConnectError::Network(_))
        ),
        "{error:?}"
    );
    plain.stop().await;
    star.stop().await;
}

#[test]
fn r_sio_11_what_is_no_certificate_is_not_trusted() {
    assert_eq!(read_certificates(b""), Err(RootError::Pem));
    let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    assert_eq!(read_certificates(broken), Err(RootError::Pem));
    let roots = TrustedRoots {
        public: PublicRoots::None,
        extra: vec![vec![1, 2, 3].into()],
    };
    let made = starpoint_sio::TokioConnector::with_roots(&roots);
    assert_eq!(made.err(), Some(RootError::Certificate));
    starpoint_sio::TokioConnector::new().expect("public roots are usable");
}
