//! `starpoint listen`: waits for connections.

use std::path::PathBuf;

use clap::Args;
use starpoint_node::{Event, Events, Incoming, Node, PeerId, Stream};
use tokio::task::JoinSet;

use crate::{
    commands::pipe::{
        self, Framing, PIPE,
        converse::converse,
        echo::{MAX_ECHOES, echo_report},
        raw,
    },
    setup::{
        args::{OutputArgs, StarArgs, TrustArgs},
        node,
        signals::Signals,
        stars::FirstAttempts,
    },
    ui::{
        error::Failure,
        exit::Exit,
        report::{PipeReport, Reporter, one_line},
    },
};

const AFTER_HELP: &str = "\
Examples:
  starpoint listen --star /dns4/star.example/tcp/443/wss/p2p-websocket-star > letter
  starpoint listen --echo --star /ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star";

const AFTER_LONG_HELP: &str = "\
Examples:
  Take what one peer sends:
    starpoint listen --star /dns4/star.example/tcp/443/wss/p2p-websocket-star > letter

  Send back what comes, to any number of peers:
    starpoint listen --echo --star /ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star

Output:
  What comes goes to stdout, and what happens to stderr; with --echo, what happens goes to stdout.
  Those lines are `listening <multiaddr>` for each star, `connected <peer>`, `ended <peer>`, `broken
  <peer>` and `lost <star>`. With --json they are objects with `event`, and `address`, `peer`, `star`,
  `reason`, `sent_bytes` and `received_bytes` as they apply.

Exit codes:
  0   both directions have ended; with --echo, stopped by a signal
  7   no star can be used
  10  another star answers
  12  the connection broke
  13  the key cannot be used";

/// Wait for a peer, write what it sends to stdout, and send it stdin
///
/// The stream is encrypted from end to end and its peer is proved by key. The end of stdin ends the
/// own direction; the other one goes on until the peer ends it. The first peer is the only one,
/// except with --echo.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, after_long_help = AFTER_LONG_HELP)]
pub(crate) struct RawArgs {
    #[command(flatten)]
    stars: StarArgs,

    /// Send back what comes, to any number of peers, until a signal
    #[arg(long)]
    echo: bool,

    /// Take the bytes as they are, without Noise and Yamux
    ///
    /// For original JavaScript peers, and for debugging. The star can read along, and only the star
    /// vouches for who the peer is.
    #[arg(long)]
    raw: bool,

    /// File with the private key, made if missing [default: starpoint/key in the user's data folder]
    #[arg(
        long,
        value_name = "FILE",
        env = "STARPOINT_KEY",
        hide_env_values = true
    )]
    key: Option<PathBuf>,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Does what `args` ask for.
///
/// # Errors
///
/// No star can be used, or the connection breaks.
pub(crate) fn execute(args: &RawArgs) -> Result<Exit, Failure> {
    node::messages(&args.output)?;
    let keypair = node::lasting_key(args.key.as_deref())?;
    let star = node::star_config(&args.trust)?;
    let reporter = if args.echo {
        Reporter::stdout(args.output.json)
    } else {
        Reporter::stderr(args.output.json)
    };
    if args.raw {
        return node::run(async {
            let home = raw::Homes::new(star, keypair, &args.stars.star, reporter)?;
            if args.echo {
                let signals = Signals::catch().map_err(Failure::internal)?;
                home.echo(signals).await
            } else {
                home.converse().await
            }
        });
    }
    let config = node::node_config(keypair, star, args.stars.star.clone());
    node::run(async {
        let (node, events) = starpoint_node::start(config)?;
        let listener = Listener {
            incoming: node.incoming(PIPE).map_err(Failure::internal)?,
            node,
            events,
            attempts: FirstAttempts::of(&args.stars.star),
            reporter,
        };
        if args.echo {
            let signals = Signals::catch().map_err(Failure::internal)?;
            listener.echo(signals).await
        } else {
            listener.converse().await
        }
    })
}

struct Listener {
    node: Node,
    events: Events,
    incoming: Incoming,
    attempts: FirstAttempts,
    reporter: Reporter,
}

impl Listener {
    /// Serves the first peer that comes.
    async fn converse(mut self) -> Result<Exit, Failure> {
        let (peer, stream) = loop {
            tokio::select! {
                Some(event) = self.events.next() => self.tell(event)?,
                Some((peer, mut stream)) = self.incoming.next() => {
                    // Who has gone already is not the one to wait for.
                    if pipe::greet(&mut stream).await.is_ok() {
                        break (peer, stream);
                    }
                }
            }
        };
        // Who comes now is told that nobody listens.
        drop(self.incoming);
        self.reporter.tell(&connected(peer))?;
        converse(&self.node, peer, stream, self.reporter).await
    }

    /// Serves everybody until a signal.
    async fn echo(mut self, mut signals: Signals) -> Result<Exit, Failure> {
        let mut echoes = JoinSet::new();
        loop {
            tokio::select! {
                signal = signals.next() => {
                    tracing::info!(signal, "Stopping");
                    break;
                }
                Some(event) = self.events.next() => self.tell(event)?,
                Some(done) = echoes.join_next() => {
                    self.reporter.tell(&done.map_err(Failure::internal)?)?;
                }
                Some((peer, stream)) = self.incoming.next(), if echoes.len() < MAX_ECHOES => {
                    self.reporter.tell(&connected(peer))?;
                    echoes.spawn(echo(peer, stream));
                }
            }
        }
        self.node.shutdown().await;
        Ok(Exit::OK)
    }

    fn tell(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::StarLive { star, address } => {
                self.attempts.live(&star);
                self.reporter.tell(&PipeReport::Listening {
                    address: address.to_string(),
                })
            }
            Event::StarLost { star, reason, .. } if self.attempts.waits_for(&star) => {
                self.attempts.lost(&star, reason)
            }
            Event::StarLost { star, reason, .. } => self.reporter.tell(&PipeReport::StarLost {
                star: star.to_string(),
                reason: one_line(&reason),
            }),
            Event::Listening { .. }
            | Event::NotListening { .. }
            | Event::ListenerError { .. }
            | Event::StarConnecting { .. }
            | Event::PeerJoined { .. }
            | Event::PeerLeft { .. }
            | Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::Missed { .. }
            | _ => Ok(()),
        }
    }
}

fn connected(peer: PeerId) -> PipeReport {
    PipeReport::Connected {
        peer: peer.to_string(),
        address: None,
    }
}

async fn echo(peer: PeerId, mut stream: Stream) -> PipeReport {
    let done = match pipe::greet(&mut stream).await {
        Ok(()) => pipe::echo(stream, Framing::Chunks).await,
        Err(error) => Err(error),
    };
    echo_report(peer.to_string(), done)
}
