//! Public face of the crate: bind, run, stop.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use starpoint_file::FileError;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    account::Account,
    config::{Config, ConfigError, TlsFiles},
    connections::{Bounds, Connections},
    http::{self, App},
    listen::Acceptor,
    pipes::{PipeContext, Pipes},
    proxy::Proxies,
    registry::Registry,
    snapshots::Snapshots,
    socketio,
    source::Sources,
    star::{Request, Star},
    tally::Tally,
    tls::{self, Certificate},
};

/// Requests to the star that may wait; whoever asks waits too.
const REQUEST_QUEUE: usize = 64;
/// Time between two looks at the sessions.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);
/// Time for connections to write what they have and close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// Why a star did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A setting is out of its range: the operator's fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be listened on, most often because it is in use.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key file cannot be read, is no regular file, or is too large.
    #[error("cannot read {}", path.display())]
    ReadTls {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// A certificate or key file has nothing usable in it, or the two do not
    /// belong together.
    #[error("{} is no usable certificate or key: {reason}", path.display())]
    InvalidTls {
        /// The file.
        path: PathBuf,
        /// What is wrong, for the operator.
        reason: String,
    },
}

/// One bound listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Address with the port that was given.
    pub addr: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
}

/// How to stop a star. Clones stop the same one.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    cut: CancellationToken,
}

impl Shutdown {
    /// Creates a handle for [`Server::run`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops accepting, tells the peers, and ends when the streams have ended or
    /// the drain deadline has passed.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Ends now. Streams that are open are cut.
    pub fn cut(&self) {
        self.drain.cancel();
        self.cut.cancel();
    }
}

/// What a shutdown had to leave behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Streams that were still open and were ended with an error.
    pub streams_cut: usize,
}

/// A star that is bound and not yet running.
pub struct Server {
    config: Config,
    tls: Option<(Arc<Certificate>, TlsAcceptor)>,
    listeners: Vec<TcpListener>,
    listening: Vec<Listening>,
}

impl Server {
    /// Checks the settings, reads the certificate and binds every address.
    ///
    /// # Errors
    ///
    /// [`BindError`]; whatever was bound before the error is released.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        config.validate()?;
        let tls = config.tls.clone().map(load_tls).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut listeners = Vec::new();
        let mut listening = Vec::new();
        for addr in config.listen.iter().copied() {
            let listen = |source| BindError::Listen { addr, source };
            let listener = TcpListener::bind(addr).await.map_err(listen)?;
            let addr = listener.local_addr().map_err(listen)?;
            listeners.push(listener);
            listening.push(Listening { addr, scheme });
        }
        Ok(Self {
            config,
            tls,
            listeners,
            listening,
        })
    }

    /// Returns the bound listeners, in the order of the configuration. Connections
    /// are queued by the system from now on and served once [`run`](Self::run) is
    /// polled.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Serves until `shutdown` says otherwise.
    ///
    /// Not cancel safe: dropping the future cuts every connection.
    pub async fn run(self, shutdown: Shutdown) -> ShutdownReport {
        let mut running = Running::start(&self, &shutdown);
        for listener in self.listeners {
            running.listen(listener);
        }
        running.watch(self.tls.map(|(certificate, _)| certificate));
        shutdown.drain.cancelled().await;
        running.stop(&shutdown, self.config.drain_deadline).await
    }
}

fn load_tls(files: TlsFiles) -> Result<(Arc<Certificate>, TlsAcceptor), BindError> {
    let certificate = Certificate::load(files)?;
    let acceptor = certificate.acceptor()?;
    Ok((certificate, acceptor))
}

/// The tasks of a star that serves. Dropping it ends them.
struct Running {
    registry: Arc<Registry>,
    acceptor: Acceptor,
    star: mpsc::Sender<Request>,
    /// Tasks that live as long as the star.
    core: JoinSet<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.acceptor.end.cancel();
        self.registry.close_all();
    }
}

