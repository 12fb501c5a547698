//! `starpoint open`: uses the services of a host.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZero, str::FromStr, sync::Arc};

use clap::{ArgGroup, Args};
use futures_util::FutureExt as _;
use starpoint_node::{Event, Events, Node};
use starpoint_tunnel::{
    Client, Code, TargetName,
    client::{self, ClientEvent, ClientEvents, Config, Ended, State},
    monitor::Traffic,
};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    commands::{
        pipe,
        tunnel::{
            self, MAX_SOCKETS, MAX_STREAMS, TunnelReport, reporter,
            session_code::{CodeArgs, StdinIs},
        },
    },
    setup::{
        args::{OutputArgs, PassingKeyArgs, TrustArgs},
        node,
        signals::Signals,
        stars::warn,
    },
    ui::{
        error::Failure,
        exit::Exit,
        prompt::Prompt,
        report::{Reporter, one_line},
        status::{Path, Status},
        stdio,
    },
};

const AFTER_HELP: &str = "\
Examples:
  starpoint open --code-file code.txt --listen 127.0.0.1:25565
  ssh -o 'ProxyCommand starpoint open --code-file code.txt --stdio' user@host";

const AFTER_LONG_HELP: &str = "\
Examples:
  Have a service of the host on a port of this machine; paste the code as the first line:
    starpoint open - --listen 127.0.0.1:25565

  Two of its services, with the code in a file that only you can read:
    starpoint open --code-file code.txt --listen web=127.0.0.1:8080 --listen nas=127.0.0.1:1445

  Log in through it:
    ssh -o 'ProxyCommand starpoint open --code-file code.txt --stdio' user@host
    STARPOINT_CODE=$(cat code.txt) ssh -o 'ProxyCommand starpoint open --stdio' user@host

While it listens, lines on stdin are obeyed:
  listen [target=]address:port   listen there, too
  remove address:port            close this listener and its connections
  list                           tell the listeners

Output:
  What happens goes to stderr; with --json, to stdout as objects with `event`, and `host`,
  `targets`, `address`, `target`, `listener`, `reason` as they apply. With --stdio, stdout is the data.

Exit codes:
  0   stopped by a signal; with --stdio, the connection has ended
  2   the code is none, damaged, or cannot be read
  4   an address cannot be listened on
  7   no star of the code can be used
  8   the host is not there
  9   the host has no room
  10  another star answers
  11  nobody answers in time
  12  the connection broke
  13  the key cannot be used
  14  the code is unknown, used up, too old or locked
  15  the host declined, or did not answer in time
  16  the host ended the session
  17  the host cannot or may not connect the target";

/// Use the TCP services of a peer that runs `starpoint expose`
///
/// Joins with the session code, waits until the host lets this client in, and connects local
/// programs to what the host offers. A host or star that is lost is tried again; the host remembers
/// who it has let in.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, after_long_help = AFTER_LONG_HELP)]
#[command(group = ArgGroup::new("side").args(["listen", "stdio"]).required(true))]
pub(crate) struct RawArgs {
    #[command(flatten)]
    code: CodeArgs,

    /// Listen here for local programs: [target=]address:port; port 0 takes a free one; repeatable
    ///
    /// Without a target it is the first that the host offers.
    #[arg(long, value_name = "ADDRESS", value_parser = listener)]
    listen: Vec<Listener>,

    /// Connect stdin and stdout
    #[arg(long)]
    stdio: bool,

    /// What --stdio connects to [default: the first that the host offers]
    #[arg(long, value_name = "NAME", requires = "stdio")]
    target: Option<TargetName>,

    #[command(flatten)]
    key: PassingKeyArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// A listener, as typed.
#[derive(Clone, Debug)]
struct Listener {
    target: Option<TargetName>,
    address: SocketAddr,
}

fn listener(text: &str) -> Result<Listener, String> {
    let (target, address) = match text.split_once('=') {
        Some((target, address)) => {
            let target = TargetName::from_str(target).map_err(|error| error.to_string())?;
            (Some(target), address)
        }
        None => (None, text),
    };
    let address = socket_address(address)?;
    Ok(Listener { target, address })
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let error = |_| "not an address and a port, such as 127.0.0.1:25565".to_owned();
    text.parse().map_err(error)
}

/// Does what `args` ask for.
///
/// # Errors
///
/// The host cannot be reached or says no, or an address cannot be listened on.
pub(crate) fn execute(args: RawArgs) -> Result<Exit, Failure> {
    node::messages(&args.output)?;
    let stdin = if args.stdio {
        StdinIs::Data
    } else {
        StdinIs::Lines
    };
    let code: Code = args.code.read(stdin)?.parse()?;
    let keypair = node::passing_key(&args.key)?;
    let star = node::star_config(&args.trust)?;
    let mut config = node::node_config(keypair, star, Vec::new());
    config.max_streams_per_connection = MAX_STREAMS;
    node::run(async move {
        let mut signals = Signals::catch().map_err(Failure::internal)?;
        // Before anybody is asked to let this client in.
        let listeners = bind(&args.listen)?;
        let (node, node_events) = starpoint_node::start(config)?;
        let traffic = Traffic::default();
        let is_quiet = args.output.json || args.stdio;
        let mut opener = Opener {
            status: Status::new(is_quiet, traffic.clone()),
            traffic,
            node_events,
            path: None,
            node: node.clone(),
            reporter: if args.stdio {
                Reporter::stderr(args.output.json)
            } else {
                reporter(args.output.json)
            },
            mappings: BTreeMap::new(),
            args,
        };
        let done = tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "Stopping");
                Ok(Exit::OK)
            }
            done = opener.join(code) => match done {
                Ok((client, events)) => {
                    opener.use_session(client, events, listeners, &mut signals).await
                }
                Err(failure) => Err(failure),
            },
        };
        tokio::select! {
            () = node.shutdown() => {}
            _ = signals.next() => {}
        }
        done
    })
}

