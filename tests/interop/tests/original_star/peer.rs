//! A swarm, as programs have one: Noise, Yamux, and streams above.

use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, Transport as _,
    core::{muxing::StreamMuxerBox, upgrade},
    futures::StreamExt as _,
    identity::Keypair,
    noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    yamux,
};
use libp2p_stream::{Control, IncomingStreams};
use libp2p_websocket_star as websocket_star;
use starpoint_test_support::{DEADLINE, within};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{node::config, star::OriginalStar};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/starpoint-test/1.0.0");

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    star: websocket_star::Behaviour,
    stream: libp2p_stream::Behaviour,
}

pub(crate) type Event = SwarmEvent<BehaviourEvent>;

/// A swarm with one home, driven by a task.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    control: Control,
    incoming: IncomingStreams,
    dials: mpsc::UnboundedSender<Multiaddr>,
    events: mpsc::UnboundedReceiver<Event>,
    task: JoinHandle<()>,
}

impl Peer {
    /// Makes the star a home and waits until it is live.
    pub(crate) async fn live(star: &OriginalStar) -> Self {
        let mut swarm = swarm();
        swarm
            .listen_on(star.address())
            .expect("the address of a star");
        let mut control = swarm.behaviour().stream.new_control();
        let incoming = control.accept(PROTOCOL).expect("it is accepted once");
        let (dials, wanted) = mpsc::unbounded_channel();
        let (to_events, events) = mpsc::unbounded_channel();
        let mut peer = Self {
            id: *swarm.local_peer_id(),
            control,
            incoming,
            dials,
            events,
            task: tokio::spawn(drive(swarm, wanted, to_events)),
        };
        let own = star.address_of(peer.id);
        peer.until(
            "home is live",
            |event| matches!(event, SwarmEvent::NewListenAddr { address, .. } if *address == own),
        )
        .await;
        peer
    }

    /// Waits for an event.
    pub(crate) async fn until(&mut self, what: &str, mut wanted: impl FnMut(&Event) -> bool) {
        let search = async {
            loop {
                let event = self.events.recv().await.expect("the swarm runs");
                if wanted(&event) {
                    return;
                }
            }
        };
        within(what, search).await;
    }

    /// Waits for an event of the transport's behaviour.
    pub(crate) async fn until_star(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&websocket_star::Event) -> bool,
    ) {
        self.until(what, |event| {
            matches!(event, SwarmEvent::Behaviour(BehaviourEvent::Star(event)) if wanted(event))
        })
        .await;
    }

    /// Waits until the star tells of this peer.
    pub(crate) async fn discovers(&mut self, other: PeerId) {
        self.until_star("discovery", |event| {
            matches!(event, websocket_star::Event::PeerJoined { peer, .. } if *peer == other)
        })
        .await;
    }

    /// Waits until the swarm has told of both losses, whichever comes first.
    pub(crate) async fn loses_its_home_and_connection(&mut self) {
        let (mut is_homeless, mut is_alone) = (false, false);
        self.until("loss of home and connection", |event| {
            if let SwarmEvent::Behaviour(BehaviourEvent::Star(event)) = event {
                is_homeless |= matches!(event, websocket_star::Event::HomeLost { .. });
            } else if let SwarmEvent::ConnectionClosed { cause, .. } = event {
                assert!(cause.is_some(), "a lost star is no end");
                is_alone = true;
            }
            is_homeless && is_alone
        })
        .await;
    }

    /// Dials an address and waits for the connection with this peer.
    pub(crate) async fn dial(&mut self, address: Multiaddr, other: PeerId) {
        self.dials.send(address).expect("the swarm runs");
        self.until("connection", |event| {
            assert!(
                !matches!(event, SwarmEvent::OutgoingConnectionError { .. }),
                "{event:?}"
            );
            matches!(event, SwarmEvent::ConnectionEstablished { peer_id, .. } if *peer_id == other)
        })
        .await;
    }

    pub(crate) async fn open_stream(&mut self, other: PeerId) -> libp2p::Stream {
        let opening = self.control.open_stream(other, PROTOCOL);
        within("stream", opening).await.expect("it is accepted")
    }

    pub(crate) async fn accept(&mut self) -> (PeerId, libp2p::Stream) {
        let accepted = within("inbound stream", self.incoming.next()).await;
        accepted.expect("the swarm runs")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn swarm() -> Swarm<Behaviour> {
    let keypair = Keypair::generate_ed25519();
    let (transport, star) = websocket_star::new(config(), keypair.clone());
    let noise = noise::Config::new(&keypair).expect("the key can sign");
    let transport = transport
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed();
    SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|_| transport)
        .expect("the transport is there")
        .with_behaviour(|_| Behaviour {
            star,
            stream: libp2p_stream::Behaviour::new(),
        })
        .expect("the behaviour is there")
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(2 * DEADLINE))
        .build()
}

async fn drive(
    mut swarm: Swarm<Behaviour>,
    mut dials: mpsc::UnboundedReceiver<Multiaddr>,
    events: mpsc::UnboundedSender<Event>,
) {
    loop {
        tokio::select! {
            address = dials.recv() => match address {
                Some(address) => swarm.dial(address).expect("the address can be dialed"),
                None => return,
            },
            event = swarm.select_next_some() => {
                // The test may have dropped the peer.
                let _ = events.send(event);
            }
        }
    }
}
