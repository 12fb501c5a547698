//! The transport without a swarm, for raw streams.

use std::{pin::Pin, task::Poll, time::Duration};

use libp2p::{
    Multiaddr, PeerId, Transport as _,
    core::{
        Endpoint,
        transport::{DialOpts, ListenerId, PortUse, TransportEvent},
    },
    futures::future::poll_fn,
    identity::Keypair,
};
use libp2p_websocket_star::{self as websocket_star, Config, Error, Stream, Transport};
use starpoint_test_support::within;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::star::OriginalStar;

/// Returns the defaults, with quick retries.
pub(crate) fn config() -> Config {
    Config {
        backoff_base: Duration::from_millis(50),
        backoff_cap: Duration::from_millis(200),
        ..Config::default()
    }
}

/// What a listener says.
#[derive(Debug)]
pub(crate) enum News {
    NewAddress(Multiaddr),
    AddressExpired(Multiaddr),
    Error(Error),
}

type Dial = (Multiaddr, oneshot::Sender<Result<Stream, Error>>);

/// A transport with one home, driven by a task; it accepts what is dialed.
pub(crate) struct Node {
    pub(crate) id: PeerId,
    dials: mpsc::UnboundedSender<Dial>,
    inbound: mpsc::UnboundedReceiver<(Stream, Multiaddr)>,
    news: mpsc::UnboundedReceiver<News>,
    task: JoinHandle<()>,
    _behaviour: websocket_star::Behaviour,
}

impl Node {
    /// Makes the star a home.
    pub(crate) fn new(star: &OriginalStar, config: Config) -> Self {
        let keypair = Keypair::generate_ed25519();
        let id = keypair.public().to_peer_id();
        let (mut transport, behaviour) = websocket_star::new(config, keypair);
        transport
            .listen_on(ListenerId::next(), star.address())
            .expect("the address of a star");
        let (dials, wanted) = mpsc::unbounded_channel();
        let (to_inbound, inbound) = mpsc::unbounded_channel();
        let (to_news, news) = mpsc::unbounded_channel();
        Self {
            id,
            dials,
            inbound,
            news,
            task: tokio::spawn(drive(transport, wanted, to_inbound, to_news)),
            _behaviour: behaviour,
        }
    }

    /// Makes the star a home and waits until it is live.
    pub(crate) async fn live(star: &OriginalStar) -> Self {
        let mut node = Self::new(star, config());
        node.until_live(star).await;
        node
    }

    pub(crate) async fn until_live(&mut self, star: &OriginalStar) {
        let own = star.address_of(self.id);
        loop {
            if matches!(self.next_news().await, News::NewAddress(address) if address == own) {
                return;
            }
        }
    }

    pub(crate) async fn next_news(&mut self) -> News {
        let news = within("news of the home", self.news.recv()).await;
        news.expect("the transport runs")
    }

    pub(crate) async fn dial(&self, address: Multiaddr) -> Result<Stream, Error> {
        let (reply, answer) = oneshot::channel();
        let order = (address, reply);
        self.dials.send(order).expect("the transport runs");
        within("dial", answer).await.expect("the transport runs")
    }

    /// Returns the next inbound stream and the dialer's address.
    pub(crate) async fn accept(&mut self) -> (Stream, Multiaddr) {
        let accepted = within("inbound dial", self.inbound.recv()).await;
        accepted.expect("the transport runs")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn drive(
    mut transport: Transport,
    mut dials: mpsc::UnboundedReceiver<Dial>,
    inbound: mpsc::UnboundedSender<(Stream, Multiaddr)>,
    news: mpsc::UnboundedSender<News>,
) {
    poll_fn(|cx| {
        while let Poll::Ready(order) = dials.poll_recv(cx) {
            match order {
                Some(order) => dial(&mut transport, order),
                None => return Poll::Ready(()),
            }
        }
        while let Poll::Ready(event) = Pin::new(&mut transport).poll(cx) {
            handle(event, &inbound, &news);
        }
        Poll::Pending
    })
    .await;
}

fn dial(transport: &mut Transport, (address, reply): Dial) {
    let opts = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let dial = transport.dial(address, opts).expect("a star address");
    tokio::spawn(async move {
        let dialed = dial.await.map_err(|failure| failure.reason().clone());
        // The test may have given up.
        let _ = reply.send(dialed);
    });
}

type TransportNews = TransportEvent<
    <Transport as libp2p::Transport>::ListenerUpgrade,
    <Transport as libp2p::Transport>::Error,
>;

fn handle(
    event: TransportNews,
    inbound: &mpsc::UnboundedSender<(Stream, Multiaddr)>,
    news: &mpsc::UnboundedSender<News>,
) {
    let item = match event {
        TransportEvent::Incoming {
            upgrade,
            send_back_addr,
            ..
        } => {
            let inbound = inbound.clone();
            tokio::spawn(async move {
                let stream = upgrade.await.expect("the star carries the stream");
                // The test may have dropped the node.
                let _ = inbound.send((stream, send_back_addr));
            });
            return;
        }
        TransportEvent::NewAddress { listen_addr, .. } => News::NewAddress(listen_addr),
        TransportEvent::AddressExpired { listen_addr, .. } => News::AddressExpired(listen_addr),
        TransportEvent::ListenerError { error, .. } => News::Error(error.reason().clone()),
        TransportEvent::ListenerClosed { reason, .. } => panic!("nobody closes it: {reason:?}"),
    };
    // The test may have dropped the node.
    let _ = news.send(item);
}