fn bind(listeners: &[Listener]) -> Result<Vec<(TcpListener, Option<TargetName>)>, Failure> {
    let mut bound = Vec::new();
    for Listener { target, address } in listeners {
        let listener = client::bind(*address).map_err(|error| {
            let error = anyhow::Error::new(error).context(format!("cannot listen on {address}"));
            Failure::new(
                Exit::LISTEN,
                error,
                "choose another port, or 0 for a free one",
            )
        })?;
        bound.push((listener, target.clone()));
    }
    Ok(bound)
}

struct Opener {
    node: Node,
    node_events: Events,
    /// How the host is connected.
    path: Option<Path>,
    traffic: Traffic,
    status: Status,
    reporter: Reporter,
    /// Listeners, and the targets behind them.
    mappings: BTreeMap<SocketAddr, Option<TargetName>>,
    args: RawArgs,
}

impl Opener {
    async fn join(&mut self, code: Code) -> Result<(Client, ClientEvents), Failure> {
        self.tell_report(&TunnelReport::Connecting {
            host: code.host().to_string(),
        })?;
        let mut config = Config::default();
        config.max_sockets = NonZero::new(MAX_SOCKETS).expect("it is not zero");
        config.monitors.push(Arc::new(self.traffic.clone()));
        Ok(Client::join(&self.node, code, config).await?)
    }

