//! A peer under load: it joins a target, dials, and is dialed.
//!
//! Whatever carries them, two parties get a plain stream of bytes. Each stream
//! begins with a greeting, a byte each way: a dial is finished when the first
//! byte has come back.

mod copy;
mod star;
mod swarm;
mod traffic;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use futures_util::{
    AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _,
    io::{AsyncRead, AsyncWrite},
    stream,
};
use libp2p::{Multiaddr, PeerId};
use libp2p_websocket_star::{Config, Namespace, StarAddress};
use tokio::{sync::mpsc, time::timeout};

pub(crate) use copy::Carrier;
pub(crate) use traffic::Traffic;

/// Time to join, and time to dial with the greeting.
const DEADLINE: Duration = Duration::from_secs(30);

/// Parties that join at the same time.
const JOINS_AT_ONCE: usize = 64;

/// Streams of one party that nobody has taken yet.
const MAX_INCOMING: usize = 64;

/// A stream between two parties.
pub(crate) type ByteStream = Box<dyn Duplex>;

/// Reads and writes.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// What runs between two parties above what the target carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layers {
    /// Nothing: the stream is that of the target.
    Raw,
    /// A swarm each, with Noise and Yamux.
    Swarm,
}

impl Layers {
    /// Returns the name in the results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Swarm => "noise+yamux",
        }
    }
}

/// Where parties join.
#[derive(Clone, Debug)]
pub(crate) enum Entrance {
    Star(Arc<StarEntrance>),
    /// A circuit relay; its address ends with its peer id.
    RelayV2(Multiaddr),
    Copy(Carrier),
    /// In front of a service: there are no peers.
    Proxy(SocketAddr),
}

/// A star, and how to speak with it. All parties share the settings, because
/// reading certificates takes milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct StarEntrance {
    address: StarAddress,
    config: Config,
}

impl StarEntrance {
    /// Creates an entrance whose parties count what they receive in `traffic`.
    pub(crate) fn new(address: StarAddress, mut config: Config, traffic: Arc<Traffic>) -> Self {
        config.connector = traffic::counting(config.connector, traffic);
        Self { address, config }
    }

    pub(crate) fn multiaddr(&self) -> Multiaddr {
        self.address.to_multiaddr()
    }

    fn apart(&self) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let name = format!("apart-{}", LAST.fetch_add(1, Ordering::Relaxed));
        let config = Config {
            namespaces: Namespace::parse(&name).into_iter().collect(),
            ..self.config.clone()
        };
        let address = self.address.clone();
        Self { address, config }
    }
}

impl Entrance {
    /// Returns an entrance to a namespace that nobody else is in; relays have none.
    pub(crate) fn apart(&self) -> Self {
        match self {
            Self::Star(star) => Self::Star(Arc::new(star.apart())),
            Self::RelayV2(_) | Self::Copy(_) | Self::Proxy(_) => self.clone(),
        }
    }
}

/// How one party reaches another.
#[derive(Clone, Debug)]
enum Address {
    Peer(PeerId, Multiaddr),
    Copy(copy::Bell),
}

/// A party that has joined. Dropping it cuts its connections.
pub(crate) struct Party {
    kind: Kind,
    incoming: mpsc::Receiver<ByteStream>,
}

enum Kind {
    Star(star::StarPeer),
    Swarm(swarm::SwarmPeer),
    Copy(copy::CopyPeer),
}

impl Party {
    /// Joins. A relay always has a swarm, a copying relay never.
    ///
    /// # Errors
    ///
    /// The target refuses, or does not answer in time.
    pub(crate) async fn join(entrance: &Entrance, layers: Layers) -> anyhow::Result<Self> {
        let (streams, incoming) = mpsc::channel(MAX_INCOMING);
        let join = async {
            Ok(match (entrance, layers) {
                (Entrance::Star(star), Layers::Raw) => {
                    Kind::Star(star::StarPeer::join(star, streams).await?)
                }
                (Entrance::Star(star), Layers::Swarm) => {
                    Kind::Swarm(swarm::SwarmPeer::join_star(star, streams).await?)
                }
                (Entrance::RelayV2(relay), _) => {
                    Kind::Swarm(swarm::SwarmPeer::join_relay(relay, streams).await?)
                }
                (Entrance::Copy(carrier), _) => {
                    Kind::Copy(copy::CopyPeer::join(*carrier, streams).await?)
                }
                (Entrance::Proxy(_), _) => anyhow::bail!("nobody can join a proxy"),
            })
        };
        let kind: anyhow::Result<Kind> = timeout(DEADLINE, join)
            .await
            .context("join takes too long")?;
        let kind = kind.context("cannot join")?;
        Ok(Self { kind, incoming })
    }

