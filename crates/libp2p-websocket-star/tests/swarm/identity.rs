//! Stars that pass for other stars.

use std::sync::Arc;

use libp2p::{PeerId, identity::Keypair};
use libp2p_websocket_star::{Config, Error, MemoryPins, Profile, StarHost};
use starpoint_test_support::{EvilStar, Relaying, StarOptions, http::metric};

use crate::{
    node::{News, Node},
    peer::{config, peer_address, star, star_address, star_with},
};

fn host(port: u16) -> StarHost {
    StarHost::new("127.0.0.1", port).unwrap()
}

/// Waits until a home fails, and returns the reason.
async fn failure(node: &mut Node) -> String {
    loop {
        if let News::Error(reason) = node.next_news().await {
            return reason;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_32_an_evil_star_that_relays_another_one_does_not_take_its_peers_places() {
    let star = star().await;
    let evil = EvilStar::start(star.port(), Relaying::Rewriting).await;
    let mut victim = Node::at(star.port()).await;
    victim.listen_on(star_address(evil.port()));
    let reason = failure(&mut victim).await;
    let [evil_host, real_host] = [evil.port(), star.port()].map(host);
    assert!(
        reason.starts_with(&format!("the star at {evil_host} is "))
            && reason.ends_with(&format!(", which is at {real_host}")),
        "{reason}"
    );
    // It tries again, and changes nothing by that.
    failure(&mut victim).await;
    assert_eq!(metric(&star, "starpoint_takeovers_total").await, 0);
    assert_eq!(metric(&star, "rendezvous_joins_total").await, 1);
    let friend = Node::at(star.port()).await;
    let address = peer_address(star.port(), victim.id);
    friend.dial(address).await.expect("the victim is there");
    victim.accept().await;
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_native_14_a_star_that_names_its_hosts_cannot_be_relayed_even_at_first_sight() {
    let star = star_with(StarOptions::args(["--host", "star.example"])).await;
    for how in [Relaying::Rewriting, Relaying::Faithful] {
        let evil = EvilStar::start(star.port(), how).await;
        let mut victim = Node::with(config(), Some(star_address(evil.port())));
        let reason = failure(&mut victim).await;
        let at = format!(" is not at {}, it says", host(evil.port()));
        assert!(
            reason.starts_with("the star 12D3KooW") && reason.ends_with(&at),
            "{reason}"
        );
        let visitor = Node::with(config(), None);
        let address = peer_address(evil.port(), victim.id);
        let refused = visitor.dial(address).await.map(drop);
        let Err(Error::StarDenied(denial)) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(denial.host, host(evil.port()));
    }
    assert_eq!(metric(&star, "rendezvous_joins_total").await, 0);
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_native_14_a_star_is_used_at_the_hosts_that_it_names() {
    let star = star_with(StarOptions::args(["--host", "LocalHost.,127.0.0.1"])).await;
    let mut node = Node::at(star.port()).await;
    // The same star again, and that is how its operator wants it.
    let port = star.port();
    let name: libp2p::Multiaddr = format!("/dns4/localhost/tcp/{port}/ws/p2p-websocket-star")
        .parse()
        .unwrap();
    node.listen_on(name.clone());
    node.until(&News::NewAddress(name.with_p2p(node.id).unwrap()))
        .await;
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_31_another_star_in_the_place_of_a_known_one_is_refused() {
    let folder = std::env::temp_dir().join(format!("starpoint-identity-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let options = |number: usize, port| {
        let path = folder.join(format!("{number}.key"));
        let mut options = StarOptions::args(["--key", path.to_str().unwrap()]);
        options.port = port;
        options
    };
    let first = star_with(options(0, None)).await;
    let port = first.port();
    let config = config();
    let node = Node::at_with(port, config.clone()).await;
    drop(node);
    first.stop().await;
    let second = star_with(options(1, Some(port))).await;
    let mut node = Node::with(config.clone(), Some(star_address(port)));
    let reason = failure(&mut node).await;
    let begin = format!("the star at {} was 12D3KooW", host(port));
    assert!(reason.starts_with(&begin), "{reason}");
    let visitor = Node::with(config.clone(), None);
    let address = peer_address(port, Keypair::generate_ed25519().public().to_peer_id());
    let refused = visitor.dial(address).await.map(drop);
    assert!(matches!(refused, Err(Error::StarChanged(_))), "{refused:?}");
    assert_eq!(metric(&second, "rendezvous_joins_total").await, 0);
    // Who does not know the first one has no reason to object.
    Node::at(port).await;
    second.stop().await;
    let again = star_with(options(0, Some(port))).await;
    Node::at_with(port, config).await;
    again.stop().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_31_a_known_star_cannot_be_passed_off_as_one_without_an_id() {
    let star = star().await;
    let evil = EvilStar::start(star.port(), Relaying::Downgrading).await;
    let known: PeerId = Keypair::generate_ed25519().public().to_peer_id();
    let expecting = |profile| Config {
        pins: Arc::new(MemoryPins::expecting([(host(evil.port()), known)])),
        profile,
        ..config()
    };
    let mut node = Node::with(expecting(Profile::Auto), Some(star_address(evil.port())));
    let reason = failure(&mut node).await;
    let expected = format!(
        "the star at {} was {known} and is one without an id",
        host(evil.port())
    );
    assert_eq!(reason, expected);
    assert_eq!(metric(&star, "rendezvous_joins_total").await, 0);
    // Nobody asks for an id in the legacy profile, and a new star may have none.
    Node::at_with(evil.port(), expecting(Profile::Legacy)).await;
    Node::at_with(evil.port(), config()).await;
    star.stop().await;
}
