//! Rust peers among themselves.

use std::io::ErrorKind;

use libp2p::futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p_websocket_star::{Challenge, Config, Error, Event};
use sha2::{Digest as _, Sha256};
use starpoint_test_support::within;

use crate::{
    node::{News, Node, config},
    patiently,
    peer::Peer,
    star::{Joining, OriginalStar},
};

const MIB: usize = 1024 * 1024;

/// Bytes in one write; odd, so that no buffer's size divides it.
const CHUNK_BYTES: usize = 99_991;

/// Bytes without repetitions that would hide a swapped chunk, other ones for
/// another seed.
struct Source {
    state: u64,
    left: usize,
    hash: Sha256,
}

impl Source {
    fn new(seed: u64, n_bytes: usize) -> Self {
        Self {
            state: seed | 1,
            left: n_bytes,
            hash: Sha256::new(),
        }
    }

    /// Returns the next chunk; `None` behind the last.
    fn next(&mut self) -> Option<Vec<u8>> {
        let n_bytes = self.left.min(CHUNK_BYTES);
        self.left -= n_bytes;
        let words = (0..n_bytes.div_ceil(8)).flat_map(|_| {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            self.state.to_le_bytes()
        });
        let chunk: Vec<u8> = words.take(n_bytes).collect();
        self.hash.update(&chunk);
        (n_bytes > 0).then_some(chunk)
    }
}

/// Sends and receives at once, each to its end; returns the hash of what was sent,
/// and the number of bytes and hash of what was received.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    mut source: Source,
) -> (Vec<u8>, (usize, Vec<u8>)) {
    let (mut reader, mut writer) = stream.split();
    let write = async {
        while let Some(chunk) = source.next() {
            writer.write_all(&chunk).await.expect("the stream is open");
        }
        writer.close().await.expect("the stream is open");
        source.hash.finalize().to_vec()
    };
    let read = async {
        let mut hash = Sha256::new();
        let mut n_received = 0;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n_bytes = reader.read(&mut buffer).await.expect("the stream is open");
            if n_bytes == 0 {
                return (n_received, hash.finalize().to_vec());
            }
            hash.update(&buffer[..n_bytes]);
            n_received += n_bytes;
        }
    };
    libp2p::futures::join!(write, read)
}

