//! A Rust peer and an original one, on raw streams.

use std::io::ErrorKind;

use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p_websocket_star::Stream;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use starpoint_interop_tests::{Running, Scenario};
use starpoint_test_support::within;

use crate::{node::Node, patiently, peer::Peer, star::OriginalStar};

const MIB: usize = 1024 * 1024;

/// Bytes without repetitions that would hide a swapped chunk.
pub(crate) fn payload(n_bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = (0..n_bytes.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(n_bytes).collect()
}

/// Returns size and hash as a scenario reports them.
pub(crate) fn measured(bytes: &[u8]) -> Value {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "bytes": bytes.len(), "sha256": hex })
}

/// Starts an original peer that plays a role until the test ends.
pub(crate) fn original(
    star: &OriginalStar,
    kind: &str,
    role: &str,
) -> (Running, libp2p::Multiaddr) {
    let mut scenario = Scenario::at("original-alone", star.url())
        .with("kind", kind)
        .with("role", role)
        .start();
    let joined = scenario.expect("joined");
    let address = joined["address"].as_str().expect("an address");
    // The name that the protocol has today.
    let address = address.replace("/ipfs/", "/p2p/");
    (scenario, address.parse().expect("a multiaddr"))
}

/// Starts an original peer that dials `node`.
fn original_dials(star: &OriginalStar, kind: &str, node: &Node, n_bytes: usize) -> Running {
    let address = star.address_of(node.id).to_string();
    Scenario::at("original-alone", star.url())
        .with("kind", kind)
        .with("role", "dialer")
        .with("address", address.replace("/p2p/", "/ipfs/"))
        .with("bytes", n_bytes)
        .start()
}

async fn read_all(stream: &mut Stream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    patiently("end of a stream", stream.read_to_end(&mut bytes)).await?;
    Ok(bytes)
}

async fn send_all(stream: &mut Stream, bytes: &[u8]) {
    let write = patiently("write", stream.write_all(bytes)).await;
    write.expect("the stream is open");
    let close = patiently("end of what is written", stream.close()).await;
    close.expect("the stream is open");
}

/// Dials an original peer, which reads to the end before it sends all of it back.
async fn rust_dials(kind: &str, n_bytes: usize) {
    let star = OriginalStar::start();
    let (mut scenario, address) = original(&star, kind, "listener");
    let node = Node::live(&star).await;
    let mut stream = node.dial(address).await.expect("the peer is there");
    let sent = payload(n_bytes);
    // Takes seconds, and a reader that pauses for seconds is given up.
    let expected = measured(&sent);
    send_all(&mut stream, &sent).await;
    let fact = scenario.expect("received");
    assert_eq!(fact["end"], true);
    assert_eq!(fact["received"], expected);
    let received = read_all(&mut stream).await.expect("it was closed");
    assert!(received == sent, "{} bytes come back", received.len());
}

/// Is dialed by an original peer, which ends its direction before it gets all of
/// it back.
async fn javascript_dials(kind: &str, n_bytes: usize) {
    let star = OriginalStar::start();
    let mut node = Node::live(&star).await;
    let mut scenario = original_dials(&star, kind, &node, n_bytes);
    let joined = scenario.expect("joined");
    let (mut stream, from) = node.accept().await;
    let dialer = joined["address"].as_str().expect("an address");
    assert_eq!(from.to_string(), dialer.replace("/ipfs/", "/p2p/"));
    let received = read_all(&mut stream).await.expect("it was closed");
    send_all(&mut stream, &received).await;
    let facts = scenario.finish();
    let transfer = facts.one("transfer");
    assert_eq!(transfer["end"], true);
    assert_eq!(transfer["sent"], measured(&received));
    assert_eq!(transfer["sent"]["bytes"], n_bytes);
    assert_eq!(transfer["received"], transfer["sent"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_and_an_original_peer_find_each_other() {
    let star = OriginalStar::start();
    let mut swarm = Peer::live(&star).await;
    let mut scenario = Scenario::at("original-discovery", star.url())
        .with("kind", "rsa")
        .with("id", swarm.id.to_string())
        .start();
    let joined = scenario.expect("joined");
    let original = joined["id"].as_str().expect("an id");
    swarm.discovers(original.parse().expect("a peer id")).await;
    let discovered = scenario.expect("discovered");
    let own = star.address_of(swarm.id).to_string();
    assert_eq!(discovered["address"], own.replace("/p2p/", "/ipfs/"));
    scenario.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_dials_an_rsa_peer() {
    rust_dials("rsa", MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_dials_an_ed25519_peer() {
    rust_dials("ed25519", MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_dials_and_sends_sixty_four_mebibytes() {
    rust_dials("ed25519", 64 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rsa_peer_dials_rust() {
    javascript_dials("rsa", MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ed25519_peer_dials_rust() {
    javascript_dials("ed25519", MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_dials_and_sends_sixty_four_mebibytes() {
    javascript_dials("ed25519", 64 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_of_the_original_is_an_error() {
    let star = OriginalStar::start();
    let (_scenario, address) = original(&star, "ed25519", "resetter");
    let node = Node::live(&star).await;
    let mut stream = node.dial(address).await.expect("the peer is there");
    let error = read_all(&mut stream).await.expect_err("an abort is no end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let error = stream.write(b"x").await.expect_err("nobody reads it");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_is_an_error_for_the_original_that_was_dialed() {
    let star = OriginalStar::start();
    let (mut scenario, address) = original(&star, "ed25519", "listener");
    let node = Node::live(&star).await;
    let mut stream = node.dial(address).await.expect("the peer is there");
    let sent = payload(MIB);
    let write = within("write", stream.write_all(&sent)).await;
    write.expect("the stream is open");
    let flush = within("flush", stream.flush()).await;
    flush.expect("the stream is open");
    drop(stream);
    let fact = scenario.expect("received");
    assert_eq!(fact["received"], measured(&sent));
    assert!(fact["end"].is_string(), "{fact}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_is_an_error_for_the_original_that_dialed() {
    let star = OriginalStar::start();
    let mut node = Node::live(&star).await;
    let mut scenario = original_dials(&star, "ed25519", &node, MIB);
    scenario.expect("joined");
    let (mut stream, _) = node.accept().await;
    let mut start = [0; 1024];
    let read = within("bytes", stream.read_exact(&mut start)).await;
    read.expect("the stream is open");
    drop(stream);
    let facts = scenario.finish();
    let transfer = facts.one("transfer");
    assert!(transfer["end"].is_string(), "{transfer}");
    assert_eq!(transfer["received"]["bytes"], 0);
}

/// What the legacy protocol cannot say: the original star ends the stream of a peer
/// that is gone as if it had been closed. Raw streams stand alone there; Noise and
/// Yamux know better.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_original_looks_as_if_it_had_closed_its_stream() {
    let star = OriginalStar::start();
    let (scenario, address) = original(&star, "ed25519", "listener");
    let node = Node::live(&star).await;
    let mut stream = node.dial(address).await.expect("the peer is there");
    drop(scenario);
    let received = read_all(&mut stream).await.expect("the star says so");
    assert_eq!(received, b"");
}
