//! `starpoint expose`: offers services to clients that are let in.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZero,
    sync::Arc,
    time::Duration,
};

use clap::{ArgGroup, Args, ValueEnum};
use starpoint_node::{Event, Events, Multiaddr, Node, PeerId};
use starpoint_tunnel::{
    Host, Target,
    host::{Config, Decision, HostEvent, HostEvents, Invitation, Standing, Unlisted},
    monitor::Traffic,
    target::{Family, Offer, TargetError},
};

use crate::{
    commands::tunnel::{MAX_SOCKETS, MAX_STREAMS, TunnelReport, approvals::Approvals, reporter},
    setup::{
        args::{OutputArgs, PassingKeyArgs, StarArgs, TrustArgs},
        node,
        signals::Signals,
        stars::{FirstAttempts, warn},
    },
    ui::{
        error::Failure,
        exit::Exit,
        prompt::Prompt,
        report::{Reporter, one_line},
        status::{Path, Status, counted},
    },
};

mod console;

const AFTER_HELP: &str = "\
Examples:
  starpoint expose 25565 --star /dns4/star.example/tcp/443/wss/p2p-websocket-star
  starpoint expose web=127.0.0.1:8080 nas=192.168.1.5:445 --accept-first --star ...";

const AFTER_LONG_HELP: &str = "\
Examples:
  Share a game server with whoever is told the code, and is let in at the prompt:
    starpoint expose 25565 --star /dns4/star.example/tcp/443/wss/p2p-websocket-star

  Two services for up to three clients, without a prompt:
    starpoint expose web=127.0.0.1:8080 nas=192.168.1.5:445 --max-clients 3 --accept-all --star ...

Commands, one a line on stdin:
  y, n                  let the client in that has asked, or decline
  y <peer>, n <peer>    the same for this client, by its id or at least 4 characters of the end of it;
                        needed once more than one has asked: a plain answer then counts for nobody
  list                  tell who is there, who waits and who is banned
  drop <peer>           end the session of a client, and ban its id until `expose` ends
  unban <peer>          lift that
  code                  print another code

When stdin ends, the tunnel goes on, and whoever would have been asked about is declined.

Output:
  The code goes to stdout, and what happens to stderr. With --json, both go to stdout as objects
  with `event`, and `code`, `expires_in_s`, `client`, `target`, `star`, `reason` as they apply. A
  program that reads `asked` answers with `y` or `n` and the whole id in `client`.

Exit codes:
  0   stopped by a signal
  2   a target cannot be offered, or nobody can let clients in
  7   no star can be used
  10  another star answers
  13  the key cannot be used";

/// Offer TCP services of this machine to peers that are let in
///
/// Prints a session code. Who has it can ask to join, with `starpoint open`; a client that is let in
/// can connect to the targets named here and to nothing else. All is encrypted from end to end.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, after_long_help = AFTER_LONG_HELP)]
#[command(group = ArgGroup::new("offered").args(["targets", "to"]).required(true).multiple(true))]
pub(crate) struct RawArgs {
    /// What is offered: [name=]port, [name=]address:port or [name=]host:port; several are fine
    ///
    /// A port alone is that of this machine, IPv4 or IPv6. An address of the local network needs a
    /// name. Hosts are resolved here, and may stand for this machine only, unless --allow-lan. A
    /// link-local address is reached only if it is named here itself.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,

    /// The same as TARGET; repeatable
    #[arg(long, value_name = "TARGET")]
    to: Vec<String>,

    /// Use addresses of one IP version only
    #[arg(long, value_name = "VERSION", default_value = "any")]
    ip: IpVersion,

    /// Let names of hosts stand for addresses of the local network, too, link-local ones excepted
    #[arg(long)]
    allow_lan: bool,

    #[command(flatten)]
    stars: StarArgs,

    /// Let this peer in without asking, if it has the code; repeatable
    #[arg(long, value_name = "PEER", help_heading = "Clients")]
    allow: Vec<PeerId>,

    /// Let the first client in without asking, and ask about others
    #[arg(long, help_heading = "Clients", conflicts_with = "accept_all")]
    accept_first: bool,

    /// Let every client in that has the code
    #[arg(long, help_heading = "Clients")]
    accept_all: bool,

    /// Clients at a time
    #[arg(long, value_name = "N", default_value = "1", help_heading = "Clients")]
    max_clients: NonZero<u16>,

    /// How often the code can be used [default: as often as --max-clients says]
    ///
    /// A client that is lost and comes back has used it once.
    #[arg(long, value_name = "N", help_heading = "Clients")]
    code_uses: Option<NonZero<u32>>,

    /// Time for which the code can be used
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration, help_heading = "Clients")]
    code_ttl: Duration,

    /// Time for a decision about a client
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration, help_heading = "Clients")]
    approval_timeout: Duration,

    #[command(flatten)]
    key: PassingKeyArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// IP versions of `--ip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum IpVersion {
    /// IPv4 first, then IPv6
    Any,
    /// 127.0.0.1 and the like
    V4,
    /// ::1 and the like
    V6,
}

