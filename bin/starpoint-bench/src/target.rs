//! What is measured: a star or another relay, running already or started here.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use libp2p::Multiaddr;
use libp2p_websocket_star::{Challenge, Config, StarAddress};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

use crate::{
    compare::{self, Relay},
    metrics::{MetricsPage, Numbers},
    party::{Carrier, Entrance, Layers, StarEntrance, Traffic},
    process::{Process, Usage},
    profile::Profile,
};

/// Time for a process to say where it listens.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// Peers that a star of our own lets in: more than any measurement has.
const MAX_PEERS: &str = "30000";

/// Peers of one address: as many, and more, for they also join as fast as this allows.
const MAX_PEERS_PER_IP: &str = "1000000";

/// Connections of those peers, and of their pipes.
const MAX_CONNECTIONS: &str = "100000";

/// Something to measure.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) source: Source,
    /// What its peers speak, if it is a star.
    pub(crate) profile: Profile,
    /// Of how many others each of them keeps track.
    pub(crate) remember: usize,
}

/// Where a target comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A star that is started afresh for each measurement.
    OwnStar { server: PathBuf },
    /// A star that runs already; its process, if it is on this machine.
    GivenStar {
        address: StarAddress,
        pid: Option<u32>,
        /// To open tunnels with.
        program: Option<PathBuf>,
    },
    /// Another relay, started afresh for each measurement.
    Relay(Relay),
    /// A way to a service that runs already: where programs connect.
    Through { address: SocketAddr, pids: Vec<u32> },
}

/// A target that can be joined. What was started here ends when it is dropped.
pub(crate) struct Running {
    pub(crate) entrance: Entrance,
    process: Option<Process>,
    metrics: Option<MetricsPage>,
    traffic: Option<Arc<Traffic>>,
    _child: Option<(Child, ChildStdin)>,
    _folder: Option<TempDir>,
}

impl Target {
    /// Returns whether this is a star.
    pub(crate) fn is_star(&self) -> bool {
        match self.source {
            Source::OwnStar { .. } | Source::GivenStar { .. } => true,
            Source::Relay(_) | Source::Through { .. } => false,
        }
    }

    /// Returns whether swarms can meet here.
    pub(crate) fn takes_swarms(&self) -> bool {
        match self.source {
            Source::OwnStar { .. } | Source::GivenStar { .. } | Source::Relay(Relay::RelayV2) => {
                true
            }
            Source::Relay(Relay::Tcp | Relay::Tls | Relay::Ws) | Source::Through { .. } => false,
        }
    }

    /// Returns whether peers can meet here.
    pub(crate) fn joins_peers(&self) -> bool {
        match &self.source {
            Source::OwnStar { .. } | Source::GivenStar { .. } => true,
            Source::Relay(relay) => relay.joins_peers(),
            Source::Through { .. } => false,
        }
    }

    /// Returns whether it leads to a service: the two ends of a tunnel speak what
    /// they like best with their star.
    pub(crate) fn leads_to_services(&self) -> bool {
        match &self.source {
            Source::OwnStar { .. } | Source::GivenStar { .. } => self.profile == Profile::Auto,
            Source::Relay(relay) => relay.is_proxy(),
            Source::Through { .. } => true,
        }
    }

    /// Returns what runs above the target when `wanted` is: a circuit relay has
    /// no streams without a swarm, and a copying relay none with one.
    pub(crate) fn layers(&self, wanted: Layers) -> Layers {
        match self.source {
            Source::OwnStar { .. } | Source::GivenStar { .. } => wanted,
            Source::Relay(Relay::RelayV2) => Layers::Swarm,
            Source::Relay(Relay::Tcp | Relay::Tls | Relay::Ws) | Source::Through { .. } => {
                Layers::Raw
            }
        }
    }

