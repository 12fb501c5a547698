//! A transport without a swarm: raw streams.

use std::{pin::Pin, task::Poll};

use libp2p::{
    Multiaddr, PeerId, Transport as _,
    core::{
        Endpoint,
        transport::{DialOpts, ListenerId, PortUse, TransportEvent},
    },
    futures::future::poll_fn,
    identity::Keypair,
};
use libp2p_websocket_star::{self as websocket_star, Config, Error, Gauges, Stream, Transport};
use starpoint_test_support::within;
use tokio::sync::{mpsc, oneshot};

use crate::peer::{config, peer_address, star_address};

/// What a node is asked to do.
enum Order {
    Dial(Multiaddr, oneshot::Sender<Result<Stream, Error>>),
    Listen(Multiaddr),
    Remove,
}

/// A transport that a task drives; inbound dials are accepted.
pub(crate) struct Node {
    keypair: Keypair,
    pub(crate) id: PeerId,
    pub(crate) gauges: Gauges,
    orders: mpsc::UnboundedSender<Order>,
    inbound: mpsc::UnboundedReceiver<(Stream, Multiaddr)>,
    news: mpsc::UnboundedReceiver<News>,
    task: tokio::task::JoinHandle<()>,
    _behaviour: websocket_star::Behaviour,
}

/// What a listener says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    NewAddress(Multiaddr),
    AddressExpired(Multiaddr),
    Error(String),
    Closed,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with(config(), None)
    }

    /// Listens on the star of this port and waits until it is live.
    pub(crate) async fn at(port: u16) -> Self {
        Self::at_with(port, config()).await
    }

    pub(crate) async fn at_with(port: u16, config: Config) -> Self {
        let mut node = Self::with(config, Some(star_address(port)));
        let own = peer_address(port, node.id);
        node.until(&News::NewAddress(own)).await;
        node
    }

    pub(crate) fn with(config: Config, home: Option<Multiaddr>) -> Self {
        Self::as_peer(Keypair::generate_ed25519(), config, home)
    }

    /// A node that is the same peer as this one, live at the star of this port.
    pub(crate) async fn twin(&self, port: u16) -> Self {
        let keypair = self.keypair.clone();
        let mut twin = Self::as_peer(keypair, config(), Some(star_address(port)));
        let own = peer_address(port, twin.id);
        twin.until(&News::NewAddress(own)).await;
        twin
    }

    fn as_peer(keypair: Keypair, config: Config, home: Option<Multiaddr>) -> Self {
        let id = keypair.public().to_peer_id();
        let (mut transport, behaviour) = websocket_star::new(config, keypair.clone());
        let gauges = transport.gauges();
        let listener = ListenerId::next();
        if let Some(home) = home {
            transport.listen_on(listener, home).unwrap();
        }
        let (orders, wanted) = mpsc::unbounded_channel();
        let (to_inbound, inbound) = mpsc::unbounded_channel();
        let (to_news, news) = mpsc::unbounded_channel();
        let outlets = (to_inbound, to_news);
        let task = tokio::spawn(drive(transport, listener, wanted, outlets));
        Self {
            keypair,
            id,
            gauges,
            orders,
            inbound,
            news,
            task,
            _behaviour: behaviour,
        }
    }

    pub(crate) async fn dial(&self, address: Multiaddr) -> Result<Stream, Error> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Dial(address, reply)).unwrap();
        within("dial", answer).await.unwrap()
    }

    pub(crate) async fn accept(&mut self) -> Stream {
        within("inbound dial", self.inbound.recv()).await.unwrap().0
    }

    /// Returns the dialer's address with the stream.
    pub(crate) async fn accept_from(&mut self) -> (Stream, Multiaddr) {
        within("inbound dial", self.inbound.recv()).await.unwrap()
    }

    /// Listens on one more star.
    pub(crate) fn listen_on(&self, star: Multiaddr) {
        self.orders.send(Order::Listen(star)).unwrap();
    }

    pub(crate) fn remove_listener(&self) {
        self.orders.send(Order::Remove).unwrap();
    }

    pub(crate) async fn next_news(&mut self) -> News {
        within("news of a listener", self.news.recv())
            .await
            .unwrap()
    }

    pub(crate) async fn until(&mut self, wanted: &News) {
        while self.next_news().await != *wanted {}
    }

    /// Drops the transport.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        // An aborted task reports that it was.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn drive(
    mut transport: Transport,
    listener: ListenerId,
    mut orders: mpsc::UnboundedReceiver<Order>,
    (inbound, news): (
        mpsc::UnboundedSender<(Stream, Multiaddr)>,
        mpsc::UnboundedSender<News>,
    ),
) {
    poll_fn(|cx| {
        while let Poll::Ready(order) = orders.poll_recv(cx) {
            match order {
                Some(Order::Dial(address, reply)) => dial(&mut transport, address, reply),
                Some(Order::Listen(star)) => {
                    transport.listen_on(ListenerId::next(), star).unwrap();
                }
                Some(Order::Remove) => assert!(transport.remove_listener(listener)),
                None => return Poll::Ready(()),
            }
        }
        while let Poll::Ready(event) = Pin::new(&mut transport).poll(cx) {
            // The test may have dropped the receiver.
            let _ = match event {
                TransportEvent::Incoming {
                    upgrade,
                    send_back_addr,
                    ..
                } => {
                    let inbound = inbound.clone();
                    tokio::spawn(async move {
                        if let Ok(stream) = upgrade.await {
                            let _ = inbound.send((stream, send_back_addr));
                        }
                    });
                    Ok(())
                }
                TransportEvent::NewAddress { listen_addr, .. } => {
                    news.send(News::NewAddress(listen_addr))
                }
                TransportEvent::AddressExpired { listen_addr, .. } => {
                    news.send(News::AddressExpired(listen_addr))
                }
                TransportEvent::ListenerError { error, .. } => {
                    news.send(News::Error(error.reason().to_string()))
                }
                TransportEvent::ListenerClosed { .. } => news.send(News::Closed),
            };
        }
        Poll::Pending
    })
    .await;
}

fn dial(
    transport: &mut Transport,
    address: Multiaddr,
    reply: oneshot::Sender<Result<Stream, Error>>,
) {
    let opts = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let dial = transport.dial(address, opts).expect("a star address");
    tokio::spawn(async move {
        let dialed = dial.await.map_err(|failure| failure.reason().clone());
        let _ = reply.send(dialed);
    });
}

/// Two nodes at a star, and a stream between them: the dialer's side first.
pub(crate) async fn connected(port: u16, config: &Config) -> (Node, Stream, Node, Stream) {
    let dialer = Node::at_with(port, config.clone()).await;
    let mut listener = Node::at_with(port, config.clone()).await;
    let there = dialer
        .dial(peer_address(port, listener.id))
        .await
        .expect("the peer is there");
    let here = listener.accept().await;
    (dialer, there, listener, here)
}
