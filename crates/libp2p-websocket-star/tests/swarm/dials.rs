//! Dials that fail, and many at once.

use std::time::Duration;

use libp2p::{
    Multiaddr, PeerId, Transport as _,
    core::{
        Endpoint,
        transport::{DialOpts, ListenerId, PortUse, TransportError},
    },
    futures::{AsyncReadExt as _, AsyncWriteExt as _, future::join_all},
    identity::Keypair,
    swarm::{DialError, SwarmEvent},
};
use libp2p_websocket_star::{self as websocket_star, Challenge, Config, Error, Failure, Stage};
use starpoint_test_support::{StarOptions, within};

use crate::{
    node::Node,
    peer::{Peer, config, peer_address, star, star_address, star_errors, star_with},
};

async fn dial_error(peer: &mut Peer, address: Multiaddr) -> Error {
    let error = peer.dial(address).await.expect_err("the dial fails");
    star_errors(&error).remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_10_dials_fail_with_errors_of_their_kind() {
    let star = star().await;
    let mut peer = Peer::at(star.port()).await;
    let nobody = PeerId::random();
    let error = dial_error(&mut peer, peer_address(star.port(), nobody)).await;
    assert!(matches!(error, Error::PeerNotFound), "{error}");
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = unused.local_addr().unwrap().port();
    drop(unused);
    let error = dial_error(&mut peer, peer_address(port, nobody)).await;
    assert!(matches!(error, Error::StarUnreachable(_)), "{error}");
    let without_peer = star_address(star.port());
    let error = dial_error(&mut peer, without_peer).await;
    assert!(matches!(error, Error::PeerMissing), "{error}");
    assert_eq!(peer.gauges.dials(), 0);
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_10_a_peer_with_another_key_is_a_wrong_peer_id() {
    let star = star().await;
    let mut alice = Peer::at(star.port()).await;
    // The original star hands a dial on by address alone; ours looks at the id,
    // so a liar has to sit behind the right one.
    let liar = Keypair::generate_ed25519();
    let (transport, behaviour) = websocket_star::new(config(), liar.clone());
    let mut bob = Peer::over(transport, behaviour, Keypair::generate_ed25519());
    bob.swarm.listen_on(star_address(star.port())).unwrap();
    let address = peer_address(star.port(), liar.public().to_peer_id());
    bob.until("the liar is live", |event| {
        matches!(event, SwarmEvent::NewListenAddr { .. }).then_some(())
    })
    .await;
    let _bob = bob.spawn();
    let error = alice.dial(address).await.unwrap_err();
    assert!(matches!(error, DialError::WrongPeerId { .. }), "{error:?}");
    star.stop().await;
}

fn reason(error: Option<TransportError<Failure>>) -> Error {
    match error {
        Some(TransportError::Other(failure)) => failure.reason().clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn r_trans_10_foreign_addresses_are_left_to_other_transports() {
    let keypair = Keypair::generate_ed25519();
    let own = keypair.public().to_peer_id();
    let (mut transport, _behaviour) = websocket_star::new(config(), keypair);
    let opts = |role| DialOpts {
        role,
        port_use: PortUse::New,
    };
    let other = PeerId::random();
    for foreign in [
        "/ip4/127.0.0.1/tcp/1".to_owned(),
        "/dns4/example.org/tcp/443/wss".to_owned(),
        "/ip4/127.0.0.1/udp/1/quic-v1".to_owned(),
        format!("/ip4/127.0.0.1/tcp/1/p2p/{other}/p2p-circuit"),
        "/p2p-circuit".to_owned(),
    ] {
        let address: Multiaddr = foreign.parse().unwrap();
        let dialed = transport.dial(address.clone(), opts(Endpoint::Dialer));
        let listened = transport.listen_on(ListenerId::next(), address.clone());
        let unsupported = |e: TransportError<Failure>| match e {
            TransportError::MultiaddrNotSupported(returned) => returned == address,
            TransportError::Other(_) => false,
        };
        assert!(unsupported(dialed.err().unwrap()), "{foreign}");
        assert!(unsupported(listened.unwrap_err()), "{foreign}");
    }
    let there = peer_address(1, other);
    let as_listener = transport.dial(there.clone(), opts(Endpoint::Listener));
    assert!(matches!(
        as_listener.err().unwrap(),
        TransportError::MultiaddrNotSupported(_)
    ));
    let to_self = transport.dial(peer_address(1, own), opts(Endpoint::Dialer));
    assert!(matches!(reason(to_self.err()), Error::DialSelf));
    let as_other = transport.listen_on(ListenerId::next(), there);
    assert!(matches!(reason(as_other.err()), Error::ForeignPeer));
    transport
        .listen_on(ListenerId::next(), peer_address(1, own))
        .expect("the own id may be there");
    let again = transport.listen_on(ListenerId::next(), star_address(1));
    assert!(matches!(reason(again.err()), Error::AlreadyHome));
    assert_eq!(transport.gauges().connections(), 0, "nothing was polled");
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_9_the_circuit_form_names_the_same_peer() {
    let star = star().await;
    let mut listener = Node::at(star.port()).await;
    let dialer = Node::at(star.port()).await;
    let star_only = star_address(star.port());
    let address: Multiaddr = format!("{star_only}/p2p-circuit/p2p/{}", listener.id)
        .parse()
        .unwrap();
    let mut there = dialer.dial(address).await.unwrap();
    there.write_all(b"hi").await.unwrap();
    let mut hi = [0; 2];
    let (mut here, from) = listener.accept_from().await;
    within("greeting", here.read_exact(&mut hi)).await.unwrap();
    assert_eq!(from, peer_address(star.port(), dialer.id));
    assert_eq!(dialer.gauges.connections(), 1, "through the home");
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_5_a_star_without_challenge_needs_consent() {
    let star = star_with(StarOptions::args(["--no-challenge"])).await;
    let strict = Node::new();
    let address = peer_address(star.port(), PeerId::random());
    let error = strict.dial(address.clone()).await.unwrap_err();
    assert!(matches!(error, Error::ChallengeDisabled), "{error}");
    let lax = Config {
        challenge: Challenge::Optional,
        ..config()
    };
    let lax = Node::with(lax, None);
    let error = lax.dial(address).await.unwrap_err();
    assert!(matches!(error, Error::PeerNotFound), "{error}");
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_4_a_star_that_never_answers_costs_a_deadline() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let accepts = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((socket, _)) = silent.accept().await {
            open.push(socket);
        }
    });
    let impatient = |dial_deadline| Config {
        open_deadline: Duration::from_millis(300),
        dial_deadline,
        ..config()
    };
    let address = peer_address(port, PeerId::random());
    let node = Node::with(impatient(Duration::from_secs(20)), None);
    let error = node.dial(address.clone()).await.unwrap_err();
    assert!(matches!(error, Error::StarUnreachable(_)), "{error}");
    let node = Node::with(impatient(Duration::from_millis(100)), None);
    let error = node.dial(address).await.unwrap_err();
    assert!(matches!(error, Error::Deadline(Stage::Dial)), "{error}");
    accepts.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_4_a_star_that_answers_garbage_is_unreachable() {
    use tokio::io::AsyncWriteExt as _;
    let garbage = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = garbage.local_addr().unwrap().port();
    let answers = tokio::spawn(async move {
        while let Ok((mut socket, _)) = garbage.accept().await {
            // The peer may be gone already.
            let _ = socket.write_all(&[0xff; 1000]).await;
        }
    });
    let node = Node::new();
    let address = peer_address(port, PeerId::random());
    let error = node.dial(address).await.unwrap_err();
    assert!(matches!(error, Error::StarUnreachable(_)), "{error}");
    answers.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_23_a_hundred_parallel_dials_and_both_sides_at_once() {
    let star = star().await;
    let mut left = Node::at(star.port()).await;
    let mut right = Node::at(star.port()).await;
    let (to_left, to_right) = (
        peer_address(star.port(), left.id),
        peer_address(star.port(), right.id),
    );
    let dials = async {
        tokio::join!(
            join_all((0..100).map(|_| left.dial(to_right.clone()))),
            join_all((0..100).map(|_| right.dial(to_left.clone())))
        )
    };
    let (from_left, from_right) = within("two hundred dials", dials).await;
    for mut stream in from_left.into_iter().chain(from_right).map(Result::unwrap) {
        stream.write_all(b"x").await.unwrap();
        stream.close().await.unwrap();
    }
    for node in [&mut left, &mut right] {
        for _ in 0..100 {
            let mut bytes = Vec::new();
            let mut stream = node.accept().await;
            within("byte", stream.read_to_end(&mut bytes))
                .await
                .unwrap();
            assert_eq!(bytes, b"x");
        }
    }
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_23_swarms_that_dial_each_other_at_once_are_connected() {
    let star = star().await;
    let mut left = Peer::at(star.port()).await;
    let mut right = Peer::at(star.port()).await;
    let (to_left, to_right) = (
        peer_address(star.port(), left.id()),
        peer_address(star.port(), right.id()),
    );
    let (from_left, from_right) = tokio::join!(
        async {
            let result = left.dial(to_right).await;
            (result, left.spawn())
        },
        async {
            let result = right.dial(to_left).await;
            (result, right.spawn())
        }
    );
    assert_eq!(from_left.0.unwrap(), from_right.1.id);
    assert_eq!(from_right.0.unwrap(), from_left.1.id);
    star.stop().await;
}

fn n_open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_24_a_thousand_dials_leave_nothing_behind() {
    let star = star().await;
    let mut listener = Node::at(star.port()).await;
    let address = peer_address(star.port(), listener.id);
    let mut dialers = Vec::new();
    // A star takes 512 dials of one connection at once.
    for _ in 0..4 {
        dialers.push(Node::at(star.port()).await);
    }
    let before = n_open_files();
    for dialer in dialers.iter().cycle().take(20) {
        for stream in join_all((0..50).map(|_| dialer.dial(address.clone()))).await {
            drop(stream.unwrap());
            drop(listener.accept().await);
        }
    }
    let nodes = || dialers.iter().chain([&listener]).map(|node| &node.gauges);
    let settled = async {
        while nodes().any(|g| g.streams() + g.dials() + g.offers() > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("end of the streams", settled).await;
    for gauges in nodes() {
        assert_eq!(gauges.connections(), 1);
        assert_eq!(gauges.stars(), 1);
    }
    // Other tests of this process open files, too, so the bound is generous; a
    // leak would be a thousand.
    assert!(n_open_files() < before + 200);
    star.stop().await;
}