/// Sends `n_bytes` both ways at once and compares.
async fn transfer(
    there: impl AsyncRead + AsyncWrite + Unpin,
    here: impl AsyncRead + AsyncWrite + Unpin,
    n_bytes: usize,
) {
    let ((sent, received), (sent_back, arrived)) = libp2p::futures::join!(
        exchange(there, Source::new(0x9E37_79B9_7F4A_7C15, n_bytes)),
        exchange(here, Source::new(0xD1B5_4A32_D192_ED03, n_bytes)),
    );
    assert_eq!(arrived, (n_bytes, sent));
    assert_eq!(received, (n_bytes, sent_back));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_swarms_find_each_other_and_send_sixty_four_mebibytes_both_ways() {
    let star = OriginalStar::start();
    let mut first = Peer::live(&star).await;
    let mut second = Peer::live(&star).await;
    first.discovers(second.id).await;
    second.discovers(first.id).await;

    first.dial(star.address_of(second.id), second.id).await;
    let there = first.open_stream(second.id).await;
    let (from, here) = second.accept().await;
    assert_eq!(from, first.id);
    patiently("transfer", transfer(there, here, 64 * MIB)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn swarms_come_back_when_the_star_was_killed_and_dial_again() {
    let star = OriginalStar::start();
    let mut first = Peer::live(&star).await;
    let mut second = Peer::live(&star).await;
    first.dial(star.address_of(second.id), second.id).await;
    let mut there = first.open_stream(second.id).await;
    let (_, mut here) = second.accept().await;
    there
        .write_all(b"half a")
        .await
        .expect("the stream is open");
    there.flush().await.expect("the stream is open");
    let mut start = [0; 6];
    let read = within("bytes", here.read_exact(&mut start)).await;
    read.expect("the stream is open");

    let star = star.restart();
    // Whether it reads an end or an error is up to Yamux; the swarm tells the two
    // apart.
    let mut rest = Vec::new();
    let _ = within("end of a stream", here.read_to_end(&mut rest)).await;
    let late = within("write", here.write_all(b"late")).await;
    late.expect_err("the connection is lost");
    for peer in [&mut first, &mut second] {
        peer.loses_its_home_and_connection().await;
        peer.until_star("home is live", |event| {
            matches!(event, Event::HomeLive { .. })
        })
        .await;
    }
    second.dial(star.address_of(first.id), first.id).await;
    let there = second.open_stream(first.id).await;
    let (_, here) = first.accept().await;
    patiently("transfer", transfer(there, here, MIB)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_streams_end_with_an_error_when_the_star_is_killed() {
    let mut star = OriginalStar::start();
    let first = Node::live(&star).await;
    let mut second = Node::live(&star).await;
    let dialed = first.dial(star.address_of(second.id)).await;
    let mut there = dialed.expect("the peer is there");
    let (mut here, from) = second.accept().await;
    assert_eq!(from, star.address_of(first.id));
    star.kill();
    for stream in [&mut there, &mut here] {
        let mut bytes = Vec::new();
        let end = within("end of a stream", stream.read_to_end(&mut bytes)).await;
        let error = end.expect_err("a lost star is no end");
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    }
    let expired = second.next_news().await;
    assert!(
        matches!(&expired, News::AddressExpired(address) if *address == star.address_of(second.id)),
        "{expired:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_streams_carry_bytes_half_closed_and_reset_between_rust_peers() {
    let star = OriginalStar::start();
    let first = Node::live(&star).await;
    let mut second = Node::live(&star).await;
    let dialed = first.dial(star.address_of(second.id)).await;
    let mut there = dialed.expect("the peer is there");
    let (mut here, _) = second.accept().await;
    let mut read = Vec::new();
    there.write_all(b"question").await.expect("it is open");
    there.close().await.expect("it is open");
    let end = within("end of a stream", here.read_to_end(&mut read)).await;
    assert_eq!(end.expect("it was closed"), 8);
    here.write_all(b"answer").await.expect("it is open");
    here.flush().await.expect("it is open");
    let mut answer = [0; 6];
    let end = within("answer", there.read_exact(&mut answer)).await;
    end.expect("it is open");
    assert_eq!((&read[..], &answer), (&b"question"[..], b"answer"));

    drop(here);
    let end = within("end of a stream", there.read_to_end(&mut read)).await;
    let error = end.expect_err("a dropped stream is no end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_at_the_star_is_not_found() {
    let star = OriginalStar::start();
    let node = Node::live(&star).await;
    let nobody = libp2p::PeerId::random();
    let error = node.dial(star.address_of(nobody)).await.map(drop);
    assert!(matches!(error, Err(Error::PeerNotFound)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_without_challenge_is_refused() {
    let star = OriginalStar::start_at(0, Joining::Unproved);
    let mut node = Node::new(&star, config());
    let news = node.next_news().await;
    assert!(
        matches!(news, News::Error(Error::ChallengeDisabled)),
        "{news:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_without_challenge_is_joined_if_the_user_consents() {
    let star = OriginalStar::start_at(0, Joining::Unproved);
    let consenting = || Config {
        challenge: Challenge::Optional,
        ..config()
    };
    let mut first = Node::new(&star, consenting());
    let mut second = Node::new(&star, consenting());
    first.until_live(&star).await;
    second.until_live(&star).await;
    let dialed = first.dial(star.address_of(second.id)).await;
    let there = dialed.expect("the peer is there");
    let (here, _) = second.accept().await;
    patiently("transfer", transfer(there, here, MIB)).await;
}
