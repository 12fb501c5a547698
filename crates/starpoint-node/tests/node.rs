//! Nodes at a real star, through the handle that programs use.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at the events that concern it"
)]

use std::time::Duration;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use starpoint_node::{
    Config, DialError, Event, Events, IncomingError, Keypair, Multiaddr, Node, OpenStreamError,
    PeerId, StartError, StreamProtocol,
};
use starpoint_test_support::{Star, within};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/test/1");
const DEADLINE: Duration = Duration::from_secs(20);

fn star_of(star: &Star) -> Multiaddr {
    let text = format!("/ip4/127.0.0.1/tcp/{}/ws/p2p-websocket-star", star.port());
    text.parse().expect("it is an address")
}

fn config() -> Config {
    Config::new(Keypair::generate_ed25519())
}

/// Starts a node and waits until it can be dialed at `star`.
async fn at(star: &Star) -> (Node, Events, Multiaddr) {
    let mut config = config();
    config.stars = vec![star_of(star)];
    let (node, mut events) = starpoint_node::start(config).expect("a node starts");
    let address = event(&mut events, |event| match event {
        Event::StarLive { address, .. } => Some(address),
        _ => None,
    })
    .await;
    (node, events, address)
}

/// Waits for the event that `choose` takes.
async fn event<T>(events: &mut Events, choose: impl Fn(Event) -> Option<T>) -> T {
    within("the event", async {
        loop {
            let event = events.next().await.expect("the node runs");
            if let Some(chosen) = choose(event) {
                return chosen;
            }
        }
    })
    .await
}

#[tokio::test]
async fn peers_find_each_other_and_open_streams_by_id() {
    let star = Star::with_args([]);
    let (first, _events, address) = at(&star).await;
    let (second, mut events, _) = at(&star).await;
    let found = event(&mut events, |event| match event {
        Event::PeerJoined { peer, address } => Some((peer, address)),
        _ => None,
    })
    .await;
    assert_eq!(found, (first.peer_id(), address.clone()));
    let peers = second.peers().await.unwrap();
    assert_eq!(peers, [(first.peer_id(), vec![address.clone()])]);
    assert_eq!(first.addresses().await.unwrap(), [address]);

    let mut incoming = first.incoming(PROTOCOL).unwrap();
    let mut stream = second.open_stream(first.peer_id(), PROTOCOL).await.unwrap();
    stream.write_all(b"over there").await.unwrap();
    stream.close().await.unwrap();
    let (peer, mut taken) = within("a stream", incoming.next()).await.unwrap();
    assert_eq!(peer, second.peer_id());
    let mut text = String::new();
    taken.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "over there");

    second.ping(first.peer_id(), DEADLINE).await.unwrap();
    within("the shutdown", second.shutdown()).await;
    within("the shutdown", first.shutdown()).await;
    star.stop().await;
}

#[tokio::test]
async fn identify_makes_no_candidates_of_star_addresses() {
    // Were one confirmed or announced, it would be among the addresses, twice.
    let star = Star::with_args([]);
    let (first, _first_events, address) = at(&star).await;
    let (second, _events, _) = at(&star).await;
    second.dial(address.clone()).await.unwrap();
    second.ping(first.peer_id(), DEADLINE).await.unwrap();
    assert_eq!(first.addresses().await.unwrap(), [address]);
}

#[tokio::test]
async fn a_star_that_is_down_keeps_no_node_from_starting() {
    let star = Star::with_args([]);
    let mut config = config();
    let down: Multiaddr = "/ip4/127.0.0.1/tcp/1/ws/p2p-websocket-star"
        .parse()
        .unwrap();
    config.stars = vec![down.clone(), star_of(&star)];
    let (_node, mut events) = starpoint_node::start(config).unwrap();
    let (mut is_lost, mut is_live) = (false, false);
    within("both stars tell", async {
        while !(is_lost && is_live) {
            match events.next().await.expect("the node runs") {
                Event::StarLost { star, retry_in, .. } => {
                    assert_eq!(star, down);
                    assert!(retry_in.is_some());
                    is_lost = true;
                }
                Event::StarLive { .. } => is_live = true,
                _ => {}
            }
        }
    })
    .await;
}

