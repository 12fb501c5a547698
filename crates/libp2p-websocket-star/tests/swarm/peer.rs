//! A swarm with the transport, and ways to wait for what it does.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, Transport as _,
    core::{muxing::StreamMuxerBox, upgrade},
    futures::StreamExt as _,
    identity::Keypair,
    noise, ping,
    swarm::{DialError, NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
    yamux,
};
use libp2p_websocket_star::{self as websocket_star, Config, Error, Gauges, Profile};
use starpoint_test_support::{DEADLINE, Star, StarOptions, within};

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) star: websocket_star::Behaviour,
    pub(crate) ping: ping::Behaviour,
}

pub(crate) type Event = SwarmEvent<BehaviourEvent>;

/// A swarm that a test drives by waiting for its events.
pub(crate) struct Peer {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) gauges: Gauges,
}

/// Returns settings for tests: as the defaults, with quick retries.
pub(crate) fn config() -> Config {
    Config {
        backoff_base: Duration::from_millis(50),
        backoff_cap: Duration::from_millis(200),
        ..Config::default()
    }
}

/// Returns [`config`] for streams by pipes, and for those that share a connection.
pub(crate) fn profiles() -> [Config; 2] {
    let legacy = Config {
        profile: Profile::Legacy,
        ..config()
    };
    [config(), legacy]
}

/// Starts a star with default options.
pub(crate) async fn star() -> Star {
    star_with(StarOptions::default()).await
}

pub(crate) async fn star_with(options: StarOptions) -> Star {
    tokio::task::spawn_blocking(move || Star::start(&options))
        .await
        .expect("the star starts")
}

/// Returns the address of the star on this port.
pub(crate) fn star_address(port: u16) -> Multiaddr {
    format!("/ip4/127.0.0.1/tcp/{port}/ws/p2p-websocket-star")
        .parse()
        .unwrap()
}

pub(crate) fn peer_address(port: u16, peer: PeerId) -> Multiaddr {
    star_address(port).with_p2p(peer).unwrap()
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self::with(config(), Keypair::generate_ed25519())
    }

    pub(crate) fn with(config: Config, keypair: Keypair) -> Self {
        let (transport, star) = websocket_star::new(config, keypair.clone());
        Self::over(transport, star, keypair)
    }

    /// A peer that proves to be `keypair` to other peers, whoever its star takes
    /// it for.
    pub(crate) fn over(
        transport: websocket_star::Transport,
        star: websocket_star::Behaviour,
        keypair: Keypair,
    ) -> Self {
        let gauges = transport.gauges();
        let transport = transport
            .upgrade(upgrade::Version::V1Lazy)
            .authenticate(noise::Config::new(&keypair).unwrap())
            .multiplex(yamux::Config::default())
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
            .boxed();
        let swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_other_transport(|_| transport)
            .unwrap()
            .with_behaviour(|_| Behaviour {
                star,
                ping: ping::Behaviour::new(ping::Config::new().with_interval(DEADLINE)),
            })
            .unwrap()
            .with_swarm_config(|c| c.with_idle_connection_timeout(2 * DEADLINE))
            .build();
        Self { swarm, gauges }
    }

    /// A peer whose home is the star on this port.
    pub(crate) async fn at(port: u16) -> Self {
        let mut peer = Self::new();
        peer.listen(port).await;
        peer
    }

    pub(crate) fn id(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    /// Makes the star a home and waits until it is live.
    pub(crate) async fn listen(&mut self, port: u16) {
        self.swarm.listen_on(star_address(port)).unwrap();
        self.until_live(port).await;
    }

    pub(crate) async fn until_live(&mut self, port: u16) {
        let own = peer_address(port, self.id());
        self.until("home is live", |event| {
            matches!(event, SwarmEvent::NewListenAddr { address, .. } if *address == own)
                .then_some(())
        })
        .await;
    }

    /// Drives the swarm until an event is what `wanted` wants.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> T {
        let mut last = VecDeque::new();
        let search = async {
            loop {
                let event = self.swarm.select_next_some().await;
                if let Some(found) = wanted(&event) {
                    return found;
                }
                last.push_back(format!("{event:?}"));
                last.truncate(50);
            }
        };
        match tokio::time::timeout(DEADLINE, search).await {
            Ok(found) => found,
            Err(_) => panic!("not within {DEADLINE:?}: {what}; events: {last:#?}"),
        }
    }

    /// Drives the swarm while something else is done.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        within("work beside a swarm", async {
            loop {
                tokio::select! {
                    done = &mut work => return done,
                    _ = self.swarm.select_next_some() => {}
                }
            }
        })
        .await
    }

    /// Drives the swarm until a condition holds.
    pub(crate) async fn until_holds(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let search = async {
            while !holds(self) {
                // Not all that a swarm does is an event.
                let tick = tokio::time::sleep(Duration::from_millis(5));
                tokio::select! {
                    _ = self.swarm.select_next_some() => {}
                    () = tick => {}
                }
            }
        };
        within(what, search).await;
    }

    /// Dials and waits for the connection or the error.
    pub(crate) async fn dial(&mut self, address: Multiaddr) -> Result<PeerId, DialError> {
        let opts: DialOpts = address.into();
        let id = opts.connection_id();
        self.swarm.dial(opts)?;
        let mut result = None;
        within("outcome of a dial", async {
            while result.is_none() {
                match self.swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished {
                        connection_id,
                        peer_id,
                        ..
                    } if connection_id == id => result = Some(Ok(peer_id)),
                    SwarmEvent::OutgoingConnectionError {
                        connection_id,
                        error,
                        ..
                    } if connection_id == id => result = Some(Err(error)),
                    _ => {}
                }
            }
        })
        .await;
        result.expect("the loop ends with one")
    }

    /// Drives this swarm in the background, as programs do.
    pub(crate) fn spawn(mut self) -> Running {
        let id = self.id();
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        let task = tokio::spawn(async move {
            loop {
                let event = self.swarm.select_next_some().await;
                log.lock().unwrap().push(format!("{event:?}"));
            }
        });
        Running { id, events, task }
    }
}

/// A swarm that runs by itself until it is dropped.
pub(crate) struct Running {
    pub(crate) id: PeerId,
    pub(crate) events: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns this transport's errors in a failed dial, one for each address.
pub(crate) fn star_errors(error: &DialError) -> Vec<Error> {
    let DialError::Transport(errors) = error else {
        panic!("{error:?} is no error of a transport");
    };
    errors
        .iter()
        .map(|(_, error)| {
            Error::find(error)
                .unwrap_or_else(|| panic!("{error:?}"))
                .clone()
        })
        .collect()
}
