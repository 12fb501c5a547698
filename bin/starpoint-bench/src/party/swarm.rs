//! A party that is a swarm with Noise and Yamux, at a star or at a circuit relay.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, Transport as _,
    core::upgrade::Version,
    identity::Keypair,
    multiaddr::Protocol,
    noise, relay,
    swarm::{
        self, ConnectionId, NetworkBehaviour, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
    tcp, yamux,
};
use libp2p_stream::{Control, IncomingStreams};
use libp2p_websocket_star as websocket_star;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use super::{Address, ByteStream, StarEntrance, greet};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/starpoint-bench/1");

/// Longer than any measurement: connections end when they are told to.
const IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Time for Noise and Yamux, the dial below them included.
const UPGRADE_DEADLINE: Duration = Duration::from_secs(25);

/// Commands that the task has not begun with.
const MAX_COMMANDS: usize = 16;

#[derive(NetworkBehaviour)]
struct AtStar {
    star: websocket_star::Behaviour,
    stream: libp2p_stream::Behaviour,
}

#[derive(NetworkBehaviour)]
struct AtRelay {
    relay: relay::client::Behaviour,
    stream: libp2p_stream::Behaviour,
}

pub(super) struct SwarmPeer {
    id: PeerId,
    address: Multiaddr,
    control: Control,
    commands: mpsc::Sender<Command>,
    _accepting: AbortOnDropHandle<()>,
    _task: AbortOnDropHandle<()>,
}

enum Command {
    Dial {
        peer: PeerId,
        address: Multiaddr,
        reply: oneshot::Sender<anyhow::Result<()>>,
    },
    HangUp {
        peer: PeerId,
        reply: oneshot::Sender<()>,
    },
}

impl SwarmPeer {
    pub(super) async fn join_star(
        star: &StarEntrance,
        streams: mpsc::Sender<ByteStream>,
    ) -> anyhow::Result<Self> {
        let keypair = Keypair::generate_ed25519();
        let id = keypair.public().to_peer_id();
        let mut config = star.config.clone();
        config.executor = Some(Arc::new(|task| drop(tokio::spawn(task))));
        let (transport, star_behaviour) = websocket_star::new(config, keypair.clone());
        let transport = transport
            .upgrade(Version::V1)
            .authenticate(noise::Config::new(&keypair)?)
            .multiplex(yamux::Config::default())
            .timeout(UPGRADE_DEADLINE)
            .boxed();
        let behaviour = AtStar {
            star: star_behaviour,
            stream: libp2p_stream::Behaviour::new(),
        };
        let control = behaviour.stream.new_control();
        let swarm = Swarm::new(transport, behaviour, id, settings());
        let listen = star.address.to_multiaddr();
        let address = star.address.with_peer(id).to_multiaddr();
        Self::start(swarm, control, listen, address, streams).await
    }

    pub(super) async fn join_relay(
        relay: &Multiaddr,
        streams: mpsc::Sender<ByteStream>,
    ) -> anyhow::Result<Self> {
        let keypair = Keypair::generate_ed25519();
        let id = keypair.public().to_peer_id();
        let noise = noise::Config::new(&keypair)?;
        let (transport, relay_behaviour) = relay::client::new(id);
        let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
        let transport = transport
            .or_transport(tcp)
            .upgrade(Version::V1)
            .authenticate(noise)
            .multiplex(yamux::Config::default())
            .timeout(UPGRADE_DEADLINE)
            .boxed();
        let behaviour = AtRelay {
            relay: relay_behaviour,
            stream: libp2p_stream::Behaviour::new(),
        };
        let control = behaviour.stream.new_control();
        let swarm = Swarm::new(transport, behaviour, id, settings());
        let listen = relay.clone().with(Protocol::P2pCircuit);
        let address = listen.clone().with(Protocol::P2p(id));
        Self::start(swarm, control, listen, address, streams).await
    }

    async fn start<B>(
        mut swarm: Swarm<B>,
        mut control: Control,
        listen: Multiaddr,
        address: Multiaddr,
        streams: mpsc::Sender<ByteStream>,
    ) -> anyhow::Result<Self>
    where
        B: NetworkBehaviour<ToSwarm: Send> + Send,
    {
        let id = *swarm.local_peer_id();
        let incoming = control.accept(PROTOCOL).ok().context("accepts already")?;
        let accepting = tokio::spawn(accept(incoming, streams));
        swarm.listen_on(listen)?;
        let (live, is_live) = oneshot::channel();
        let (commands, requests) = mpsc::channel(MAX_COMMANDS);
        let task = Task {
            swarm,
            requests,
            live: Some(live),
            dials: HashMap::new(),
            hanging_up: HashMap::new(),
        };
        let task = AbortOnDropHandle::new(tokio::spawn(task.run()));
        is_live.await.context("the party has ended")??;
        Ok(Self {
            id,
            address,
            control,
            commands,
            _accepting: AbortOnDropHandle::new(accepting),
            _task: task,
        })
    }

