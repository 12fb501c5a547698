//! Joining, discovery, dialing.

use libp2p::{ping, swarm::SwarmEvent};
use libp2p_websocket_star::Event as StarEvent;

use crate::peer::{BehaviourEvent, Peer, peer_address, star, star_address};

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_1_two_swarms_find_and_ping_each_other() {
    let star = star().await;
    let alice = Peer::at(star.port()).await.spawn();
    let mut bob = Peer::new();
    bob.swarm.listen_on(star_address(star.port())).unwrap();
    let address = bob
        .until("alice is found", |event| match event {
            SwarmEvent::Behaviour(BehaviourEvent::Star(StarEvent::PeerJoined {
                peer,
                address,
            })) if *peer == alice.id => Some(address.clone()),
            _ => None,
        })
        .await;
    assert_eq!(address, peer_address(star.port(), alice.id));
    assert_eq!(bob.dial(address).await.unwrap(), alice.id);
    bob.until("a ping", |event| match event {
        SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { result: Ok(_), .. })) => Some(()),
        _ => None,
    })
    .await;
    star.stop().await;
}