impl Running {
    fn start(server: &Server, shutdown: &Shutdown) -> Self {
        let config = &server.config;
        let (events, inbox) = mpsc::unbounded_channel();
        let (star, requests) = mpsc::channel(REQUEST_QUEUE);
        let broker = starpoint_broker::Config {
            challenge: config.challenge,
            address_rule: config.address_rule,
            announce_interval: config.announce_interval,
            max_peers: config.max_peers,
            max_peers_per_source: config.max_peers_per_ip,
            star: config.identity.public().to_peer_id(),
            hosts: config.hosts.clone(),
            grace: config.grace,
        };
        let end = CancellationToken::new();
        let pipes = Pipes::new(end.clone());
        let mut core = JoinSet::new();
        core.spawn(Star::new(broker, inbox, requests, pipes).run());
        let tally = Arc::new(Tally::default());
        let account = Account::new(config.max_buffered_bytes, config.max_message_bytes);
        let bounds = Bounds {
            total: config.max_connections(),
            per_source: config.max_connections_per_ip(),
        };
        let registry = Arc::new(Registry::new(events, bounds.total, Arc::clone(&tally)));
        let connections = Connections::new(bounds);
        let tasks = TaskTracker::new();
        let app = App {
            registry: registry.clone(),
            socketio: socketio::service(config.max_message_bytes),
            snapshots: Arc::new(Snapshots::new(star.clone())),
            account: Arc::clone(&account),
            tally,
            max_message_bytes: config.max_message_bytes,
            identity: Arc::new(config.identity.clone()),
            tasks: tasks.clone(),
            pipes: Arc::new(PipeContext::new(config.pipe_rate)),
            connections: connections.clone(),
        };
        let acceptor = Acceptor {
            router: http::router(app, config.metrics),
            sources: Arc::new(Sources::new(account, bounds.per_source)),
            tls: server.tls.as_ref().map(|(_, acceptor)| acceptor.clone()),
            connections,
            proxies: Arc::new(Proxies::new(config.trusted_proxies.clone())),
            proxy_protocol: config.proxy_protocol,
            tasks,
            drain: shutdown.drain.clone(),
            end,
        };
        Self {
            registry,
            acceptor,
            star,
            core,
        }
    }

    fn listen(&mut self, listener: TcpListener) {
        self.core.spawn(self.acceptor.clone().run(listener));
    }

    /// Starts the regular looks at sessions and certificates.
    fn watch(&mut self, certificate: Option<Arc<Certificate>>) {
        let registry = self.registry.clone();
        self.core.spawn(async move {
            let mut ticks = tokio::time::interval(WATCH_INTERVAL);
            loop {
                ticks.tick().await;
                registry.watch(Instant::now());
            }
        });
        if let Some(certificate) = certificate {
            self.core.spawn(async move {
                let mut seen = certificate.stamp_at_load();
                let mut ticks = tokio::time::interval(tls::RELOAD_INTERVAL);
                loop {
                    ticks.tick().await;
                    let stamp = certificate.stamp();
                    if stamp != seen {
                        seen = stamp;
                        certificate.reload();
                    }
                }
            });
        }
    }

    /// Drains, cuts what is left, and waits until the connections are closed.
    async fn stop(mut self, shutdown: &Shutdown, deadline: Duration) -> ShutdownReport {
        tracing::info!("Shutting down");
        let (reply, drained) = oneshot::channel();
        if self.star.send(Request::Drain(reply)).await.is_ok() {
            tokio::select! {
                _ = tokio::time::timeout(deadline, drained) => {}
                () = shutdown.cut.cancelled() => {}
            }
        }
        let (reply, cut) = oneshot::channel();
        let mut report = ShutdownReport::default();
        if self.star.send(Request::Cut(reply)).await.is_ok() {
            report.streams_cut = cut.await.unwrap_or_default();
        }
        self.registry.finish_all();
        tokio::select! {
            _ = tokio::time::timeout(CLOSE_DEADLINE, self.acceptor.connections.all_ended()) => {}
            () = shutdown.cut.cancelled() => {}
        }
        self.core.shutdown().await;
        report
    }
}
