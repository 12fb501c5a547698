//! Nodes whose way to a real star is slow, loses packets, and breaks.

mod network;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};
use network::{Network, Weather};
use starpoint_node::{
    Config, Event, Events, Keypair, Multiaddr, Node, PeerId, Stream, StreamProtocol,
};
use starpoint_test_support::{Star, within};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/test/1");

/// Starts a node and waits until it can be dialed at the star behind this port.
async fn at(port: u16) -> (Node, Events) {
    let mut config = Config::new(Keypair::generate_ed25519());
    let home = format!("/ip4/127.0.0.1/tcp/{port}/ws/p2p-websocket-star");
    config.stars = vec![home.parse::<Multiaddr>().expect("it is an address")];
    let (node, mut events) = starpoint_node::start(config).expect("a node starts");
    until(&mut events, |event| {
        matches!(event, Event::StarLive { .. }).then_some(())
    })
    .await;
    (node, events)
}

async fn until<T>(events: &mut Events, choose: impl Fn(&Event) -> Option<T>) -> T {
    within("an event", async {
        loop {
            let event = events.next().await.expect("the node runs");
            if let Some(chosen) = choose(&event) {
                return chosen;
            }
        }
    })
    .await
}

fn bytes(seed: u8, n_bytes: usize) -> Vec<u8> {
    let period = 251_u8;
    let wave = (0..period).cycle().map(|byte| byte ^ seed);
    wave.take(n_bytes).collect()
}

/// Sends `sent`, and reads to the end, at once.
async fn exchange(stream: Stream, sent: Vec<u8>) -> Vec<u8> {
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(&sent).await.expect("it is taken");
        writer.close().await.expect("it is closed");
    };
    let mut read = Vec::new();
    let all = async { reader.read_to_end(&mut read).await.expect("it arrives") };
    futures_util::join!(write, all);
    read
}

/// Lets two peers exchange so many bytes each way; `meanwhile` is what happens when
/// they have begun.
async fn transfer(
    first: &Node,
    second: &Node,
    n_bytes: usize,
    meanwhile: impl Future<Output = ()>,
) {
    let mut incoming = first.incoming(PROTOCOL).expect("it is free");
    let dialed = within("a stream", second.open_stream(first.peer_id(), PROTOCOL));
    let mut dialed = dialed.await.expect("it is opened");
    // A stream is told of with its first byte.
    dialed.write_all(&[0]).await.expect("it is taken");
    dialed.flush().await.expect("it is taken");
    let (_, mut taken) = within("a stream", incoming.next())
        .await
        .expect("the node runs");
    within("the first byte", taken.read_exact(&mut [0]))
        .await
        .expect("it arrives");
    let there = exchange(dialed, bytes(1, n_bytes));
    let back = exchange(taken, bytes(2, n_bytes));
    let (got_back, got_there, ()) = within("the transfer", async {
        futures_util::join!(there, back, meanwhile)
    })
    .await;
    assert!(got_there == bytes(1, n_bytes), "{}", got_there.len());
    assert!(got_back == bytes(2, n_bytes), "{}", got_back.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_meet_and_talk_through_delay_and_loss() {
    let star = Star::with_args([]);
    let network = Network::to(star.port(), Weather::stormy(7)).await;
    let (first, _first_events) = at(network.port()).await;
    let (second, mut events) = at(network.port()).await;
    let id = first.peer_id();
    until(&mut events, |event| is_joined(event, id)).await;
    transfer(&first, &second, 300_000, async {}).await;
    star.stop().await;
}

fn is_joined(event: &Event, id: PeerId) -> Option<()> {
    matches!(event, Event::PeerJoined { peer, .. } if *peer == id).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r_dial_16_and_r_pres_6_control_connections_that_break_disturb_nobody() {
    let star = Star::with_args([]);
    let network = Network::to(star.port(), Weather::calm(3)).await;
    // One whose own network is good.
    let (_observer, mut seen) = at(star.port()).await;
    let (first, mut first_events) = at(network.port()).await;
    let (second, mut second_events) = at(network.port()).await;
    for node in [&first, &second] {
        let id = node.peer_id();
        until(&mut seen, |event| is_joined(event, id)).await;
    }
    transfer(&first, &second, 3_000_000, async {
        for _ in 0..3 {
            assert_eq!(network.cut_controls(), 2);
            for events in [&mut first_events, &mut second_events] {
                until(events, |event| {
                    matches!(event, Event::StarLive { .. }).then_some(())
                })
                .await;
            }
        }
    })
    .await;
    assert!(network.n_pipes() > 0, "nothing went through a pipe");
    // Others can dial as before.
    transfer(&second, &first, 1_000, async {}).await;
    // Somebody new makes sure that what was before has been told.
    let (last, _last_events) = at(star.port()).await;
    let id = last.peer_id();
    until(&mut seen, |event| {
        assert!(!matches!(event, Event::PeerLeft { .. }), "{event:?}");
        is_joined(event, id)
    })
    .await;
    assert!(seen.next().now_or_never().is_none());
}
