//! The task that owns the swarm.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    time::Duration,
};

use futures_util::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::{
        ConnectedPoint,
        transport::{ListenerId, TransportError},
    },
    multiaddr::Protocol,
    swarm::{
        self, ConnectionId, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use libp2p_websocket_star as websocket_star;
use tokio::sync::{mpsc, oneshot};

use crate::{
    behaviour::{Behaviour, BehaviourEvent},
    error::DialError,
    event::{Direction, Event, EventQueue},
    stream::Request,
};

type DialReply = oneshot::Sender<Result<PeerId, DialError>>;

/// What the handle asks for.
pub(crate) enum Command {
    Addresses(oneshot::Sender<Vec<Multiaddr>>),
    Peers(oneshot::Sender<Vec<(PeerId, Vec<Multiaddr>)>>),
    Dial {
        address: Multiaddr,
        reply: DialReply,
    },
    Connect {
        peer: PeerId,
        reply: DialReply,
    },
    OpenStream {
        peer: PeerId,
        request: Request,
    },
    Shutdown(oneshot::Sender<()>),
}

/// What is dialed; several that ask for the same share one dial.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Address(Multiaddr),
    Peer(PeerId),
}

struct Dial {
    target: Target,
    replies: Vec<DialReply>,
}

pub(crate) struct Task {
    swarm: Swarm<Behaviour>,
    homes: Vec<ListenerId>,
    commands: mpsc::Receiver<Command>,
    events: EventQueue,
    dials: HashMap<ConnectionId, Dial>,
    targets: BTreeMap<Target, ConnectionId>,
    shutdown_deadline: Duration,
}

impl Task {
    pub(crate) fn new(
        swarm: Swarm<Behaviour>,
        homes: Vec<ListenerId>,
        commands: mpsc::Receiver<Command>,
        events: EventQueue,
        shutdown_deadline: Duration,
    ) -> Self {
        Self {
            swarm,
            homes,
            commands,
            events,
            dials: HashMap::new(),
            targets: BTreeMap::new(),
            shutdown_deadline,
        }
    }

    /// Runs until the handle asks for an end or is gone.
    pub(crate) async fn run(mut self) {
        let done = loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Shutdown(done)) => break Some(done),
                    Some(command) => self.execute(command),
                    None => break None,
                },
                event = self.swarm.select_next_some() => self.handle(event),
            }
        };
        if let Some(done) = done {
            // Who did not hear of it in time hears it from the network.
            let left = tokio::time::timeout(self.shutdown_deadline, self.leave()).await;
            if !matches!(left, Ok(Ok(()))) {
                tracing::debug!("Shutdown cut short");
            }
            drop(self);
            let _ = done.send(());
        }
    }

    fn execute(&mut self, command: Command) {
        // A receiver that is gone has lost interest.
        match command {
            Command::Addresses(reply) => drop(reply.send(self.addresses())),
            Command::Peers(reply) => {
                drop(reply.send(self.swarm.behaviour().star.peers().collect()));
            }
            Command::Dial { address, reply } => {
                let known = match address.iter().last() {
                    Some(Protocol::P2p(peer)) => Some(peer),
                    Some(_) | None => None,
                };
                let options = match known {
                    Some(peer) => DialOpts::peer_id(peer)
                        .condition(PeerCondition::Always)
                        .addresses(vec![address.clone()])
                        .build(),
                    None => DialOpts::unknown_peer_id().address(address.clone()).build(),
                };
                self.dial(known, Target::Address(address), options, reply);
            }
            Command::Connect { peer, reply } => {
                let options = DialOpts::peer_id(peer)
                    .condition(PeerCondition::Always)
                    .build();
                self.dial(Some(peer), Target::Peer(peer), options, reply);
            }
            Command::OpenStream { peer, request } => {
                self.swarm.behaviour_mut().stream.open(peer, request);
            }
            Command::Shutdown(_) => {}
        }
    }

    /// Starts a dial, or joins one that is on its way.
    fn dial(&mut self, known: Option<PeerId>, target: Target, options: DialOpts, reply: DialReply) {
        if known == Some(*self.swarm.local_peer_id()) {
            drop(reply.send(Err(DialError::DialSelf)));
            return;
        }
        if let Some(peer) = known
            && self.swarm.is_connected(&peer)
        {
            drop(reply.send(Ok(peer)));
            return;
        }
        let on_its_way = self.targets.get(&target).copied();
        if let Some(dial) = on_its_way.and_then(|connection| self.dials.get_mut(&connection)) {
            dial.replies.push(reply);
            return;
        }
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.targets.insert(target.clone(), connection);
                let replies = vec![reply];
                self.dials.insert(connection, Dial { target, replies });
            }
            Err(error) => drop(reply.send(Err(dial_error(error, &target)))),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is foreign and may grow"
    )]
    fn handle(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Star(event)) => self.star(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(_) | BehaviourEvent::Ping(_)) => {}
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.connected(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                ..
            } => self.events.push(Event::Disconnected { peer: peer_id }),
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } => self.failed(connection_id, error),
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } if !self.homes.contains(&listener_id) => {
                self.events.push(Event::Listening { address });
            }
            SwarmEvent::ExpiredListenAddr {
                listener_id,
                address,
            } if !self.homes.contains(&listener_id) => {
                self.events.push(Event::NotListening { address });
            }
            SwarmEvent::ListenerError { listener_id, error }
                if !self.homes.contains(&listener_id) =>
            {
                self.events.push(Event::ListenerError { error });
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                addresses,
                reason,
            } => self.listener_closed(listener_id, addresses, reason),
            other => tracing::trace!(event = ?other, "Swarm event"),
        }
    }

    fn star(&mut self, event: websocket_star::Event) {
        use websocket_star::Event as Star;
        self.events.push(match event {
            Star::HomeConnecting { star } => Event::StarConnecting { star },
            Star::HomeLive { star, address } => Event::StarLive { star, address },
            Star::HomeLost {
                star,
                reason,
                retry_in,
            } => Event::StarLost {
                star,
                reason,
                retry_in,
            },
            Star::PeerJoined { peer, address } => Event::PeerJoined { peer, address },
            Star::PeerLeft { peer, address } => Event::PeerLeft { peer, address },
        });
    }

    fn connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        for reply in self
            .take_dial(connection)
            .into_iter()
            .flat_map(|d| d.replies)
        {
            drop(reply.send(Ok(peer)));
        }
        let direction = if endpoint.is_dialer() {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        self.events.push(Event::Connected {
            peer,
            address: endpoint.get_remote_address().clone(),
            direction,
        });
    }

    fn failed(&mut self, connection: ConnectionId, error: swarm::DialError) {
        let Some(dial) = self.take_dial(connection) else {
            return;
        };
        let mut replies = dial.replies.into_iter();
        if let Some(first) = replies.next() {
            let error = dial_error(error, &dial.target);
            for reply in replies {
                drop(reply.send(Err(error.shared())));
            }
            drop(first.send(Err(error)));
        }
    }

    fn take_dial(&mut self, connection: ConnectionId) -> Option<Dial> {
        let dial = self.dials.remove(&connection)?;
        self.targets.remove(&dial.target);
        Some(dial)
    }

    fn listener_closed(
        &mut self,
        listener: ListenerId,
        addresses: Vec<Multiaddr>,
        reason: Result<(), io::Error>,
    ) {
        if self.homes.contains(&listener) {
            return;
        }
        for address in addresses {
            self.events.push(Event::NotListening { address });
        }
        if let Err(error) = reason {
            self.events.push(Event::ListenerError { error });
        }
    }

    fn addresses(&self) -> Vec<Multiaddr> {
        let own = *self.swarm.local_peer_id();
        let homes = self.swarm.behaviour().star.live_homes().cloned();
        let direct = self.swarm.listeners().cloned();
        let mut addresses: Vec<_> = homes
            .chain(direct)
            .filter_map(|address| address.with_p2p(own).ok())
            .collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }

    /// Closes connections, then leaves the stars, so that what is on its way
    /// goes out first.
    async fn leave(&mut self) -> Result<(), websocket_star::CutShort> {
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // Not connected any more is as good.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        while self.swarm.connected_peers().next().is_some() {
            let event = self.swarm.select_next_some().await;
            self.handle(event);
        }
        let closer = self.swarm.behaviour().star.closer();
        let mut closed = std::pin::pin!(closer.close(self.shutdown_deadline));
        loop {
            tokio::select! {
                done = &mut closed => return done,
                event = self.swarm.select_next_some() => self.handle(event),
            }
        }
    }
}

