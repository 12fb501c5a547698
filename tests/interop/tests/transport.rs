//! The unmodified `libp2p-websocket-star` and `starpoint` as two peers of a star.

use std::{
    io::{Read as _, Write as _},
    process::{Child, Stdio},
    thread,
};

use serde_json::{Value, json};
use starpoint_interop_tests::Scenario;
use starpoint_test_support::{Star, star::command};

const MIB: u64 = 1024 * 1024;

/// Peers that run `starpoint`, killed when dropped.
struct Program(Child);

impl Program {
    fn start(args: &[&str]) -> Self {
        let child = command()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn();
        Self(child.expect("the program runs"))
    }

    /// Sends `bytes` and their end, and returns what comes and the exit code.
    fn exchange(mut self, bytes: Vec<u8>) -> (Vec<u8>, Option<i32>) {
        let mut stdin = self.0.stdin.take().expect("stdin is piped");
        let writer = thread::spawn(move || {
            // A program that has failed reads no more; its exit code tells.
            let _ = stdin.write_all(&bytes);
        });
        let mut received = Vec::new();
        let mut stdout = self.0.stdout.take().expect("stdout is piped");
        stdout.read_to_end(&mut received).expect("stdout is read");
        writer.join().expect("the writer does not panic");
        let status = self.0.wait().expect("it is a child");
        (received, status.code())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes without repetitions that would hide a swapped chunk.
fn payload(n_bytes: u64) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = (0..n_bytes.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words
        .take(usize::try_from(n_bytes).expect("it fits"))
        .collect()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;

    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `starpoint connect --raw` dials an original peer, which sends everything back
/// after the end.
fn rust_dials(kind: &str, n_bytes: u64) {
    let star = Star::with_args([]);
    let mut scenario = Scenario::new("original-alone", &star)
        .with("kind", kind)
        .with("role", "listener")
        .start();
    let joined = scenario.expect("joined");
    let address = joined["address"].as_str().expect("an address");

    let sent = payload(n_bytes);
    let expected = json!({ "bytes": n_bytes, "sha256": sha256(&sent) });
    let connect = Program::start(&["connect", "--raw", address]);
    let (received, code) = connect.exchange(sent);
    assert_eq!(code, Some(0));
    let fact = scenario.expect("received");
    assert_eq!(fact["received"], expected);
    assert_eq!(fact["end"], true);
    assert_eq!(received.len() as u64, n_bytes);
    assert_eq!(Value::from(sha256(&received)), expected["sha256"]);
    drop(scenario);
    star.stop_blocking();
}

/// An original peer dials `starpoint listen --raw --echo`.
fn javascript_dials(kind: &str, n_bytes: u64) {
    let star = Star::with_args([]);
    let home = format!("/ip4/127.0.0.1/tcp/{}/ws/p2p-websocket-star", star.port());
    let folder = tempfile::tempdir().expect("a folder can be made");
    let key = folder.path().join("key");
    let key = key.to_str().expect("it is UTF-8");
    let mut listen = Program::start(&["listen", "--raw", "--echo", "--star", &home, "--key", key]);
    let mut stdout = std::io::BufReader::new(listen.0.stdout.take().expect("stdout is piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).expect("stdout is read");
    let address = line.trim().strip_prefix("listening ").expect("an address");

    let facts = Scenario::new("original-alone", &star)
        .with("kind", kind)
        .with("role", "dialer")
        .with("address", address.replace("/p2p/", "/ipfs/"))
        .with("bytes", n_bytes)
        .run();
    let transfer = facts.one("transfer");
    assert_eq!(transfer["end"], true);
    assert_eq!(transfer["sent"]["bytes"], n_bytes);
    assert_eq!(transfer["received"], transfer["sent"]);

    let connected = facts.one("joined")["id"].as_str().expect("an id");
    line.clear();
    std::io::BufRead::read_line(&mut stdout, &mut line).expect("stdout is read");
    assert_eq!(line.trim(), format!("connected {connected}"));
    drop(listen);
    star.stop_blocking();
}

#[test]
fn rust_dials_an_rsa_peer() {
    rust_dials("rsa", 100_000);
}

#[test]
fn rust_dials_an_ed25519_peer() {
    rust_dials("ed25519", 100_000);
}

#[test]
fn rust_dials_and_sends_sixty_four_mebibytes() {
    rust_dials("ed25519", 64 * MIB);
}

#[test]
fn an_rsa_peer_dials_rust() {
    javascript_dials("rsa", 100_000);
}

#[test]
fn an_ed25519_peer_dials_rust() {
    javascript_dials("ed25519", 100_000);
}

#[test]
fn javascript_dials_and_sends_sixty_four_mebibytes() {
    javascript_dials("ed25519", 64 * MIB);
}

#[test]
fn an_abort_of_the_original_is_an_error() {
    let star = Star::with_args([]);
    let mut scenario = Scenario::new("original-alone", &star)
        .with("kind", "ed25519")
        .with("role", "resetter")
        .start();
    let joined = scenario.expect("joined");
    let address = joined["address"].as_str().expect("an address").to_owned();
    let mut connect = Program::start(&["connect", "--raw", &address]);
    // Its own direction stays open, so that only the abort can end it.
    let stdin = connect.0.stdin.take();
    let mut received = Vec::new();
    let mut stdout = connect.0.stdout.take().expect("stdout is piped");
    stdout.read_to_end(&mut received).expect("stdout is read");
    let status = connect.0.wait().expect("it is a child");
    assert_eq!((received.as_slice(), status.code()), (&[][..], Some(12)));
    drop(stdin);
    drop(scenario);
    star.stop_blocking();
}
