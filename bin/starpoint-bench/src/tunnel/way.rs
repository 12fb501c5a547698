//! A way to the service: the processes that carry its connections.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::door::Door;
use crate::{
    compare::Relay,
    party::Entrance,
    process::Process,
    target::{Running, Source, Target},
};

/// Time for both ends of a tunnel to say what they have to.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Processes that lead to a service; they end when this is dropped.
pub(crate) struct Way {
    pub(crate) door: Door,
    /// The star, or the proxy; `None` for what was not started here.
    relay: Option<Running>,
    others: Vec<Process>,
    ends: Option<Ends>,
    _folder: Option<TempDir>,
}

/// Both ends of a tunnel.
struct Ends {
    host: End,
    client: End,
}

struct End {
    process: Process,
    _child: Child,
    /// Open, so that what it says goes somewhere.
    lines: Lines<BufReader<ChildStdout>>,
}

/// Time of the processor that each process has taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub(crate) relay: Duration,
    pub(crate) host: Option<Duration>,
    pub(crate) client: Option<Duration>,
}

/// What an end of a tunnel says about itself; the rest of it is of no interest.
#[derive(Deserialize)]
struct Said {
    event: String,
    code: Option<String>,
    address: Option<SocketAddr>,
}

impl Way {
    /// Starts what leads from a target to the service.
    ///
    /// # Errors
    ///
    /// A program does not run, or does not do its part in time.
    pub(crate) async fn open(target: &Target, service: SocketAddr) -> anyhow::Result<Self> {
        match &target.source {
            Source::OwnStar { server } => Self::tunnel(target, server, service).await,
            Source::GivenStar { program, .. } => {
                let program = program.as_deref();
                let program = program.context("there is no program to open a tunnel with")?;
                Self::tunnel(target, program, service).await
            }
            Source::Relay(relay) => Self::proxy(*relay, service).await,
            Source::Through { address, pids } => Ok(Self {
                door: Door::new(*address),
                relay: None,
                others: pids.iter().map(|pid| Process::new(*pid)).collect(),
                ends: None,
                _folder: None,
            }),
        }
    }

    async fn tunnel(target: &Target, program: &Path, service: SocketAddr) -> anyhow::Result<Self> {
        let relay = target.start().await?;
        let Entrance::Star(star) = &relay.entrance else {
            anyhow::bail!("there is no star");
        };
        let star = star.multiaddr().to_string();
        let opened = async {
            let service = service.to_string();
            let args = ["expose", &service, "--accept-all", "--star", &star];
            let mut host = End::start(program, &args)?;
            let code = host.says("code").await?.code.context("there is no code")?;
            host.says("waiting-for-client").await?;
            let args = ["open", &code, "--listen", "127.0.0.1:0"];
            let mut client = End::start(program, &args)?;
            let address = client.says("listening").await?.address;
            anyhow::Ok((Ends { host, client }, address.context("no address")?))
        };
        let (ends, address) = timeout(START_DEADLINE, opened)
            .await
            .context("the tunnel takes too long to open")??;
        Ok(Self {
            door: Door::new(address),
            relay: Some(relay),
            others: Vec::new(),
            ends: Some(ends),
            _folder: None,
        })
    }

    async fn proxy(relay: Relay, service: SocketAddr) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no folder for a certificate")?;
        let certificate = folder.path().join("certificate");
        let relay_process = Running::proxy(relay, service, &certificate).await?;
        let Entrance::Proxy(address) = relay_process.entrance else {
            anyhow::bail!("there is no proxy");
        };
        let door = match relay {
            Relay::Tls => Door::with_tls(address, &certificate)?,
            Relay::Tcp | Relay::Ws | Relay::RelayV2 => Door::new(address),
        };
        Ok(Self {
            door,
            relay: Some(relay_process),
            others: Vec::new(),
            ends: None,
            _folder: Some(folder),
        })
    }

    /// Returns what all processes have taken up to now; a process that is
    /// not known counts as nothing.
    ///
    /// # Errors
    ///
    /// One of them has ended.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        let of = |end: Option<&End>| end.map(|end| anyhow::Ok(end.process.usage()?.cpu));
        let ends = self.ends.as_ref();
        let relay = self.relay.as_ref().map(Running::usage).transpose()?;
        let mut relay = relay.flatten().map_or(Duration::ZERO, |usage| usage.cpu);
        for process in &self.others {
            relay += process.usage()?.cpu;
        }
        Ok(Cpu {
            relay,
            host: of(ends.map(|ends| &ends.host)).transpose()?,
            client: of(ends.map(|ends| &ends.client)).transpose()?,
        })
    }
}

impl Cpu {
    /// Returns what was taken since an earlier look.
    pub(crate) fn since(self, earlier: Self) -> Self {
        let since = |now: Option<Duration>, then: Option<Duration>| {
            Some(now?.saturating_sub(then.unwrap_or_default()))
        };
        Self {
            relay: self.relay.saturating_sub(earlier.relay),
            host: since(self.host, earlier.host),
            client: since(self.client, earlier.client),
        }
    }

    pub(crate) fn total(self) -> Duration {
        self.relay + self.host.unwrap_or_default() + self.client.unwrap_or_default()
    }
}

/// Returns where the stars of this run are remembered.
fn known_stars() -> PathBuf {
    let name = format!("starpoint-bench-known-stars-{}", std::process::id());
    std::env::temp_dir().join(name)
}

impl End {
    fn start(program: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(args)
            .args(["--json", "--allow-no-challenge"])
            // A port is used again, by a star with another key.
            .env("STARPOINT_KNOWN_STARS", known_stars())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        Ok(Self {
            process: Process::new(child.id().context("it has ended")?),
            _child: child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// Waits until it says something.
    async fn says(&mut self, event: &str) -> anyhow::Result<Said> {
        loop {
            let line = self.lines.next_line().await?;
            let line = line.with_context(|| format!("it ends before it says {event:?}"))?;
            let said: Said = serde_json::from_str(&line)?;
            if said.event == event {
                return Ok(said);
            }
        }
    }
}
