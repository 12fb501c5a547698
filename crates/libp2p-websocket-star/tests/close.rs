//! Transports that are closed in good order.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the events of libp2p are foreign, and a test waits for one of them"
)]

use std::{pin::Pin, sync::Arc, time::Duration};

use libp2p::{
    Multiaddr, PeerId, Transport as _,
    core::{
        Endpoint,
        transport::{DialOpts, ListenerId, PortUse, TransportEvent},
    },
    futures::{AsyncReadExt as _, AsyncWriteExt as _, future::poll_fn},
    identity::Keypair,
};
use libp2p_websocket_star::{
    self as websocket_star, Config, CutShort, Error, Profile, Stream, Transport,
};
use starpoint_test_support::{Star, within};

const N_BYTES: usize = 300_000;
const SOON: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_secs(20);

/// A transport without a swarm. It works only while it is driven.
struct Driven {
    transport: Transport,
    id: PeerId,
    /// Without it, the transport has nobody to tell of peers.
    _behaviour: websocket_star::Behaviour,
}

impl Driven {
    fn new(config: Config) -> Self {
        let keypair = Keypair::generate_ed25519();
        let id = keypair.public().to_peer_id();
        let (transport, behaviour) = websocket_star::new(config, keypair);
        Self {
            transport,
            id,
            _behaviour: behaviour,
        }
    }

    /// Waits for what `wanted` wants.
    async fn event<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        within("an event", async {
            loop {
                let event = poll_fn(|cx| Pin::new(&mut self.transport).poll(cx)).await;
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        })
        .await
    }

    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let driven = poll_fn(|cx| {
            while Pin::new(&mut self.transport).poll(cx).is_ready() {}
            work.as_mut().poll(cx)
        });
        within("work beside a transport", driven).await
    }

    async fn dial(&mut self, address: &Multiaddr) -> Result<Stream, Error> {
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let dial = self
            .transport
            .dial(address.clone(), options)
            .expect("it is a star");
        let dialed = self.during(dial).await;
        dialed.map_err(|failure| failure.reason().clone())
    }

    async fn close(&mut self, deadline: Duration) -> Result<(), CutShort> {
        let closer = self.transport.closer();
        self.during(closer.close(deadline)).await
    }
}

type Event = TransportEvent<websocket_star::Accept, websocket_star::Failure>;

fn star_address(star: &Star) -> Multiaddr {
    let text = format!("/ip4/127.0.0.1/tcp/{}/ws/p2p-websocket-star", star.port());
    text.parse().expect("it is an address")
}

/// Settings for streams by pipes and for those that share a connection, with an
/// executor and without.
fn configs() -> [Config; 4] {
    let legacy = |config| Config {
        profile: Profile::Legacy,
        ..config
    };
    [
        Config::default(),
        spawning(),
        legacy(Config::default()),
        legacy(spawning()),
    ]
}

fn spawning() -> Config {
    let executor: fn(Pin<Box<dyn Future<Output = ()> + Send>>) = |task| {
        tokio::spawn(task);
    };
    Config {
        executor: Some(Arc::new(executor)),
        ..Config::default()
    }
}

/// Starts a transport that is live at the star, with its address.
async fn home(star: &Star) -> (Driven, Multiaddr) {
    let mut home = Driven::new(Config::default());
    let listened = home
        .transport
        .listen_on(ListenerId::next(), star_address(star));
    listened.expect("it is a star");
    let address = home
        .event(|event| match event {
            TransportEvent::NewAddress { listen_addr, .. } => Some(listen_addr),
            _ => None,
        })
        .await;
    (home, address)
}

/// Serves one dial; returns what it sends, once it has ended.
async fn read_one(mut home: Driven) -> std::io::Result<Vec<u8>> {
    let accept = home
        .event(|event| match event {
            TransportEvent::Incoming { upgrade, .. } => Some(upgrade),
            _ => None,
        })
        .await;
    home.during(async {
        let mut stream = accept.await.expect("it is there");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await?;
        Ok(received)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_27_what_was_closed_has_arrived_when_the_transport_is_closed() {
    let star = Star::with_args([]);
    for config in configs() {
        let (home, address) = home(&star).await;
        let reading = tokio::spawn(read_one(home));
        let mut dialer = Driven::new(config);
        let gauges = dialer.transport.gauges();
        let mut stream = dialer.dial(&address).await.unwrap();
        let sending = async {
            stream.write_all(&[7; N_BYTES]).await.unwrap();
            stream.close().await.unwrap();
            drop(stream);
        };
        dialer.during(sending).await;
        dialer.close(LATE).await.unwrap();
        assert_eq!((gauges.stars(), gauges.connections()), (0, 0));
        drop(dialer);
        let received = within("the other side", reading).await.unwrap().unwrap();
        assert_eq!(received.len(), N_BYTES);
    }
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_27_a_closed_transport_leaves_its_homes_and_begins_nothing() {
    let star = Star::with_args([]);
    let (mut closed, address) = home(&star).await;
    let (mut other, other_address) = home(&star).await;
    let closer = closed.transport.closer();
    let closing = tokio::spawn(async move { closer.close(LATE).await });
    closed
        .event(|event| matches!(event, TransportEvent::ListenerClosed { .. }).then_some(()))
        .await;
    closed.during(closing).await.unwrap().unwrap();
    // Once more is as good.
    closed.close(LATE).await.unwrap();

    let error = other.dial(&address).await.unwrap_err();
    assert!(matches!(error, Error::PeerNotFound), "{error}");
    let error = closed.dial(&other_address).await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
    let listened = closed
        .transport
        .listen_on(ListenerId::next(), star_address(&star));
    assert!(listened.is_err());
    assert_ne!(closed.id, other.id);

    let closer = closed.transport.closer();
    drop(closed);
    closer.close(LATE).await.unwrap();
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_27_a_stream_that_is_held_is_cut_off_at_the_deadline() {
    let star = Star::with_args([]);
    for config in configs() {
        let (home, address) = home(&star).await;
        let reading = tokio::spawn(read_one(home));
        let mut dialer = Driven::new(config);
        let gauges = dialer.transport.gauges();
        let mut stream = dialer.dial(&address).await.unwrap();
        let cut = dialer.close(SOON).await.unwrap_err();
        assert_eq!(cut.n_stars + cut.n_pipes, 1, "{cut:?}");
        within("the end of the driver", async {
            while gauges.stars() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(stream.read(&mut [0]).await.is_err());
        assert!(within("an error", reading).await.unwrap().is_err());
    }
    star.stop().await;
}