fn dial_error(error: swarm::DialError, target: &Target) -> DialError {
    match error {
        swarm::DialError::LocalPeerId { .. } => DialError::DialSelf,
        swarm::DialError::NoAddresses => match target {
            Target::Peer(peer) => DialError::NoAddress { peer: *peer },
            Target::Address(address) => DialError::Unsupported {
                address: address.clone(),
            },
        },
        swarm::DialError::DialPeerConditionFalse(_) | swarm::DialError::Aborted => {
            DialError::Aborted
        }
        swarm::DialError::WrongPeerId { obtained, address } => {
            DialError::WrongPeer { address, obtained }
        }
        swarm::DialError::Denied { cause } => DialError::Limit(cause),
        swarm::DialError::Transport(errors) => transport_error(errors),
    }
}

/// Tells an error in one sentence: layers of transports repeat each other.
fn told_once(error: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut told = String::new();
    let mut kind = io::ErrorKind::Other;
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !told.contains(&text) {
            let link = if told.is_empty() { "" } else { ": " };
            told = format!("{told}{link}{text}");
        }
        let io_error = error.downcast_ref::<io::Error>();
        if let Some(io_error) = io_error {
            kind = io_error.kind();
        }
        let wrapped = io_error.and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    io::Error::new(kind, told)
}

/// Chooses the error that says most: that of a star before others, and any
/// before that of an address that nobody speaks.
fn transport_error(errors: Vec<(Multiaddr, TransportError<io::Error>)>) -> DialError {
    let mut chosen: Option<DialError> = None;
    for (address, error) in errors {
        let error = match error {
            TransportError::MultiaddrNotSupported(address) => DialError::Unsupported { address },
            TransportError::Other(source) => match websocket_star::Error::find(&source) {
                Some(star) => DialError::Star {
                    address,
                    source: star.clone(),
                },
                None => match told_once(&source) {
                    source if source.kind() == io::ErrorKind::Unsupported => {
                        DialError::Unsupported { address }
                    }
                    source => DialError::Connect { address, source },
                },
            },
        };
        let is_better = match (&chosen, &error) {
            (None | Some(DialError::Unsupported { .. }), _)
            | (Some(DialError::Connect { .. }), DialError::Star { .. }) => true,
            (Some(_), _) => false,
        };
        if is_better {
            chosen = Some(error);
        }
    }
    chosen.unwrap_or(DialError::Aborted)
}