    /// Joins many.
    ///
    /// # Errors
    ///
    /// One of them cannot join.
    pub(crate) async fn join_many(
        entrance: &Entrance,
        layers: Layers,
        n_parties: usize,
    ) -> anyhow::Result<Vec<Self>> {
        let mut joins = stream::iter(0..n_parties)
            .map(|_| Self::join(entrance, layers))
            .buffer_unordered(JOINS_AT_ONCE);
        let mut parties = Vec::with_capacity(n_parties);
        while let Some(party) = joins.next().await {
            parties.push(party?);
        }
        Ok(parties)
    }

    /// Dials, and waits until the greeting has come back.
    async fn dial(&self, to: &Address) -> anyhow::Result<ByteStream> {
        let dial = async {
            let mut stream = match (&self.kind, to) {
                (Kind::Star(peer), Address::Peer(_, address)) => peer.dial(address).await?,
                (Kind::Swarm(peer), Address::Peer(id, address)) => peer.dial(*id, address).await?,
                (Kind::Copy(peer), Address::Copy(bell)) => peer.dial(bell).await?,
                (Kind::Star(_) | Kind::Swarm(_), Address::Copy(_))
                | (Kind::Copy(_), Address::Peer(..)) => anyhow::bail!("parties of two targets"),
            };
            stream.write_all(&[0]).await?;
            stream.flush().await?;
            stream.read_exact(&mut [0]).await?;
            Ok(stream)
        };
        let stream: anyhow::Result<ByteStream> = timeout(DEADLINE, dial)
            .await
            .context("dial takes too long")?;
        stream.context("cannot dial")
    }

    fn address(&self) -> Address {
        match &self.kind {
            Kind::Star(peer) => peer.address(),
            Kind::Swarm(peer) => peer.address(),
            Kind::Copy(peer) => peer.address(),
        }
    }
}

/// Answers the greeting of a stream that came in, then hands it over.
async fn greet(mut stream: ByteStream, streams: mpsc::Sender<ByteStream>) -> anyhow::Result<()> {
    stream.read_exact(&mut [0]).await?;
    stream.write_all(&[0]).await?;
    stream.flush().await?;
    streams
        .send(stream)
        .await
        .ok()
        .context("the party has left")
}

/// Two parties of which one dials the other, one stream at a time.
pub(crate) struct Pair {
    caller: Party,
    callee: Party,
}

/// Both ends of a stream, and how long it took to get it.
pub(crate) struct Connected {
    pub(crate) caller: ByteStream,
    pub(crate) callee: ByteStream,
    pub(crate) took: Duration,
}

impl Pair {
    /// Joins two parties for each pair.
    ///
    /// # Errors
    ///
    /// One of them cannot join.
    pub(crate) async fn join_many(
        entrance: &Entrance,
        layers: Layers,
        n_pairs: usize,
    ) -> anyhow::Result<Vec<Self>> {
        let mut parties = Party::join_many(entrance, layers, 2 * n_pairs).await?;
        let mut pairs = Vec::with_capacity(n_pairs);
        while let (Some(caller), Some(callee)) = (parties.pop(), parties.pop()) {
            pairs.push(Self { caller, callee });
        }
        Ok(pairs)
    }

    /// Dials.
    ///
    /// # Errors
    ///
    /// The target or the callee refuses, or does not answer in time.
    pub(crate) async fn connect(&mut self) -> anyhow::Result<Connected> {
        let began = tokio::time::Instant::now();
        let caller = self.caller.dial(&self.callee.address()).await?;
        let took = began.elapsed();
        let callee = timeout(DEADLINE, self.callee.incoming.recv()).await;
        let callee = callee
            .context("callee takes too long")?
            .context("callee has left")?;
        Ok(Connected {
            caller,
            callee,
            took,
        })
    }

    /// Ends a stream in good order, and the connection below it.
    ///
    /// # Errors
    ///
    /// An end does not go through in time.
    pub(crate) async fn disconnect(&mut self, connected: Connected) -> anyhow::Result<()> {
        let Connected {
            mut caller,
            mut callee,
            took: _,
        } = connected;
        let close = async {
            // An end that is gone already has closed.
            let _ = tokio::join!(caller.close(), callee.close());
            drop((caller, callee));
            if let (Kind::Swarm(peer), Kind::Swarm(other)) = (&self.caller.kind, &self.callee.kind)
            {
                peer.hang_up(other.id()).await;
            }
        };
        timeout(DEADLINE, close)
            .await
            .context("close takes too long")
    }
}
