//! `starpoint peers`: who is at a star.

use std::{collections::BTreeSet, fmt, time::Duration};

use clap::Args;
use serde::Serialize;
use starpoint_node::{Event, Events, Multiaddr, Node, PeerId};

use crate::{
    setup::{
        args::{OutputArgs, PassingKeyArgs, StarArgs, TrustArgs},
        node,
        signals::Signals,
        stars::FirstAttempts,
    },
    ui::{error::Failure, exit::Exit, report::Reporter},
};

const AFTER_HELP: &str = "\
Examples:
  starpoint peers --star /dns4/star.example/tcp/443/wss/p2p-websocket-star
  starpoint peers --watch --json --star /ip4/127.0.0.1/tcp/9090/ws/p2p-websocket-star

Output:
  One address a line. With --watch, `joined <multiaddr>` and `left <multiaddr>` follow. With --json,
  objects with `event` (`here`, `joined`, `left`), `peer` and `address`.";

/// Show who is at a star
///
/// Looking is joining: the others see a peer come and go. A star of this program says at once who is
/// here; the original one announces its peers every 10 s.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RawArgs {
    #[command(flatten)]
    stars: StarArgs,

    /// Go on and show who joins and leaves, until a signal
    #[arg(long)]
    watch: bool,

    /// How long to collect peers once the stars have answered
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = humantime::parse_duration,
        default_value = "1s"
    )]
    wait: Duration,

    #[command(flatten)]
    key: PassingKeyArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Serialize)]
struct Sighting {
    event: Change,
    peer: String,
    address: String,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Here,
    Joined,
    Left,
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event {
            Change::Here => f.write_str(&self.address),
            Change::Joined => write!(f, "joined {}", self.address),
            Change::Left => write!(f, "left {}", self.address),
        }
    }
}

/// Does what `args` ask for.
///
/// # Errors
///
/// No star can be used.
pub(crate) fn execute(args: &RawArgs) -> Result<Exit, Failure> {
    node::messages(&args.output)?;
    let keypair = node::passing_key(&args.key)?;
    let star = node::star_config(&args.trust)?;
    let config = node::node_config(keypair, star, args.stars.star.clone());
    node::run(async {
        let signals = Signals::catch().map_err(Failure::internal)?;
        let (node, events) = starpoint_node::start(config)?;
        let mut watch = Watch {
            node,
            events,
            shown: BTreeSet::new(),
            reporter: Reporter::stdout(args.output.json),
        };
        let done = watch.run(args, signals).await;
        watch.node.shutdown().await;
        done.map(|()| Exit::OK)
    })
}

struct Watch {
    node: Node,
    events: Events,
    /// What the reader believes.
    shown: BTreeSet<(PeerId, Multiaddr)>,
    reporter: Reporter,
}

impl Watch {
    async fn run(&mut self, args: &RawArgs, mut signals: Signals) -> Result<(), Failure> {
        tokio::select! {
            _ = signals.next() => return Ok(()),
            answered = self.stars_answer(&args.stars.star) => answered?,
        }
        tokio::select! {
            _ = signals.next() => return Ok(()),
            () = tokio::time::sleep(args.wait) => {}
        }
        self.compare(Change::Here).await?;
        if !args.watch {
            return Ok(());
        }
        loop {
            tokio::select! {
                _ = signals.next() => return Ok(()),
                event = self.events.next() => match event {
                    Some(event) => self.follow(event).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn stars_answer(&mut self, stars: &[Multiaddr]) -> Result<(), Failure> {
        let mut attempts = FirstAttempts::of(stars);
        while !attempts.are_over() {
            match self.events.next().await {
                Some(Event::StarLive { star, .. }) => attempts.live(&star),
                Some(Event::StarLost { star, reason, .. }) if attempts.waits_for(&star) => {
                    attempts.lost(&star, reason)?;
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
        Ok(())
    }

    async fn follow(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::PeerJoined { peer, address } => self.show(Change::Joined, peer, address),
            Event::PeerLeft { peer, address } => self.show(Change::Left, peer, address),
            Event::Missed { .. } => self.compare(Change::Joined).await,
            Event::Listening { .. }
            | Event::NotListening { .. }
            | Event::ListenerError { .. }
            | Event::StarConnecting { .. }
            | Event::StarLive { .. }
            | Event::StarLost { .. }
            | Event::Connected { .. }
            | Event::Disconnected { .. }
            | _ => Ok(()),
        }
    }

    /// Shows in what the peers of now differ from those that were shown.
    async fn compare(&mut self, new: Change) -> Result<(), Failure> {
        let peers = self.node.peers().await.map_err(Failure::internal)?;
        let now: BTreeSet<_> = peers
            .into_iter()
            .flat_map(|(peer, addresses)| addresses.into_iter().map(move |a| (peer, a)))
            .collect();
        let gone: Vec<_> = self.shown.difference(&now).cloned().collect();
        for (peer, address) in gone {
            self.show(Change::Left, peer, address)?;
        }
        for (peer, address) in now {
            self.show(new, peer, address)?;
        }
        Ok(())
    }

    fn show(&mut self, event: Change, peer: PeerId, address: Multiaddr) -> Result<(), Failure> {
        let entry = (peer, address);
        let is_news = match event {
            Change::Here | Change::Joined => self.shown.insert(entry.clone()),
            Change::Left => self.shown.remove(&entry),
        };
        if !is_news {
            return Ok(());
        }
        self.reporter.tell(&Sighting {
            event,
            peer: peer.to_string(),
            address: entry.1.to_string(),
        })
    }
}