    /// Starts the target, or takes the one that runs.
    ///
    /// # Errors
    ///
    /// The program does not run, or does not say where it listens.
    pub(crate) async fn start(&self) -> anyhow::Result<Running> {
        match &self.source {
            Source::OwnStar { server } => {
                let folder = tempfile::tempdir().context("no folder for the star's key")?;
                let mut command = Command::new(server);
                command
                    .arg("serve")
                    .arg("--key")
                    .arg(folder.path().join("key"));
                command
                    .args(["--listen", "127.0.0.1:0", "--max-peers", MAX_PEERS])
                    .args(["--log", "error"])
                    // All of them come from one address. A star that has no such limit
                    // ignores the variable.
                    .env("STARPOINT_MAX_PEERS_PER_IP", MAX_PEERS_PER_IP)
                    .env("STARPOINT_MAX_CONNECTIONS_PER_IP", MAX_CONNECTIONS);
                let (child, url) = spawn(command).await?;
                let port = url
                    .rsplit_once(':')
                    .and_then(|(_, port)| port.parse::<u16>().ok())
                    .with_context(|| format!("unexpected address {url:?}"))?;
                let address = format!("/ip4/127.0.0.1/tcp/{port}/ws/p2p-websocket-star");
                let address = StarAddress::try_from(&address.parse::<Multiaddr>()?)
                    .context("not a star's address")?;
                let process = child.0.id().map(Process::new);
                let mut running = self.star(address, process, Some(child));
                running._folder = Some(folder);
                Ok(running)
            }
            Source::GivenStar { address, pid, .. } => {
                let process = pid.map(Process::new);
                Ok(self.star(address.clone(), process, None))
            }
            Source::Relay(relay) => {
                let (child, address) = spawn(relay_command(*relay)?).await?;
                let entrance = match relay {
                    Relay::RelayV2 => Entrance::RelayV2(address.parse()?),
                    Relay::Tcp => Entrance::Copy(Carrier::Tcp(address.parse()?)),
                    Relay::Ws => Entrance::Copy(Carrier::Ws(address.parse()?)),
                    Relay::Tls => Entrance::Proxy(address.parse()?),
                };
                Ok(Running::relay(entrance, child))
            }
            Source::Through { .. } => anyhow::bail!("it runs already"),
        }
    }

    fn star(
        &self,
        address: StarAddress,
        process: Option<Process>,
        child: Option<(Child, ChildStdin)>,
    ) -> Running {
        let traffic = Arc::<Traffic>::default();
        let config = Config {
            // What is measured is not whom it trusts.
            challenge: Challenge::Optional,
            max_peers: self.remember,
            ..self.profile.apply(Config::default())
        };
        let metrics = (!address.is_secure())
            .then(|| MetricsPage::new(address.host().into_owned(), address.port()));
        let entrance = StarEntrance::new(address, config, Arc::clone(&traffic));
        Running {
            entrance: Entrance::Star(Arc::new(entrance)),
            process,
            metrics,
            traffic: Some(traffic),
            _child: child,
            _folder: None,
        }
    }
}

fn relay_command(relay: Relay) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([compare::COMMAND, relay.name()]);
    Ok(command)
}

impl Running {
    /// Starts a proxy in front of a service; one that ends TLS writes its
    /// certificate to a file.
    ///
    /// # Errors
    ///
    /// The program does not run, or does not say where it listens.
    pub(crate) async fn proxy(
        relay: Relay,
        service: SocketAddr,
        certificate: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = relay_command(relay)?;
        command.arg("--service").arg(service.to_string());
        command.arg("--certificate").arg(certificate);
        let (child, address) = spawn(command).await?;
        Ok(Self::relay(Entrance::Proxy(address.parse()?), child))
    }

    fn relay(entrance: Entrance, child: (Child, ChildStdin)) -> Self {
        Self {
            entrance,
            process: child.0.id().map(Process::new),
            metrics: None,
            traffic: None,
            _child: Some(child),
            _folder: None,
        }
    }

    /// Returns what the server has cost up to now; `None` if its process is not
    /// known.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub(crate) fn usage(&self) -> anyhow::Result<Option<Usage>> {
        let usage = self.process.map(Process::usage).transpose();
        usage.context("the server has ended")
    }

    /// Returns the metrics of the server, if it has any.
    pub(crate) async fn numbers(&self) -> Option<Numbers> {
        self.metrics.as_ref()?.read().await.ok()
    }

    /// Returns WebSocket messages and bytes that all parties have received up to
    /// now, if they are counted.
    pub(crate) fn received(&self) -> Option<(u64, u64)> {
        let traffic = self.traffic.as_ref()?;
        Some((traffic.n_messages(), traffic.n_bytes()))
    }
}

/// Starts a program and returns where it listens. Its stdin stays open: a relay of
/// ours ends with it.
async fn spawn(mut command: Command) -> anyhow::Result<((Child, ChildStdin), String)> {
    let program = command.as_std().get_program().to_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let stdin = child.stdin.take().context("stdin is piped")?;
    let stdout = child.stdout.take().context("stdout is piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = timeout(START_DEADLINE, lines.next_line()).await;
    let line = line.context("it does not start in time")??;
    let address = line
        .as_deref()
        .and_then(|line| line.strip_prefix("listening "));
    let address = address
        .context("it does not say where it listens")?
        .to_owned();
    Ok(((child, stdin), address))
}
