//! `starpoint ping`: how far away a peer is.

use std::{fmt, num::NonZeroU64, time::Duration};

use clap::Args;
use serde::Serialize;
use starpoint_node::{Multiaddr, Pinger};

use crate::{
    setup::{
        args::{self, OutputArgs, PassingKeyArgs, TrustArgs},
        node,
        signals::Signals,
    },
    ui::{
        error::Failure,
        exit::Exit,
        report::{Reporter, one_line},
    },
};

const AFTER_HELP: &str = "\
Examples:
  starpoint ping -c 5 /dns4/star.example/tcp/443/wss/p2p-websocket-star/p2p/12D3Koo...

Output:
  A line for each answer, and a summary at the end. With --json, objects with `event`: `reply` has
  `sequence` and `rtt_ms`, `lost` has `sequence` and `reason`, `summary` has `sent`, `received`, and
  `min_ms`, `mean_ms`, `max_ms` and `deviation_ms` if there was an answer.

Exit codes:
  0   there was an answer
  7   the star cannot be used
  8   the peer is not there
  9   the peer refuses
  10  another peer or star answers
  11  nobody answers in time";

/// Measure round trips to a peer
///
/// Every libp2p peer answers. What is measured is the way through the star and back, encryption
/// included, setting up the connection not.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RawArgs {
    /// Where the peer is: an address that ends with its id
    #[arg(value_name = "MULTIADDR", value_parser = args::multiaddr)]
    address: Multiaddr,

    /// How many pings [default: until a signal]
    #[arg(short, long, value_name = "N")]
    count: Option<NonZeroU64>,

    /// Time between two pings
    #[arg(
        short,
        long,
        value_name = "DURATION",
        value_parser = humantime::parse_duration,
        default_value = "1s"
    )]
    interval: Duration,

    /// Time for an answer
    #[arg(
        short = 'W',
        long,
        value_name = "DURATION",
        value_parser = humantime::parse_duration,
        default_value = "10s"
    )]
    timeout: Duration,

    #[command(flatten)]
    key: PassingKeyArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Report {
    Reply {
        peer: String,
        sequence: u64,
        rtt_ms: f64,
    },
    Lost {
        peer: String,
        sequence: u64,
        reason: String,
    },
    Summary {
        peer: String,
        sent: u64,
        received: u64,
        #[serde(flatten)]
        times: Option<Times>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Times {
    min_ms: f64,
    mean_ms: f64,
    max_ms: f64,
    deviation_ms: f64,
}

impl Times {
    /// Returns `None` without a measurement.
    fn of(measured_ms: &[f64]) -> Option<Self> {
        let n = measured_ms.len() as f64;
        let first = *measured_ms.first()?;
        let mean = measured_ms.iter().sum::<f64>() / n;
        let variance = measured_ms
            .iter()
            .map(|ms| (ms - mean).powi(2))
            .sum::<f64>()
            / n;
        Some(Self {
            min_ms: measured_ms.iter().copied().fold(first, f64::min),
            mean_ms: mean,
            max_ms: measured_ms.iter().copied().fold(first, f64::max),
            deviation_ms: variance.sqrt(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply {
                peer,
                sequence,
                rtt_ms,
            } => write!(f, "reply from {peer}: seq={sequence} time={rtt_ms:.3} ms"),
            Self::Lost {
                peer,
                sequence,
                reason,
            } => write!(f, "no reply from {peer}: seq={sequence}: {reason}"),
            Self::Summary {
                peer,
                sent,
                received,
                times,
            } => {
                let percent = (sent - received) * 100 / (*sent).max(1);
                write!(
                    f,
                    "--- {peer}: {sent} sent, {received} received, {percent}% lost"
                )?;
                let Some(times) = times else {
                    return Ok(());
                };
                let Times {
                    min_ms,
                    mean_ms,
                    max_ms,
                    deviation_ms,
                } = times;
                write!(
                    f,
                    "\n--- min/avg/max/mdev = {min_ms:.3}/{mean_ms:.3}/{max_ms:.3}/{deviation_ms:.3} ms"
                )
            }
        }
    }
}

/// Does what `args` ask for.
///
/// # Errors
///
/// The peer cannot be reached, or never answers.
pub(crate) fn execute(args: &RawArgs) -> Result<Exit, Failure> {
    node::messages(&args.output)?;
    let keypair = node::passing_key(&args.key)?;
    let star = node::star_config(&args.trust)?;
    let config = node::node_config(keypair, star, Vec::new());
    node::run(async {
        let signals = Signals::catch().map_err(Failure::internal)?;
        let (node, _events) = starpoint_node::start(config)?;
        let peer = node.dial(args.address.clone()).await?;
        let mut series = Series {
            pinger: node.pinger(peer).await?,
            peer: peer.to_string(),
            reporter: Reporter::stdout(args.output.json),
            sent: 0,
            measured_ms: Vec::new(),
        };
        series.run(args, signals).await?;
        node.shutdown().await;
        series.finish()
    })
}

struct Series {
    pinger: Pinger,
    peer: String,
    reporter: Reporter,
    sent: u64,
    measured_ms: Vec<f64>,
}

impl Series {
    async fn run(&mut self, args: &RawArgs, mut signals: Signals) -> Result<(), Failure> {
        let mut ticks = tokio::time::interval(args.interval.max(Duration::from_millis(1)));
        while args.count.is_none_or(|count| self.sent < count.get()) {
            tokio::select! {
                _ = signals.next() => break,
                _ = ticks.tick() => {}
            }
            self.sent += 1;
            let answer = tokio::select! {
                _ = signals.next() => break,
                answer = self.pinger.ping(args.timeout) => answer,
            };
            let (peer, sequence) = (self.peer.clone(), self.sent);
            self.reporter.tell(&match answer {
                Ok(elapsed) => {
                    let rtt_ms = elapsed.as_secs_f64() * 1_000.0;
                    self.measured_ms.push(rtt_ms);
                    Report::Reply {
                        peer,
                        sequence,
                        rtt_ms,
                    }
                }
                Err(error) => Report::Lost {
                    peer,
                    sequence,
                    reason: one_line(&error),
                },
            })?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Exit, Failure> {
        self.reporter.tell(&Report::Summary {
            peer: self.peer,
            sent: self.sent,
            received: self.measured_ms.len() as u64,
            times: Times::of(&self.measured_ms),
        })?;
        if self.sent > 0 && self.measured_ms.is_empty() {
            return Err(Failure::message(
                Exit::NO_ANSWER,
                "no ping was answered",
                "the peer is gone or overloaded; try again later",
            ));
        }
        Ok(Exit::OK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_ping() {
        assert_eq!(Times::of(&[]), None);
        let times = Times::of(&[1.0, 3.0]).unwrap();
        assert_eq!(
            times,
            Times {
                min_ms: 1.0,
                mean_ms: 2.0,
                max_ms: 3.0,
                deviation_ms: 1.0,
            }
        );
    }

    #[test]
    fn a_summary_without_answers_has_no_times() {
        let summary = Report::Summary {
            peer: "somebody".to_owned(),
            sent: 4,
            received: 0,
            times: None,
        };
        assert_eq!(
            summary.to_string(),
            "--- somebody: 4 sent, 0 received, 100% lost"
        );
    }
}
