//! One peer, three ways to it: each address goes to its own transport.
//!
//! ```sh
//! cargo run --example mixed -- /ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star
//! ```
//!
//! Starts a peer at the star that listens on TCP and QUIC too, then reaches it
//! through each of its addresses and shows how far away it is.

use std::{error::Error, time::Duration};

use starpoint_node::{Config, Event, Events, Keypair, Multiaddr};

/// The star, TCP and QUIC.
const N_ADDRESSES: usize = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let star = std::env::args().nth(1).ok_or("name a star")?;
    let mut config = Config::new(Keypair::generate_ed25519());
    config.stars = vec![star.parse()?];
    config.listen = vec![
        "/ip4/127.0.0.1/tcp/0".parse()?,
        "/ip4/127.0.0.1/udp/0/quic-v1".parse()?,
    ];
    let (node, mut events) = starpoint_node::start(config)?;
    wait_for_addresses(&mut events).await?;

    for address in node.addresses().await? {
        let elapsed = distance(address.clone()).await?;
        report(&format!("{address} is {elapsed:?} away"));
    }
    node.shutdown().await;
    Ok(())
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a program looks at what concerns it"
)]
async fn wait_for_addresses(events: &mut Events) -> Result<(), Box<dyn Error>> {
    let mut n_addresses = 0;
    while n_addresses < N_ADDRESSES {
        match events.next().await.ok_or("the node has stopped")? {
            Event::Listening { .. } | Event::StarLive { .. } => n_addresses += 1,
            Event::StarLost { reason, .. } => return Err(reason.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Dials as another peer, so that no connection is there already.
async fn distance(address: Multiaddr) -> Result<Duration, Box<dyn Error>> {
    let (node, _events) = starpoint_node::start(Config::new(Keypair::generate_ed25519()))?;
    let peer = node.dial(address).await?;
    let elapsed = node.ping(peer, Duration::from_secs(10)).await?;
    node.shutdown().await;
    Ok(elapsed)
}

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn report(line: &str) {
    println!("{line}");
}