#[tokio::test]
async fn dials_say_why_they_fail() {
    let star = Star::with_args([]);
    let (node, _events, own) = at(&star).await;
    let nobody = PeerId::random();

    let address = star_of(&star).with_p2p(nobody).unwrap();
    let error = node.dial(address).await.unwrap_err();
    assert!(error.is_peer_absent(), "{error:?}");
    assert!(error.is_retryable());

    let error = node.dial(own).await.unwrap_err();
    assert!(matches!(error, DialError::DialSelf), "{error:?}");
    let error = node.dial("/memory/1".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, DialError::Unsupported { .. }), "{error:?}");
    let error = node.connect(nobody).await.unwrap_err();
    assert!(matches!(error, DialError::NoAddress { .. }), "{error:?}");

    node.shutdown().await;
    let error = node.connect(nobody).await.unwrap_err();
    assert!(matches!(error, DialError::Stopped(_)), "{error:?}");
}

#[tokio::test]
async fn many_dials_of_one_address_are_one_connection() {
    let star = Star::with_args([]);
    let (_listener, mut events, address) = at(&star).await;
    let (dialer, _dialer_events) = starpoint_node::start(config()).unwrap();
    let dials = (0..100).map(|_| dialer.dial(address.clone()));
    let dialed = within("all dials", futures_util::future::try_join_all(dials)).await;
    assert_eq!(dialed.unwrap().len(), 100);
    dialer.shutdown().await;
    let mut n_connections = 0;
    within("the end", async {
        loop {
            match events.next().await.expect("the node runs") {
                Event::Connected { .. } => n_connections += 1,
                Event::Disconnected { .. } => break,
                _ => {}
            }
        }
    })
    .await;
    assert_eq!(n_connections, 1);
}

#[tokio::test]
async fn a_protocol_is_taken_by_one_and_unknown_to_others() {
    let star = Star::with_args([]);
    let (node, _events, address) = at(&star).await;
    let (dialer, _dialer_events) = starpoint_node::start(config()).unwrap();
    dialer.dial(address).await.unwrap();
    let error = dialer
        .open_stream(node.peer_id(), PROTOCOL)
        .await
        .unwrap_err();
    assert!(
        matches!(error, OpenStreamError::Unsupported(_)),
        "{error:?}"
    );
    let _incoming = node.incoming(PROTOCOL).unwrap();
    let error = node.incoming(PROTOCOL).unwrap_err();
    assert!(matches!(error, IncomingError::Taken(_)), "{error:?}");
    dialer.open_stream(node.peer_id(), PROTOCOL).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_listened_on_is_told_at_the_start() {
    let star: Multiaddr = "/ip4/127.0.0.1/tcp/1/ws/p2p-websocket-star"
        .parse()
        .unwrap();
    let tcp: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
    let start = |stars: &[&Multiaddr], listen: &[&Multiaddr]| {
        let mut config = config();
        config.stars = stars.iter().copied().cloned().collect();
        config.listen = listen.iter().copied().cloned().collect();
        starpoint_node::start(config).expect_err("it is refused")
    };
    assert!(matches!(start(&[&tcp], &[]), StartError::NotAStar { .. }));
    assert!(matches!(
        start(&[], &[&star]),
        StartError::ListenUnsupported { .. }
    ));
    assert!(matches!(
        start(&[&star, &star], &[]),
        StartError::Listen { .. }
    ));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let taken_address = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    assert!(matches!(
        start(&[], &[&taken_address]),
        StartError::Listen { .. }
    ));
}

#[tokio::test]
async fn a_dropped_node_stops() {
    let star = Star::with_args([]);
    let (node, mut events, _) = at(&star).await;
    drop(node);
    within("the events end", async {
        while events.next().await.is_some() {}
    })
    .await;
}
