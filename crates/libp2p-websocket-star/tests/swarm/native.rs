//! The native profile, alone and beside the legacy one.

use libp2p::{
    Multiaddr,
    futures::{AsyncReadExt as _, AsyncWriteExt as _},
    swarm::SwarmEvent,
};
use libp2p_websocket_star::{Config, Error, Profile};
use starpoint_test_support::{Star, http::metric, within};

use crate::{
    node::Node,
    peer::{Peer, config, peer_address, profiles, star},
};

/// Dials, and lets both sides say something and end.
async fn exchange(star: &Star, dialer: &Node, listener: &mut Node) {
    let address = peer_address(star.port(), listener.id);
    let mut there = dialer.dial(address).await.expect("the peer is there");
    let (mut here, from) = listener.accept_from().await;
    assert_eq!(from, peer_address(star.port(), dialer.id));
    there.write_all(b"question").await.unwrap();
    there.close().await.unwrap();
    let mut question = Vec::new();
    within("question", here.read_to_end(&mut question))
        .await
        .unwrap();
    here.write_all(b"answer").await.unwrap();
    here.close().await.unwrap();
    let mut answer = Vec::new();
    within("answer", there.read_to_end(&mut answer))
        .await
        .unwrap();
    assert_eq!(
        (&question[..], &answer[..]),
        (&b"question"[..], &b"answer"[..])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_29_two_peers_use_what_both_speak() {
    let star = star().await;
    let (native, legacy) = (0, 1);
    for (dialing, listening, pipes) in [
        (native, native, true),
        (native, legacy, false),
        (legacy, native, false),
        (legacy, legacy, false),
    ] {
        let piped = metric(&star, "starpoint_piped_bytes_total").await;
        let relayed = metric(&star, "starpoint_relayed_bytes_total").await;
        let dialer = Node::at_with(star.port(), profiles()[dialing].clone()).await;
        let mut listener = Node::at_with(star.port(), profiles()[listening].clone()).await;
        exchange(&star, &dialer, &mut listener).await;
        let piped = metric(&star, "starpoint_piped_bytes_total").await - piped;
        let relayed = metric(&star, "starpoint_relayed_bytes_total").await - relayed;
        let expected = if pipes { (true, 0) } else { (false, 14) };
        assert_eq!((piped > 0, relayed), expected, "{piped} bytes by pipe");
    }
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_29_visitors_of_both_profiles_reach_peers_of_both() {
    let star = star().await;
    for visiting in profiles() {
        for listening in profiles() {
            let visitor = Node::with(visiting.clone(), None);
            let mut listener = Node::at_with(star.port(), listening).await;
            exchange(&star, &visitor, &mut listener).await;
        }
    }
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_29_peers_of_both_profiles_see_each_other_come_and_go() {
    let star = star().await;
    let quick = |profile| Config {
        profile,
        ..config()
    };
    let mut native = Peer::with(
        quick(Profile::Auto),
        libp2p::identity::Keypair::generate_ed25519(),
    );
    native.listen(star.port()).await;
    for profile in [Profile::Auto, Profile::Legacy] {
        let keypair = libp2p::identity::Keypair::generate_ed25519();
        let mut other = Peer::with(quick(profile), keypair);
        other.listen(star.port()).await;
        let id = other.id();
        let native_id = native.id();
        let knows = |peer: &Peer, id| peer.swarm.behaviour().star.peers().any(|(p, _)| p == id);
        native
            .until_holds("the other is known", |native| knows(native, id))
            .await;
        other
            .until_holds("the native is known", |other| knows(other, native_id))
            .await;
        let listeners: Vec<_> = other.swarm.listeners().cloned().collect();
        assert_eq!(listeners, [peer_address(star.port(), id)]);
        let closed = async {
            // Leaves in good order, and not with a broken connection.
            let closer = other.swarm.behaviour().star.closer();
            other
                .during(closer.close(starpoint_test_support::DEADLINE))
                .await
                .unwrap();
        };
        native.during(closed).await;
        native
            .until_holds("the other is gone", |native| !knows(native, id))
            .await;
    }
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_29_a_peer_that_is_not_there_is_told_at_once_in_either_profile() {
    let star = star().await;
    for profile in profiles() {
        let dialer = Node::at_with(star.port(), profile).await;
        let nobody = peer_address(star.port(), libp2p::PeerId::random());
        let error = dialer.dial(nobody).await.unwrap_err();
        assert!(matches!(error, Error::PeerNotFound), "{error}");
    }
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_30_peers_that_connect_learn_each_others_addresses() {
    let star = star().await;
    let elsewhere: [Multiaddr; 2] = ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/udp/2/quic-v1"]
        .map(|address| address.parse().unwrap());
    let mut dialer = Peer::new();
    dialer.swarm.add_external_address(elsewhere[0].clone());
    dialer.listen(star.port()).await;
    let mut listener = Peer::new();
    listener.swarm.add_external_address(elsewhere[1].clone());
    listener.listen(star.port()).await;
    let (dialer_id, listener_id) = (dialer.id(), listener.id());

    let learned = |wanted: (libp2p::PeerId, Multiaddr)| {
        move |event: &crate::peer::Event| match event {
            SwarmEvent::NewExternalAddrOfPeer { peer_id, address } => {
                let address = address.clone().with_p2p(*peer_id).unwrap();
                let expected = wanted.1.clone().with_p2p(wanted.0).unwrap();
                (*peer_id == wanted.0 && address == expected).then_some(())
            }
            _ => None,
        }
    };
    dialer
        .swarm
        .dial(peer_address(star.port(), listener_id))
        .unwrap();
    let by_dialer = dialer.until(
        "the listener's other address",
        learned((listener_id, elsewhere[1].clone())),
    );
    let by_listener = listener.until(
        "the dialer's other address",
        learned((dialer_id, elsewhere[0].clone())),
    );
    tokio::join!(by_dialer, by_listener);
    star.stop().await;
}
