//! Clients that say what none would.

use std::time::Duration;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use starpoint_node::{Node, Stream};
use starpoint_test_support::within;
use starpoint_tunnel::{PROTOCOL, Refusal};

use crate::{
    services::{Service, banner},
    stage::{Stage, star_of, start},
};

/// Writes bytes and reads all that comes back.
pub(crate) async fn answer(stream: &mut Stream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).await.expect("it is taken");
    stream.flush().await.expect("it is taken");
    let mut answer = Vec::new();
    // However it ends.
    let _ = within("an answer", stream.read_to_end(&mut answer)).await;
    answer
}

async fn stranger(stage: &Stage) -> Node {
    let node = start(Vec::new());
    let host = stage.node.peer_id();
    let address = star_of(&stage.star)
        .with_p2p(host)
        .expect("it has no id yet");
    node.dial(address).await.expect("the host is there");
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_3_a_host_refuses_what_makes_no_sense() {
    let service = Service::new(banner);
    let stage = Stage::new([&service.address.to_string()]).await;
    let node = stranger(&stage).await;
    let malformed = [0, 2, 0x13, Refusal::Malformed.number()];
    for bytes in [
        &[0, 0][..],               // no frame
        &[0xff, 0xff],             // one that is too long
        &[0, 1, 0x99],             // of no kind
        &[0, 2, 1, 1],             // a JOIN that is cut
        &[0, 1, 3],                // LEAVE by nobody
        &[0, 2, 0x13, 1],          // what only hosts say
        b"GET / HTTP/1.1\r\n\r\n", // something else
    ] {
        let mut stream = node
            .open_stream(stage.node.peer_id(), PROTOCOL)
            .await
            .unwrap();
        assert_eq!(answer(&mut stream, bytes).await, malformed, "{bytes:?}");
    }
    // None of that has harmed anybody.
    stage.guest().await.client.connect(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_4_a_stream_that_does_not_say_what_it_is_for_ends() {
    let service = Service::new(banner);
    let stage = Stage::new([&service.address.to_string()]).await;
    let node = stranger(&stage).await;
    let begun = std::time::Instant::now();
    let mut stream = node
        .open_stream(stage.node.peer_id(), PROTOCOL)
        .await
        .unwrap();
    assert!(answer(&mut stream, &[0]).await.is_empty());
    assert!(
        begun.elapsed() >= Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
}

/// Opens as many streams as the host may count for strangers, and more.
async fn silent_streams(stage: &Stage) -> (Vec<Node>, Vec<Stream>) {
    let (mut nodes, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let node = stranger(stage).await;
        for _ in 0..8 {
            let opened = node.open_stream(stage.node.peer_id(), PROTOCOL).await;
            streams.push(opened.expect("the host is there"));
        }
        nodes.push(node);
    }
    (nodes, streams)
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_4_silent_strangers_keep_nobody_out() {
    let service = Service::new(banner);
    let stage = Stage::new([&service.address.to_string()]).await;
    let before = stage.guest().await;
    let _silent = silent_streams(&stage).await;
    // At once, while all of them still have time to say something.
    for _ in 0..20 {
        before.client.connect(None).await.expect("it is in");
    }
    let after = stage.guest().await;
    after.client.connect(None).await.expect("it is in");
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_4_one_stranger_has_a_few_streams_only() {
    let service = Service::new(banner);
    let stage = Stage::new([&service.address.to_string()]).await;
    let node = stranger(&stage).await;
    let mut silent = Vec::new();
    for _ in 0..9 {
        let opened = node.open_stream(stage.node.peer_id(), PROTOCOL).await;
        silent.push(opened.expect("the host is there"));
    }
    let last = silent.last_mut().expect("there are nine");
    let begun = std::time::Instant::now();
    assert!(answer(last, &[]).await.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(9), "not reset");
    // The others still have their time, and what they say is read.
    let connect = [0, 3, 2, 0, 0];
    let refused = [0, 2, 0x13, Refusal::NotJoined.number()];
    assert_eq!(answer(&mut silent[0], &connect).await, refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_13_an_oversized_chunk_resets_the_socket() {
    let service = Service::new(banner);
    let stage = Stage::new([&service.address.to_string()]).await;
    let guest = stage.guest().await;
    let mut stream = guest
        .node
        .open_stream(stage.node.peer_id(), PROTOCOL)
        .await
        .unwrap();
    stream.write_all(&[0, 3, 2, 0, 0]).await.unwrap();
    let answer = answer(&mut stream, &65_537_u32.to_be_bytes()).await;
    let connected = [0, 1, 0x14];
    let hello = [&10_u32.to_be_bytes()[..], b"220 ready\n"].concat();
    // The banner may be cut by the reset, and there is no end in good order.
    assert!(answer.starts_with(&connected), "{answer:?}");
    assert!(
        [&connected[..], &hello].concat().starts_with(&answer),
        "{answer:?}"
    );
}
