//! HTTPS that is passed through: the tunnel has neither key nor certificate.

use std::{io::ErrorKind, net::SocketAddr, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use starpoint_test_support::within;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    client::TlsStream,
    rustls::{
        CertificateError, ClientConfig, Error, ProtocolVersion, RootCertStore, ServerConfig,
        SupportedProtocolVersion,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
        version,
    },
};

use crate::{
    services::{Service, body, get_over, http, sha256},
    stage::{Stage, all, connect},
};

/// The name that the certificate is for. Only the two ends of TLS know it.
const NAME: &str = "shop.test";

/// Sizes of bodies: none, some around a TLS record, and some of many chunks.
const SIZES: [usize; 7] = [0, 1, 16_383, 16_385, 65_537, 1 << 20, 5 << 20];

/// What a server needs, and whom its clients have to trust.
struct Certificate {
    authority: CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Certificate {
    fn generate() -> Self {
        let authority_key = KeyPair::generate().expect("a key can be generated");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let name = "authority of a test";
        authority.distinguished_name.push(DnType::CommonName, name);
        let signed = authority.self_signed(&authority_key);
        let trusted = signed.expect("a certificate can sign itself");
        let key = KeyPair::generate().expect("a key can be generated");
        let leaf = CertificateParams::new([NAME.to_owned()])
            .expect("the name is valid")
            .signed_by(&key, &Issuer::new(authority, authority_key))
            .expect("the authority can sign");
        Self {
            authority: trusted.der().clone(),
            chain: vec![leaf.der().clone()],
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        }
    }
}

/// Serves HTTP over TLS.
fn https(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Service {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has both")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key is that of the certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Service::new(move |socket: TcpStream| {
        let accepting = acceptor.accept(socket);
        async move {
            // A client that does not trust it is part of a test.
            if let Ok(socket) = accepting.await {
                http(socket).await;
            }
        }
    })
}

fn trusting(
    authority: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).expect("it is an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .expect("the provider has it")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn handshake(
    connector: &TlsConnector,
    address: SocketAddr,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name).expect("it is a name");
    let socket = connect(address).await;
    within("a handshake", connector.connect(name, socket)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_13_https_passes_with_the_certificate_of_the_service() {
    let Certificate {
        authority,
        chain,
        key,
    } = Certificate::generate();
    let service = https(chain.clone(), key);
    let (_stage, _guest, address) = Stage::between(service.address).await;
    for (version, expected) in [
        (&version::TLS12, ProtocolVersion::TLSv1_2),
        (&version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let connector = trusting(&authority, version);
        let requests = SIZES.map(|n_bytes| {
            let (connector, chain) = (connector.clone(), chain.clone());
            async move {
                let mut socket = handshake(&connector, address, NAME).await.unwrap();
                let (_, session) = socket.get_ref();
                assert_eq!(session.protocol_version(), Some(expected));
                assert_eq!(session.peer_certificates(), Some(&chain[..]));
                // Fails on an end without a farewell of TLS, too.
                let got = get_over(&mut socket, n_bytes).await;
                assert_eq!(got.len(), n_bytes);
                assert_eq!(sha256(&got), sha256(&body(n_bytes)));
            }
        });
        all("bodies of all sizes", requests).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_https_still_tells_whom_it_does_not_trust() {
    let Certificate {
        authority,
        chain,
        key,
    } = Certificate::generate();
    let service = https(chain, key);
    let (_stage, _guest, address) = Stage::between(service.address).await;
    let refused = async |authority: &CertificateDer<'static>, name| {
        let connector = trusting(authority, &version::TLS13);
        let error = handshake(&connector, address, name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error:?}");
        match error.downcast::<Error>().unwrap() {
            Error::InvalidCertificate(why) => why,
            other => panic!("{other:?}"),
        }
    };
    let stranger = Certificate::generate().authority;
    let why = refused(&stranger, NAME).await;
    assert!(
        matches!(
            why,
            CertificateError::UnknownIssuer | CertificateError::BadSignature
        ),
        "{why:?}"
    );
    let why = refused(&authority, "other.test").await;
    assert!(
        matches!(
            why,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ),
        "{why:?}"
    );
}