impl RawArgs {
    fn offer(&self) -> Result<Offer, TargetError> {
        let family = match self.ip {
            IpVersion::Any => Family::Any,
            IpVersion::V4 => Family::V4,
            IpVersion::V6 => Family::V6,
        };
        let targets = self.targets.iter().chain(&self.to).map(|text| {
            let target: Target = text.parse()?;
            let target = target.with_family(family)?;
            Ok(if self.allow_lan {
                target.allow_lan()
            } else {
                target
            })
        });
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        for target in targets.iter().filter(|target| target.is_link_local()) {
            warn(&format!(
                "`{}` is a link-local address: clouds give out the credentials of this machine at \
                 some of them",
                target.name()
            ));
        }
        Offer::new(targets)
    }

    fn host_config(&self) -> Result<Config, Failure> {
        let mut config = Config::new(self.offer()?);
        config.allow = self.allow.iter().copied().collect();
        config.unlisted = if self.accept_all {
            Unlisted::AcceptAll
        } else if self.accept_first {
            Unlisted::AcceptFirst
        } else {
            Unlisted::Ask
        };
        config.max_clients = self.max_clients.into();
        config.decision_deadline = self.approval_timeout;
        config.max_sockets = NonZero::new(MAX_SOCKETS).expect("it is not zero");
        Ok(config)
    }
}

/// Does what `args` ask for.
///
/// # Errors
///
/// A target cannot be offered, no star can be used, or nobody can let clients in.
pub(crate) fn execute(args: RawArgs) -> Result<Exit, Failure> {
    node::messages(&args.output)?;
    let mut host_config = args.host_config()?;
    let traffic = Traffic::default();
    host_config.monitors.push(Arc::new(traffic.clone()));
    let keypair = node::passing_key(&args.key)?;
    let star = node::star_config(&args.trust)?;
    let mut config = node::node_config(keypair, star, args.stars.star.clone());
    config.max_streams_per_connection = MAX_STREAMS;
    config.max_waiting_streams = NonZero::new(MAX_SOCKETS).expect("it is not zero");
    node::run(async move {
        let signals = Signals::catch().map_err(Failure::internal)?;
        let (node, events) = starpoint_node::start(config)?;
        let (host, host_events) = Host::start(&node, host_config).map_err(Failure::internal)?;
        let exposer = Exposer {
            node,
            events,
            host,
            host_events,
            attempts: FirstAttempts::of(&args.stars.star),
            live: Vec::new(),
            asked: BTreeSet::new(),
            approvals: Approvals::default(),
            here: BTreeMap::new(),
            paths: BTreeMap::new(),
            status: Status::new(args.output.json, traffic),
            decider: Decider::Stdin(Prompt::stdin()),
            reporter: reporter(args.output.json),
            args,
        };
        exposer.run(signals).await
    })
}

/// Who decides about clients that are asked about.
enum Decider {
    /// Whoever writes to stdin.
    Stdin(Prompt),
    /// Stdin has ended: clients that would be asked about are declined.
    Nobody,
}

impl Decider {
    /// Waits for a line; `None` when there are no more.
    async fn line(&mut self) -> Option<String> {
        match self {
            Self::Stdin(prompt) => prompt.line().await,
            Self::Nobody => std::future::pending().await,
        }
    }
}

struct Exposer {
    node: Node,
    events: Events,
    host: Host,
    host_events: HostEvents,
    attempts: FirstAttempts,
    live: Vec<Multiaddr>,
    /// Clients with a prompt that nobody has answered.
    asked: BTreeSet<PeerId>,
    approvals: Approvals,
    here: BTreeMap<PeerId, Standing>,
    /// How each peer is connected.
    paths: BTreeMap<PeerId, Path>,
    status: Status,
    decider: Decider,
    reporter: Reporter,
    args: RawArgs,
}

impl Exposer {
    async fn run(mut self, mut signals: Signals) -> Result<Exit, Failure> {
        let done = self.serve(&mut signals).await;
        self.status.clear();
        let leaving = async {
            self.host.stop().await;
            self.node.shutdown().await;
        };
        tokio::select! {
            () = leaving => {}
            _ = signals.next() => {}
        }
        done.map(|()| Exit::OK)
    }

    /// Serves clients until a signal.
    async fn serve(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        loop {
            tokio::select! {
                signal = signals.next() => {
                    tracing::info!(signal, "Stopping");
                    return Ok(());
                }
                Some(event) = self.events.next() => self.star(event).await?,
                Some(event) = self.host_events.next() => self.tell(event).await?,
                () = self.status.due() => self.draw(),
                line = self.decider.line() => match line {
                    Some(line) => self.execute(line.trim()).await?,
                    None => self.nobody_decides().await?,
                },
            }
        }
    }

