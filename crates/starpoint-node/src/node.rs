//! The handle of a running node.

use std::{io, sync::Arc, time::Duration};

use libp2p::{Multiaddr, PeerId, StreamProtocol, core::transport::TransportError};
use libp2p_websocket_star::{Gauges, StarAddress};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    config::Config,
    error::{DialError, IncomingError, OpenStreamError, PingError, StartError, Stopped},
    event::{EventQueue, Events},
    ping::Pinger,
    stream::{Incoming, Inlets, Request, Stream},
    swarm,
    task::{Command, Task},
};

/// Commands that wait for the task; whoever gives one more waits, too.
const MAX_WAITING_COMMANDS: usize = 64;

/// Starts a node. Has to be called in a tokio runtime with IO and time.
///
/// The addresses to listen on are taken when this returns; stars are connected
/// later, which [`Event::StarLive`](crate::Event::StarLive) tells.
///
/// # Errors
///
/// [`StartError`]; nothing is left running then.
pub fn start(config: Config) -> Result<(Node, Events), StartError> {
    let mut swarm = swarm::build(&config)?;
    let mut homes = Vec::new();
    for star in &config.stars {
        if StarAddress::try_from(star).is_err() {
            let address = star.clone();
            return Err(StartError::NotAStar { address });
        }
        homes.push(listen(&mut swarm, star)?);
    }
    for address in &config.listen {
        if StarAddress::try_from(address).is_ok() {
            let address = address.clone();
            return Err(StartError::ListenUnsupported { address });
        }
        listen(&mut swarm, address)?;
    }

    let (queue, events) = EventQueue::new(config.max_waiting_events.get());
    let (commands, requests) = mpsc::channel(MAX_WAITING_COMMANDS);
    let gauges = swarm.behaviour().star.gauges();
    let inlets = swarm.behaviour().stream.inlets();
    let task = Task::new(swarm, homes, requests, queue, config.shutdown_deadline);
    let running = Running {
        peer: config.peer_id(),
        commands,
        inlets,
        gauges,
        max_waiting_streams: config.max_waiting_streams.get(),
        _task: AbortOnDropHandle::new(tokio::spawn(task.run())),
    };
    Ok((Node(Arc::new(running)), events))
}

fn listen(
    swarm: &mut libp2p::Swarm<crate::behaviour::Behaviour>,
    address: &Multiaddr,
) -> Result<libp2p::core::transport::ListenerId, StartError> {
    swarm
        .listen_on(address.clone())
        .map_err(|error| match error {
            TransportError::MultiaddrNotSupported(address) => {
                StartError::ListenUnsupported { address }
            }
            TransportError::Other(source) => StartError::Listen {
                address: address.clone(),
                source,
            },
        })
}

/// A running node. Cheap to clone; when the last clone is dropped the node is
/// cut off, without a word to anybody: [`shutdown`](Self::shutdown) is polite.
#[derive(Clone)]
pub struct Node(Arc<Running>);

struct Running {
    peer: PeerId,
    commands: mpsc::Sender<Command>,
    inlets: Inlets,
    gauges: Gauges,
    max_waiting_streams: usize,
    _task: AbortOnDropHandle<()>,
}

impl Node {
    /// Returns the id of the node.
    pub fn peer_id(&self) -> PeerId {
        self.0.peer
    }

    /// Returns where others can dial the node now, at stars and directly, each
    /// address with its id.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn addresses(&self) -> Result<Vec<Multiaddr>, Stopped> {
        self.ask(Command::Addresses).await
    }

    /// Returns the peers that are at the node's stars now, with the addresses at
    /// which they can be dialed.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn peers(&self) -> Result<Vec<(PeerId, Vec<Multiaddr>)>, Stopped> {
        self.ask(Command::Peers).await
    }

    /// Connects to the peer at `address` and returns its proved id. With a
    /// connection already, it is taken; several dials of one address are one.
    ///
    /// An address without `/p2p/<id>` takes whoever answers, which stars do not
    /// offer. Dropping the future does not stop the dial.
    ///
    /// # Errors
    ///
    /// [`DialError`].
    pub async fn dial(&self, address: Multiaddr) -> Result<PeerId, DialError> {
        self.ask(|reply| Command::Dial { address, reply }).await?
    }

    /// Connects to a peer at any of the stars that it shares with this node. With
    /// a connection already, it is taken.
    ///
    /// # Errors
    ///
    /// [`DialError`].
    pub async fn connect(&self, peer: PeerId) -> Result<(), DialError> {
        self.ask(|reply| Command::Connect { peer, reply }).await??;
        Ok(())
    }

    /// Opens a stream of plain bytes to a peer, connecting to it first as
    /// [`connect`](Self::connect) does. The peer has 10 s to agree to it.
    ///
    /// Cancel safe: dropping the future gives up the stream, and one that is opened
    /// all the same is reset.
    ///
    /// # Errors
    ///
    /// [`OpenStreamError`].
    pub async fn open_stream(
        &self,
        peer: PeerId,
        protocol: StreamProtocol,
    ) -> Result<Stream, OpenStreamError> {
        self.connect(peer).await?;
        let (reply, answer) = oneshot::channel();
        let request = Request { protocol, reply };
        let command = Command::OpenStream { peer, request };
        let sent = self.0.commands.send(command).await;
        sent.map_err(|_| DialError::Stopped(Stopped))?;
        // A connection that ends answers nobody.
        let lost = |_| OpenStreamError::Lost(io::ErrorKind::NotConnected.into());
        answer.await.map_err(lost)?
    }

    /// Takes the streams that others open with `protocol`, until the result is
    /// dropped.
    ///
    /// # Errors
    ///
    /// [`IncomingError::Taken`] while another [`Incoming`] takes them.
    pub fn incoming(&self, protocol: StreamProtocol) -> Result<Incoming, IncomingError> {
        self.0.inlets.take(protocol, self.0.max_waiting_streams)
    }

    /// Measures one round trip to a peer, connecting to it first as
    /// [`connect`](Self::connect) does. Use a [`pinger`](Self::pinger) for more
    /// than one.
    ///
    /// # Errors
    ///
    /// [`PingError`].
    pub async fn ping(&self, peer: PeerId, deadline: Duration) -> Result<Duration, PingError> {
        self.pinger(peer).await?.ping(deadline).await
    }

    /// Opens a stream for pings, which every libp2p peer answers.
    ///
    /// # Errors
    ///
    /// [`OpenStreamError`].
    pub async fn pinger(&self, peer: PeerId) -> Result<Pinger, OpenStreamError> {
        Pinger::open(self.clone(), peer).await
    }

    /// Returns how much the node holds at stars.
    pub fn gauges(&self) -> Gauges {
        self.0.gauges.clone()
    }

    /// Closes connections, leaves the stars and stops, within
    /// [`shutdown_deadline`](crate::Config::shutdown_deadline). What was written
    /// before is sent. Streams that are open end; their peers read 0 bytes. A node that has stopped is fine.
    ///
    /// Dropping the future does not stop the shutdown.
    pub async fn shutdown(&self) {
        // It has stopped already, or it does now.
        let _ = self.ask(Command::Shutdown).await;
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        let sent = self.0.commands.send(command(reply)).await;
        sent.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("peer", &self.0.peer)
            .finish_non_exhaustive()
    }
}
