//! The ten-line swarm: a peer at a star, with nothing but libp2p and the
//! transport.
//!
//! ```sh
//! cargo run --example ten_lines -- /ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star
//! cargo run --example ten_lines -- <star> <address that the first one prints>
//! ```

use std::error::Error;

use futures_util::StreamExt as _;
use libp2p::{Multiaddr, SwarmBuilder, noise, ping, swarm::NetworkBehaviour, yamux};
use libp2p_websocket_star as websocket_star;

#[derive(NetworkBehaviour)]
struct Behaviour {
    star: websocket_star::Behaviour,
    ping: ping::Behaviour,
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a program looks at what concerns it"
)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    use libp2p::{Transport as _, core::upgrade::Version};

    let mut addresses = std::env::args()
        .skip(1)
        .map(|text| text.parse::<Multiaddr>());
    let key = libp2p::identity::Keypair::generate_ed25519();
    let (star, behaviour) = websocket_star::new(websocket_star::Config::default(), key.clone());
    let mut swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(|key| {
            let noise = noise::Config::new(key)?;
            Ok(star
                .upgrade(Version::V1)
                .authenticate(noise)
                .multiplex(yamux::Config::default()))
        })?
        .with_behaviour(|_| Behaviour {
            star: behaviour,
            ping: ping::Behaviour::default(),
        })?
        .build();
    swarm.listen_on(addresses.next().ok_or("name a star")??)?;
    let peer = addresses.next().transpose()?;
    if let Some(peer) = peer.clone() {
        swarm.dial(peer)?;
    }

    loop {
        match swarm.select_next_some().await {
            libp2p::swarm::SwarmEvent::NewListenAddr { address, .. } => {
                report(&address.to_string())
            }
            libp2p::swarm::SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) => {
                if let (Some(_), Ok(elapsed)) = (&peer, ping.result) {
                    report(&format!("{} is {elapsed:?} away", ping.peer));
                    return Ok(());
                }
            }
            libp2p::swarm::SwarmEvent::OutgoingConnectionError { error, .. } => {
                return Err(error.into());
            }
            _ => {}
        }
    }
}

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn report(line: &str) {
    println!("{line}");
}