    async fn star(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::StarLive { star, .. } => {
                self.attempts.live(&star);
                let is_first = self.live.is_empty();
                let is_new = !self.live.contains(&star);
                if is_new {
                    self.live.push(star);
                } else {
                    let star = star.to_string();
                    self.tell_report(&TunnelReport::StarLive { star })?;
                }
                if is_first {
                    self.print_code().await?;
                    self.tell_report(&TunnelReport::WaitingForClient)?;
                }
                Ok(())
            }
            Event::StarLost { star, reason, .. } if self.attempts.waits_for(&star) => {
                self.attempts.lost(&star, reason)
            }
            Event::Connected { peer, address, .. } => {
                self.paths.insert(peer, Path::of(&address));
                Ok(())
            }
            Event::Disconnected { peer } => {
                self.paths.remove(&peer);
                Ok(())
            }
            Event::StarLost { star, reason, .. } => self.tell_report(&TunnelReport::StarLost {
                star: star.to_string(),
                reason: one_line(&reason),
            }),
            Event::Listening { .. }
            | Event::NotListening { .. }
            | Event::ListenerError { .. }
            | Event::StarConnecting { .. }
            | Event::PeerJoined { .. }
            | Event::PeerLeft { .. }
            | Event::Missed { .. }
            | _ => Ok(()),
        }
    }

    /// Prints a code with all stars, those first that are live.
    async fn print_code(&mut self) -> Result<(), Failure> {
        let down = |star: &&Multiaddr| !self.live.contains(star);
        let others = self.args.stars.star.iter().filter(down);
        let stars: Vec<_> = self.live.iter().chain(others).cloned().collect();
        let invitation = Invitation {
            n_uses: self.args.code_uses.unwrap_or(self.args.max_clients.into()),
            valid_for: self.args.code_ttl,
        };
        let code = self.host.invite(stars, invitation).await;
        let report = TunnelReport::Code {
            code: code.map_err(Failure::internal)?.to_string(),
            expires_in_s: self.args.code_ttl.as_secs(),
        };
        self.status.clear();
        Reporter::stdout(self.args.output.json).tell(&report)
    }

    async fn tell(&mut self, event: HostEvent) -> Result<(), Failure> {
        let report = match event {
            HostEvent::Asked { client } => {
                if matches!(self.decider, Decider::Nobody) {
                    return self.decide(client, Decision::Decline).await;
                }
                self.asked.insert(client);
                TunnelReport::Asked {
                    form: self.approvals.prompt(client),
                    client: client.to_string(),
                }
            }
            HostEvent::Joined { client } => {
                self.asked.remove(&client);
                self.here.insert(client, Standing::Here);
                let path = self.path_of(client);
                let client = client.to_string();
                TunnelReport::Joined { client, path }
            }
            HostEvent::Lost { client } => {
                self.here.insert(client, Standing::Away);
                let client = client.to_string();
                TunnelReport::Lost { client }
            }
            HostEvent::Resumed { client } => {
                self.here.insert(client, Standing::Here);
                let path = self.path_of(client);
                let client = client.to_string();
                TunnelReport::Resumed { client, path }
            }
            HostEvent::Left { client } => {
                self.asked.remove(&client);
                self.here.remove(&client);
                let client = client.to_string();
                self.tell_report(&TunnelReport::Left { client })?;
                return self.check_purpose();
            }
            HostEvent::Refused { client, refusal } => {
                self.asked.remove(&client);
                TunnelReport::Refused {
                    client: client.to_string(),
                    reason: one_line(&refusal),
                }
            }
            HostEvent::SocketRefused {
                client,
                target,
                refusal,
            } => TunnelReport::SocketRefused {
                client: client.to_string(),
                target: target.map(|target| target.to_string()),
                reason: one_line(&refusal),
            },
            _ => return Ok(()),
        };
        self.tell_report(&report)
    }

    /// Writes a line, above the one that says how things are.
    fn tell_report(&mut self, report: &TunnelReport) -> Result<(), Failure> {
        self.status.clear();
        self.reporter.tell(report)
    }

    fn path_of(&self, client: PeerId) -> Option<&'static str> {
        self.paths.get(&client).map(|path| path.word())
    }

    fn draw(&mut self) {
        // Somebody is about to type an answer.
        if !self.asked.is_empty() || self.live.is_empty() {
            return self.status.skip();
        }
        let is_here = |(_, standing): &(&PeerId, &Standing)| **standing == Standing::Here;
        let n_here = self.here.iter().filter(is_here).count();
        let n_away = self.here.len() - n_here;
        let n_on = |path: Path| {
            let paths = self.here.keys().filter_map(|client| self.paths.get(client));
            paths.filter(|on| **on == path).count()
        };
        let mut head = counted(n_here, "client");
        for (number, word) in [
            (n_away, "away"),
            (n_on(Path::Relayed), "relayed"),
            (n_on(Path::Direct), "direct"),
        ] {
            if number > 0 {
                head = format!("{head}, {number} {word}");
            }
        }
        self.status.draw(&head);
    }

    async fn decide(&self, client: PeerId, decision: Decision) -> Result<(), Failure> {
        let decided = self.host.decide(client, decision).await;
        decided.map(drop).map_err(Failure::internal)
    }
}
