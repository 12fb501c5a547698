//! Streams that come and go together.

use std::{num::NonZero, time::Duration};

use futures_util::{
    AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _,
    future::{join_all, try_join_all},
    stream::FuturesUnordered,
};
use starpoint_node::{
    Config, Event, Keypair, Multiaddr, Node, OpenStreamError, PeerId, StreamProtocol,
};
use starpoint_test_support::{Star, within};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/test/1");
const N_PEERS: usize = 5;
const N_STREAMS: usize = 60;

fn config() -> Config {
    Config::new(Keypair::generate_ed25519())
}

/// Starts a node that listens directly.
async fn listening(mut config: Config) -> (Node, Multiaddr) {
    config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().expect("it is an address")];
    let (node, mut events) = starpoint_node::start(config).expect("a node starts");
    let address = within("an address", async {
        loop {
            if let Some(Event::Listening { address }) = events.next().await {
                break address;
            }
        }
    })
    .await;
    (node, address)
}

/// Starts a node that can be dialed at the star.
async fn at(star: &Star, mut config: Config) -> (Node, Multiaddr) {
    let home = format!("/ip4/127.0.0.1/tcp/{}/ws/p2p-websocket-star", star.port());
    config.stars = vec![home.parse().expect("it is an address")];
    let (node, mut events) = starpoint_node::start(config).expect("a node starts");
    let address = within("the star", async {
        loop {
            if let Some(Event::StarLive { address, .. }) = events.next().await {
                break address;
            }
        }
    })
    .await;
    (node, address)
}

async fn dialing(address: &Multiaddr) -> Node {
    let (node, _) = starpoint_node::start(config()).expect("a node starts");
    node.dial(address.clone()).await.expect("it is dialed");
    node
}

/// Opens many streams at once from several peers, each with its own words.
async fn open_all(dialers: &[Node], listener: PeerId) {
    let opened = dialers
        .iter()
        .flat_map(|dialer| (0..N_STREAMS).map(move |n| (dialer, n)))
        .map(|(dialer, n)| async move {
            let mut stream = dialer.open_stream(listener, PROTOCOL).await?;
            let words = format!("{} {n}", dialer.peer_id());
            stream
                .write_all(words.as_bytes())
                .await
                .map_err(OpenStreamError::Lost)?;
            stream.close().await.map_err(OpenStreamError::Lost)
        });
    within("all streams", try_join_all(opened))
        .await
        .expect("all are opened");
}

/// Every stream that [`open_all`] opens has room, although nobody takes any
/// before the last is there.
async fn all_arrive(listener: Node, dialers: Vec<Node>) {
    let mut incoming = listener.incoming(PROTOCOL).expect("it is free");
    open_all(&dialers, listener.peer_id()).await;
    let mut heard = Vec::new();
    for _ in 0..N_PEERS * N_STREAMS {
        let (peer, mut stream) = within("a stream", incoming.next())
            .await
            .expect("the node runs");
        let mut words = String::new();
        within("its end", stream.read_to_string(&mut words))
            .await
            .expect("it is text");
        assert!(words.starts_with(&peer.to_string()), "{words}");
        heard.push(words);
    }
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), N_PEERS * N_STREAMS);
    assert_eq!(incoming.n_reset(), 0);
}

