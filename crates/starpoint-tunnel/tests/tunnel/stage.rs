//! A star, a host and its clients.

use std::{future::Future, net::SocketAddr, num::NonZero};

use starpoint_node::{Event, Keypair, Multiaddr, Node};
use starpoint_test_support::{Star, within};
use starpoint_tunnel::{
    Client, Code, Host, JoinError, Target,
    client::{self, ClientEvent, ClientEvents, State},
    host::{self, HostEvent, HostEvents, Invitation, Unlisted},
    target::Offer,
};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// A star with a host that lets everybody in, unless it is told otherwise.
pub(crate) struct Stage {
    pub(crate) star: Star,
    pub(crate) node: Node,
    pub(crate) host: Host,
    pub(crate) events: HostEvents,
}

impl Stage {
    /// Starts a host that offers these targets.
    pub(crate) async fn new<const N: usize>(targets: [&str; N]) -> Self {
        Self::with(targets, |_| ()).await
    }

    /// The same, with settings.
    pub(crate) async fn with<const N: usize>(
        targets: [&str; N],
        change: impl FnOnce(&mut host::Config),
    ) -> Self {
        let star = Star::with_args([]);
        let node = at_star(&star).await;
        Self::at(star, node, targets, change)
    }

    /// Starts a host that can be dialed directly, too.
    pub(crate) async fn listening<const N: usize>(targets: [&str; N]) -> Self {
        let star = Star::with_args([]);
        let mut config = node_config(vec![star_of(&star)]);
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().expect("an address")];
        let node = live(config).await;
        Self::at(star, node, targets, |_| ())
    }

    fn at<const N: usize>(
        star: Star,
        node: Node,
        targets: [&str; N],
        change: impl FnOnce(&mut host::Config),
    ) -> Self {
        let targets = targets.map(|text| text.parse::<Target>().expect("it is a target"));
        let mut config = host::Config::new(Offer::new(targets).expect("they can be offered"));
        config.unlisted = Unlisted::AcceptAll;
        config.max_clients = NonZero::new(99).expect("it is not zero");
        change(&mut config);
        let (host, events) = Host::start(&node, config).expect("nobody else is a host");
        Self {
            star,
            node,
            host,
            events,
        }
    }

    /// Starts a host that offers one port of this machine, and a client of it that
    /// listens. Returns where.
    pub(crate) async fn between(service: SocketAddr) -> (Self, Guest, SocketAddr) {
        let stage = Self::new([&service.to_string()]).await;
        let mut guest = stage.guest().await;
        let address = guest.listen();
        (stage, guest, address)
    }

    /// Makes a code for one client.
    pub(crate) async fn code(&self) -> Code {
        self.code_for(Invitation::default()).await
    }

    pub(crate) async fn code_for(&self, invitation: Invitation) -> Code {
        let made = self.host.invite([star_of(&self.star)], invitation).await;
        made.expect("the host runs")
    }

    /// Joins a client that is let in at once.
    pub(crate) async fn guest(&self) -> Guest {
        let code = self.code().await;
        Guest::join(code).await.expect("it is let in")
    }

    /// Waits for an event of the host that `choose` takes.
    pub(crate) async fn event<T>(&mut self, choose: impl Fn(&HostEvent) -> Option<T>) -> T {
        within("an event of the host", async {
            loop {
                let event = self.events.next().await.expect("the host runs");
                if let Some(chosen) = choose(&event) {
                    return chosen;
                }
            }
        })
        .await
    }
}

/// A client with a node of its own.
pub(crate) struct Guest {
    pub(crate) node: Node,
    pub(crate) client: Client,
    pub(crate) events: ClientEvents,
}

impl Guest {
    pub(crate) async fn join(code: Code) -> Result<Self, JoinError> {
        Self::join_with(code, client::Config::default()).await
    }

    pub(crate) async fn join_with(code: Code, config: client::Config) -> Result<Self, JoinError> {
        Self::with_node(start(Vec::new()), code, config).await
    }

    pub(crate) async fn with_node(
        node: Node,
        code: Code,
        config: client::Config,
    ) -> Result<Self, JoinError> {
        let (client, events) =
            within("the answer to a join", Client::join(&node, code, config)).await?;
        Ok(Self {
            node,
            client,
            events,
        })
    }

    /// Listens for the first target.
    pub(crate) fn listen(&mut self) -> SocketAddr {
        self.listen_for(None)
    }

    pub(crate) fn listen_for(&mut self, target: Option<&str>) -> SocketAddr {
        let target = target.map(|name| name.parse().expect("it is a name"));
        let listening = self.client.listen(loopback(), target);
        listening.expect("a port is free")
    }

    /// Waits until the session stands like that.
    pub(crate) async fn until(&self, is_it: impl FnMut(&State) -> bool) -> State {
        let mut state = self.client.state();
        let now = within("a state of the session", state.wait_for(is_it)).await;
        now.expect("the client runs").clone()
    }

    /// Waits for the error of the next socket that is not opened.
    pub(crate) async fn socket_error(&mut self) -> starpoint_tunnel::ConnectError {
        within("a socket that fails", async {
            loop {
                let event = self.events.next().await.expect("the client runs");
                if let ClientEvent::SocketFailed { error, .. } = event {
                    return error;
                }
            }
        })
        .await
    }
}

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn star_of(star: &Star) -> Multiaddr {
    star_at(star.port())
}

pub(crate) fn star_at(port: u16) -> Multiaddr {
    let text = format!("/ip4/127.0.0.1/tcp/{port}/ws/p2p-websocket-star");
    text.parse().expect("it is an address")
}

/// Starts a node that can be dialed at the star.
pub(crate) async fn at_star(star: &Star) -> Node {
    live(node_config(vec![star_of(star)])).await
}

/// Starts a node, and waits until it can be dialed at a star.
async fn live(config: starpoint_node::Config) -> Node {
    let (node, mut events) = starpoint_node::start(config).expect("a node starts");
    within("the star", async {
        while !matches!(events.next().await, Some(Event::StarLive { .. })) {}
    })
    .await;
    node
}

/// Starts a node.
pub(crate) fn start(stars: Vec<Multiaddr>) -> Node {
    let (node, _) = starpoint_node::start(node_config(stars)).expect("a node starts");
    node
}

fn node_config(stars: Vec<Multiaddr>) -> starpoint_node::Config {
    let mut config = starpoint_node::Config::new(Keypair::generate_ed25519());
    config.stars = stars;
    config.max_streams_per_connection = 2_048;
    config.max_waiting_streams = NonZero::new(1_024).expect("it is not zero");
    config
}

/// Connects to a listener of a client.
pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    let connected = within("a local connection", TcpStream::connect(address)).await;
    let socket = connected.expect("somebody listens");
    socket.set_nodelay(true).expect("it is open");
    socket
}

/// Connects to a listener and reads. A reset may come as early as the connection
/// itself.
pub(crate) async fn first_read(address: SocketAddr) -> std::io::Result<usize> {
    within("an end or a reset", async {
        let mut socket = TcpStream::connect(address).await?;
        socket.read(&mut [0; 1]).await
    })
    .await
}

/// Runs all of them at once.
pub(crate) async fn all<T: Send + 'static>(
    what: &str,
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(within(what, task).await.expect("it does not panic"));
    }
    done
}
