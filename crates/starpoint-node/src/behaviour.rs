//! What runs on every connection.

use libp2p::{connection_limits, identify, ping, swarm::NetworkBehaviour};
use libp2p_websocket_star as websocket_star;

use crate::{config::Config, quiet_identify::QuietIdentify, stream};

const PROTOCOL_VERSION: &str = "/starpoint/1";

/// The limits come first, so that nothing is begun with what they refuse.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) star: websocket_star::Behaviour,
    identify: QuietIdentify,
    ping: ping::Behaviour,
    pub(crate) stream: stream::Behaviour,
}

impl Behaviour {
    pub(crate) fn new(config: &Config, star: websocket_star::Behaviour) -> Self {
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_pending_incoming(Some(config.max_pending_connections))
            .with_max_pending_outgoing(Some(config.max_pending_connections))
            .with_max_established(Some(config.max_connections))
            .with_max_established_per_peer(Some(config.max_connections_per_peer));
        let identify = identify::Config::new(PROTOCOL_VERSION.to_owned(), config.keypair.public())
            .with_agent_version(config.agent.clone());
        Self {
            limits: connection_limits::Behaviour::new(limits),
            star,
            identify: QuietIdentify::new(identify),
            ping: ping::Behaviour::default(),
            stream: stream::Behaviour::default(),
        }
    }
}