fn roomy() -> Config {
    Config {
        max_waiting_streams: NonZero::new(N_PEERS * N_STREAMS).expect("it is not zero"),
        ..config()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_come_together_are_all_delivered() {
    let (listener, address) = listening(roomy()).await;
    let dialers = join_all((0..N_PEERS).map(|_| dialing(&address))).await;
    all_arrive(listener, dialers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_come_together_through_a_star_are_all_delivered() {
    let star = Star::with_args([]);
    let (listener, address) = at(&star, roomy()).await;
    let dialers = join_all((0..N_PEERS).map(|_| dialing(&address))).await;
    all_arrive(listener, dialers).await;
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_without_room_are_reset_and_counted() {
    let (listener, address) = listening(Config {
        max_waiting_streams: NonZero::new(2).expect("it is not zero"),
        ..config()
    })
    .await;
    let mut incoming = listener.incoming(PROTOCOL).unwrap();
    let dialer = dialing(&address).await;
    let opened = (0..5).map(|_| dialer.open_stream(listener.peer_id(), PROTOCOL));
    let mut streams = within("streams", try_join_all(opened)).await.unwrap();
    // Which ones had room is not said.
    let reads = streams.iter_mut().map(|stream| async move {
        let read = stream.read(&mut [0]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    });
    let mut ends: FuturesUnordered<_> = reads.collect();
    for _ in 0..3 {
        within("a reset", ends.next()).await.unwrap();
    }
    assert_eq!(incoming.n_reset(), 3);
    drop(ends);
    for _ in 0..2 {
        within("a stream", incoming.next()).await.unwrap();
    }
    dialer
        .open_stream(listener.peer_id(), PROTOCOL)
        .await
        .unwrap();
    within("room again", incoming.next()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_nobody_waits_for_any_more_are_reset() {
    let (listener, address) = listening(config()).await;
    let mut incoming = listener.incoming(PROTOCOL).unwrap();
    let dialer = dialing(&address).await;
    for _ in 0..20 {
        let open = dialer.open_stream(listener.peer_id(), PROTOCOL);
        // Given up somewhere on the way.
        let _ = tokio::time::timeout(Duration::from_micros(300), open).await;
    }
    let mut last = dialer
        .open_stream(listener.peer_id(), PROTOCOL)
        .await
        .unwrap();
    last.write_all(b"!").await.unwrap();
    last.flush().await.unwrap();
    within("the one that is held", async {
        loop {
            let (_, mut stream) = incoming.next().await.unwrap();
            if let Ok(1) = stream.read(&mut [0]).await {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_protocol_that_is_not_taken_any_more_is_unsupported() {
    let (listener, address) = listening(config()).await;
    let incoming = listener.incoming(PROTOCOL).unwrap();
    let dialer = dialing(&address).await;
    let open = || dialer.open_stream(listener.peer_id(), PROTOCOL);
    open().await.unwrap();
    drop(incoming);
    let error = open().await.unwrap_err();
    assert!(
        matches!(error, OpenStreamError::Unsupported(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_stopped_node_takes_and_opens_nothing() {
    let (listener, address) = listening(config()).await;
    let mut incoming = listener.incoming(PROTOCOL).unwrap();
    let dialer = dialing(&address).await;
    listener.shutdown().await;
    assert!(within("the end", incoming.next()).await.is_none());
    let mut late = listener.incoming(PROTOCOL).unwrap();
    assert!(within("the end", late.next()).await.is_none());
    dialer.shutdown().await;
    let error = dialer
        .open_stream(listener.peer_id(), PROTOCOL)
        .await
        .unwrap_err();
    assert!(matches!(error, OpenStreamError::Dial(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_arrives_although_the_node_stops_at_once() {
    const N_BYTES: usize = 700_000;
    let star = Star::with_args([]);
    let (listener, address) = at(&star, config()).await;
    let mut incoming = listener.incoming(PROTOCOL).unwrap();
    for _ in 0..5 {
        let dialer = dialing(&address).await;
        let sending = async {
            let opened = dialer.open_stream(listener.peer_id(), PROTOCOL).await;
            let mut stream = opened.unwrap();
            stream.write_all(&[7; N_BYTES]).await.unwrap();
            stream.close().await.unwrap();
            drop(stream);
            let gauges = dialer.gauges();
            dialer.shutdown().await;
            drop(dialer);
            assert_eq!((gauges.stars(), gauges.streams()), (0, 0));
        };
        let receiving = async {
            let (_, mut stream) = incoming.next().await.unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await.unwrap();
            // Yamux would not tell of a loss.
            assert_eq!(received.len(), N_BYTES);
        };
        let both = async { tokio::join!(sending, receiving) };
        within("the transfer", both).await;
    }
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_keeps_its_connection_whether_it_was_taken_or_waits() {
    const IDLE: Duration = Duration::from_millis(100);
    let idle = || Config {
        idle_timeout: IDLE,
        ..config()
    };
    let (listener, address) = listening(idle()).await;
    let mut incoming = listener.incoming(PROTOCOL).unwrap();
    let (dialer, _events) = starpoint_node::start(idle()).unwrap();
    dialer.dial(address).await.unwrap();
    let mut stream = dialer
        .open_stream(listener.peer_id(), PROTOCOL)
        .await
        .unwrap();
    tokio::time::sleep(5 * IDLE).await;
    let (_, mut taken) = within("the stream", incoming.next()).await.unwrap();
    tokio::time::sleep(5 * IDLE).await;
    stream.write_all(b"!").await.unwrap();
    stream.flush().await.unwrap();
    within("a byte", taken.read_exact(&mut [0])).await.unwrap();
}
