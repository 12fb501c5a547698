//! Peers at a star that serves TLS.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use starpoint_test_support::Star;

use crate::{
    folder::Folder,
    pipe::{exchange, payload, sha256},
    program::{Ended, Running, run, starpoint},
};

const TLS: i32 = 5;
const NO_STAR: i32 = 7;
const NOBODY: &str = "12D3KooWHmsGdcdJGFbAfAgfGvKcRwjpNUGzCQTV1PyKV8SiYC3L";

/// A star with a certificate for `localhost` and 127.0.0.1, and the authority
/// that vouches for it.
struct Stage {
    star: Star,
    folder: Folder,
}

impl Stage {
    fn new() -> Self {
        let folder = Folder::new();
        write_certificates(&folder);
        let path = |name| folder.join(name).to_str().expect("it is UTF-8").to_owned();
        let (chain, key) = (path("chain.pem"), path("key.pem"));
        let star = Star::with_args(["--tls-cert", &chain, "--tls-key", &key]);
        Self { star, folder }
    }

    fn file(&self, name: &str) -> String {
        let path = self.folder.join(name);
        path.to_str().expect("it is UTF-8").to_owned()
    }

    fn multiaddr(&self, host: &str) -> String {
        format!("{host}/tcp/{}/wss/p2p-websocket-star", self.star.port())
    }

    fn run(&self, args: &[&str]) -> Ended {
        run(starpoint().args(args).args(["--ca", &self.file("ca.pem")]))
    }
}

pub(crate) fn write_certificates(folder: &Folder) {
    let authority_key = KeyPair::generate().expect("a key can be made");
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    // A name of its own, or the certificate would seem to have signed itself.
    let name = "authority of a test";
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let own = authority.self_signed(&authority_key).expect("it can sign");
    folder.write("ca.pem", &own.pem());

    let key = KeyPair::generate().expect("a key can be made");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let chain = CertificateParams::new(names)
        .expect("the names are valid")
        .signed_by(&key, &Issuer::new(authority, authority_key))
        .expect("the authority can sign");
    folder.write("chain.pem", &chain.pem());
    folder.write("key.pem", &key.serialize_pem());
}

#[test]
fn every_command_works_with_the_authority() {
    let stage = Stage::new();
    for host in ["/ip4/127.0.0.1", "/dns4/localhost"] {
        for raw in [&[][..], &["--raw"]] {
            let home = stage.multiaddr(host);
            let mut listen = Running::start(
                starpoint()
                    .args(["listen", "--echo", "--star", &home])
                    .args(["--key", &stage.file("key")])
                    .args(raw)
                    .env("STARPOINT_CA", stage.file("ca.pem")),
            );
            let line = listen.stdout_line();
            let address = line.strip_prefix("listening ").expect("an address");

            let ended = stage.run(&["peers", "--star", &home]);
            assert_eq!(ended.expect_output(), format!("{address}\n"));
            if raw.is_empty() {
                let ended = stage.run(&["ping", "-c1", address]);
                assert!(ended.expect_output().contains("1 sent, 1 received"));
            }
            let sent = payload(3, 1024 * 1024);
            let mut connect = starpoint();
            connect.arg("connect").args(raw).arg(address);
            connect.args(["--ca", &stage.file("ca.pem")]);
            let done = exchange(&mut connect, sent.clone());
            assert_eq!(done.code, Some(0), "{}", done.stderr);
            assert_eq!(sha256(&done.received), sha256(&sent));
            listen.signal("TERM");
            assert_eq!(listen.wait().code, Some(0));
        }
    }
    stage.star.stop_blocking();
}

#[test]
fn without_the_authority_the_certificate_is_blamed() {
    let stage = Stage::new();
    let home = stage.multiaddr("/dns4/localhost");
    let peer = format!("{home}/p2p/{NOBODY}");
    let key = stage.file("key");
    for args in [
        &["peers", "--star", &home][..],
        &["listen", "--star", &home, "--key", &key],
        &["listen", "--raw", "--star", &home, "--key", &key],
        &["ping", "-c1", &peer],
        &["connect", &peer],
        &["connect", "--raw", &peer],
    ] {
        let ended = run(starpoint().args(args));
        let (error, hint) = ended.expect_failure(NO_STAR);
        assert!(error.contains("certificate"), "{error}");
        assert!(error.contains("UnknownIssuer"), "{error}");
        assert!(hint.contains("--ca"), "{hint}");
    }
}

#[test]
fn a_star_that_speaks_another_protocol_than_its_address_is_unreachable() {
    let stage = Stage::new();
    let without = stage.multiaddr("/ip4/127.0.0.1").replace("/wss/", "/ws/");
    let ended = stage.run(&["peers", "--star", &without]);
    let (error, _) = ended.expect_failure(NO_STAR);
    assert!(error.contains("star unreachable"), "{error}");
}

#[test]
fn files_that_are_no_authorities_are_refused() {
    let stage = Stage::new();
    let home = stage.multiaddr("/ip4/127.0.0.1");
    stage.folder.write("empty.pem", "");
    for name in ["nowhere.pem", "empty.pem", "key.pem"] {
        let file = stage.file(name);
        let ended = run(starpoint().args(["peers", "--star", &home, "--ca", &file]));
        let (error, hint) = ended.expect_failure(TLS);
        assert!(error.contains(&file), "{error}");
        assert!(hint.contains("--ca"), "{hint}");
    }
}