    pub(super) fn id(&self) -> PeerId {
        self.id
    }

    pub(super) fn address(&self) -> Address {
        Address::Peer(self.id, self.address.clone())
    }

    /// Connects unless there is a connection, then opens a stream.
    pub(super) async fn dial(
        &self,
        peer: PeerId,
        address: &Multiaddr,
    ) -> anyhow::Result<ByteStream> {
        let (reply, done) = oneshot::channel();
        let dial = Command::Dial {
            peer,
            address: address.clone(),
            reply,
        };
        let is_gone = "the party has ended";
        self.commands.send(dial).await.ok().context(is_gone)?;
        done.await.context(is_gone)??;
        let stream = self.control.clone().open_stream(peer, PROTOCOL).await?;
        Ok(Box::new(stream))
    }

    /// Closes all connections to a peer and waits until they are gone.
    pub(super) async fn hang_up(&self, peer: PeerId) {
        let (reply, done) = oneshot::channel();
        if self
            .commands
            .send(Command::HangUp { peer, reply })
            .await
            .is_ok()
        {
            // A party that has ended has hung up.
            let _ = done.await;
        }
    }
}

fn settings() -> swarm::Config {
    swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIMEOUT)
}

/// Takes streams the moment they come: below, there is no room for any.
async fn accept(mut incoming: IncomingStreams, streams: mpsc::Sender<ByteStream>) {
    let mut greetings = JoinSet::new();
    loop {
        tokio::select! {
            next = incoming.next() => match next {
                Some((_, stream)) => {
                    greetings.spawn(greet(Box::new(stream), streams.clone()));
                }
                None => return,
            },
            Some(_) = greetings.join_next() => {}
        }
    }
}

/// Owns the swarm.
struct Task<B: NetworkBehaviour> {
    swarm: Swarm<B>,
    requests: mpsc::Receiver<Command>,
    live: Option<oneshot::Sender<anyhow::Result<()>>>,
    dials: HashMap<ConnectionId, oneshot::Sender<anyhow::Result<()>>>,
    hanging_up: HashMap<PeerId, oneshot::Sender<()>>,
}

impl<B: NetworkBehaviour> Task<B> {
    async fn run(mut self) {
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.handle(event),
                request = self.requests.recv() => match request {
                    Some(request) => self.execute(request),
                    None => return,
                },
            }
        }
    }

    // A receiver that is gone has lost interest, here and below.
    fn execute(&mut self, command: Command) {
        match command {
            Command::Dial {
                peer,
                address,
                reply,
            } => {
                if self.swarm.is_connected(&peer) {
                    let _ = reply.send(Ok(()));
                    return;
                }
                let options = DialOpts::peer_id(peer)
                    .condition(PeerCondition::Always)
                    .addresses(vec![address])
                    .build();
                let connection = options.connection_id();
                match self.swarm.dial(options) {
                    Ok(()) => drop(self.dials.insert(connection, reply)),
                    Err(error) => drop(reply.send(Err(error.into()))),
                }
            }
            Command::HangUp { peer, reply } => {
                if self.swarm.disconnect_peer_id(peer).is_ok() {
                    self.hanging_up.insert(peer, reply);
                } else {
                    let _ = reply.send(());
                }
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is foreign and may grow"
    )]
    fn handle(&mut self, event: SwarmEvent<B::ToSwarm>) {
        match event {
            SwarmEvent::NewListenAddr { .. } => self.tell_live(Ok(())),
            SwarmEvent::ListenerError { error, .. } => self.tell_live(Err(error.into())),
            SwarmEvent::ListenerClosed {
                reason: Err(error), ..
            } => self.tell_live(Err(error.into())),
            SwarmEvent::ConnectionEstablished { connection_id, .. } => {
                if let Some(reply) = self.dials.remove(&connection_id) {
                    let _ = reply.send(Ok(()));
                }
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } => {
                if let Some(reply) = self.dials.remove(&connection_id) {
                    let _ = reply.send(Err(error.into()));
                }
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                ..
            } => {
                if let Some(reply) = self.hanging_up.remove(&peer_id) {
                    let _ = reply.send(());
                }
            }
            _ => {}
        }
    }

    fn tell_live(&mut self, outcome: anyhow::Result<()>) {
        if let Some(live) = self.live.take() {
            let _ = live.send(outcome);
        }
    }
}
