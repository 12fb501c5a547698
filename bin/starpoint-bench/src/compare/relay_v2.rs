//! A circuit relay v2 of libp2p, its limits lifted.

use std::time::Duration;

use futures_util::StreamExt as _;
use libp2p::{
    Multiaddr, Swarm, Transport as _,
    core::upgrade::Version,
    identity::Keypair,
    multiaddr::Protocol,
    noise, relay,
    swarm::{self, SwarmEvent},
    tcp, yamux,
};

use super::announce;

/// Longer than any measurement, and within what the protocol can say.
const FOR_EVER: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) async fn serve() -> anyhow::Result<()> {
    let keypair = Keypair::generate_ed25519();
    let id = keypair.public().to_peer_id();
    let transport = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(&keypair)?)
        .multiplex(yamux::Config::default())
        .boxed();
    let settings = swarm::Config::with_tokio_executor().with_idle_connection_timeout(FOR_EVER);
    let mut swarm = Swarm::new(
        transport,
        relay::Behaviour::new(id, unlimited()),
        id,
        settings,
    );
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse::<Multiaddr>()?)?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            // Without an external address it grants no reservation.
            swarm.add_external_address(address.clone());
            announce(address.with(Protocol::P2p(id)))?;
        }
    }
}

fn unlimited() -> relay::Config {
    relay::Config {
        max_reservations: usize::MAX,
        max_reservations_per_peer: usize::MAX,
        reservation_duration: FOR_EVER,
        reservation_rate_limiters: Vec::new(),
        max_circuits: usize::MAX,
        max_circuits_per_peer: usize::MAX,
        max_circuit_duration: FOR_EVER,
        // The protocol's word for no limit.
        max_circuit_bytes: 0,
        circuit_src_rate_limiters: Vec::new(),
    }
}