    async fn use_session(
        &mut self,
        mut client: Client,
        mut events: ClientEvents,
        listeners: Vec<(TcpListener, Option<TargetName>)>,
        signals: &mut Signals,
    ) -> Result<Exit, Failure> {
        let mut state = client.state();
        let done = tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "Stopping");
                Ok(Exit::OK)
            }
            ended = self.until_open(&mut state) => match ended? {
                Some(ended) => tunnel::ended(ended),
                None if self.args.stdio => tokio::select! {
                    _ = signals.next() => Ok(Exit::OK),
                    done = self.stdio(&client) => done,
                },
                None => {
                    for (listener, target) in listeners {
                        self.serve(&mut client, listener, target)?;
                    }
                    tokio::select! {
                        signal = signals.next() => {
                            tracing::info!(signal, "Stopping");
                            Ok(Exit::OK)
                        }
                        done = self.follow(&mut client, &mut state, &mut events) => done,
                    }
                }
            },
        };
        self.status.clear();
        client.close().await;
        done
    }

    /// Tells how the session stands until it is open or over.
    async fn until_open(
        &mut self,
        state: &mut watch::Receiver<State>,
    ) -> Result<Option<Ended>, Failure> {
        loop {
            let now = state.borrow_and_update().clone();
            self.tell(&now)?;
            match now {
                State::Open { .. } => return Ok(None),
                State::Closed(ended) => return Ok(Some(ended)),
                State::Waiting | State::Reconnecting => {}
            }
            if state.changed().await.is_err() {
                return Ok(Some(Ended::Stopped));
            }
        }
    }

    /// Tells what happens until the session is over.
    async fn follow(
        &mut self,
        client: &mut Client,
        state: &mut watch::Receiver<State>,
        events: &mut ClientEvents,
    ) -> Result<Exit, Failure> {
        // With `-`, the lines behind the code.
        let mut prompt = Prompt::stdin();
        loop {
            tokio::select! {
                changed = state.changed() => {
                    let now = state.borrow_and_update().clone();
                    self.tell(&now)?;
                    match (changed, now) {
                        (_, State::Closed(ended)) => return tunnel::ended(ended),
                        (Err(_), _) => return tunnel::ended(Ended::Stopped),
                        (Ok(()), State::Open { .. } | State::Waiting | State::Reconnecting) => {}
                    }
                }
                Some(event) = events.next() => self.tell_event(event)?,
                () = self.status.due() => self.draw(client, state),
                Some(line) = prompt.line() => self.execute(client, line.trim()).await?,
            }
        }
    }

    fn serve(
        &mut self,
        client: &mut Client,
        listener: TcpListener,
        target: Option<TargetName>,
    ) -> Result<(), Failure> {
        let served = client.serve(listener, target.clone());
        let address = served.map_err(Failure::internal)?;
        let name = target.as_ref().map(ToString::to_string);
        self.mappings.insert(address, target);
        self.tell_report(&TunnelReport::Listening {
            address: address.to_string(),
            target: name,
        })
    }

    async fn execute(&mut self, client: &mut Client, line: &str) -> Result<(), Failure> {
        self.status.clear();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" => Ok(()),
            "listen" => self.listen(client, rest.trim()),
            "remove" => self.remove(client, rest.trim()).await,
            "list" => self.list(),
            _ => {
                warn("commands are listen [target=]<address>, remove <address> and list");
                Ok(())
            }
        }
    }

    fn listen(&mut self, client: &mut Client, text: &str) -> Result<(), Failure> {
        let Listener { target, address } = match listener(text) {
            Ok(listener) => listener,
            Err(error) => {
                warn(&error);
                return Ok(());
            }
        };
        match client::bind(address) {
            Ok(listener) => self.serve(client, listener, target),
            Err(error) => {
                warn(&format!("cannot listen on {address}: {error}"));
                Ok(())
            }
        }
    }

    async fn remove(&mut self, client: &mut Client, text: &str) -> Result<(), Failure> {
        let address = match socket_address(text) {
            Ok(address) => address,
            Err(error) => {
                warn(&error);
                return Ok(());
            }
        };
        if !client.remove(address).await {
            warn("no such listener");
            return Ok(());
        }
        self.mappings.remove(&address);
        let address = address.to_string();
        self.tell_report(&TunnelReport::Removed { address })
    }

    fn list(&mut self) -> Result<(), Failure> {
        for (address, target) in &self.mappings {
            self.reporter.tell(&TunnelReport::Listener {
                address: address.to_string(),
                target: target.as_ref().map(ToString::to_string),
            })?;
        }
        Ok(())
    }

    async fn stdio(&self, client: &Client) -> Result<Exit, Failure> {
        let socket = client.connect(self.args.target.clone()).await?;
        let (mut input, mut output) = stdio::joined();
        match socket.copy(&mut input, &mut output).await {
            Ok(_) => Ok(Exit::OK),
            // Who reads stdout has what it wanted.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::OK),
            Err(error) => Err(pipe::broken(error)),
        }
    }

    fn tell(&mut self, state: &State) -> Result<(), Failure> {
        self.follow_path();
        let path = self.path.map(Path::word);
        self.tell_report(&match state {
            State::Waiting => TunnelReport::WaitingForApproval,
            State::Open { targets } => TunnelReport::Open {
                targets: targets.iter().map(ToString::to_string).collect(),
                path,
            },
            State::Reconnecting => TunnelReport::Reconnecting,
            State::Closed(ended) => TunnelReport::Closed {
                reason: tunnel::ended_reason(*ended),
            },
        })
    }

    /// Writes a line, above the one that says how things are.
    fn tell_report(&mut self, report: &TunnelReport) -> Result<(), Failure> {
        self.status.clear();
        self.reporter.tell(report)
    }

    /// Takes what the node has told. The host is the only peer.
    fn follow_path(&mut self) {
        while let Some(Some(event)) = self.node_events.next().now_or_never() {
            if let Event::Connected { address, .. } = event {
                self.path = Some(Path::of(&address));
            }
        }
    }

    fn draw(&mut self, client: &Client, state: &watch::Receiver<State>) {
        self.follow_path();
        let word = match &*state.borrow() {
            State::Open { .. } => "open",
            State::Waiting => "waiting for approval",
            State::Reconnecting => "reconnecting",
            State::Closed(_) => "closed",
        };
        let mut head = word.to_owned();
        if let Some(path) = self.path {
            head = format!("{head}, {}", path.word());
        }
        if let Some(round_trip) = client.round_trip() {
            head = format!("{head}, {:.1} ms", round_trip.as_secs_f64() * 1_000.0);
        }
        self.status.draw(&head);
    }

    fn tell_event(&mut self, event: ClientEvent) -> Result<(), Failure> {
        match event {
            ClientEvent::SocketFailed { listener, error } => {
                self.tell_report(&TunnelReport::SocketFailed {
                    listener: listener.to_string(),
                    reason: one_line(&error),
                })
            }
            ClientEvent::Lost { reason } => self.tell_report(&TunnelReport::LostHost { reason }),
            _ => Ok(()),
        }
    }
}
