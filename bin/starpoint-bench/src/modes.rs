//! What can be measured. A mode looks at one target once; rounds, order and
//! medians are the business of [`run`](crate::run).

pub(crate) mod dial;
pub(crate) mod e2e;
pub(crate) mod idle;
pub(crate) mod join;
pub(crate) mod presence;
pub(crate) mod slow_reader;
pub(crate) mod throughput;
pub(crate) mod tunnel;

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{
    compare::Relay,
    party::Layers,
    target::{Running, Source, Target},
};

/// One case of one mode.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Idle(idle::Idle),
    Join(join::Join),
    Dial(dial::Dial),
    Throughput(throughput::Throughput),
    SlowReader(slow_reader::SlowReader),
    Presence(presence::Presence),
    E2e(e2e::E2e),
    Tunnel(tunnel::Tunnel),
}

/// One number of one measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
}

/// Why there are no numbers.
#[derive(Debug)]
pub(crate) enum Failed {
    Starting(anyhow::Error),
    Measuring(anyhow::Error),
}

/// The numbers of one measurement.
#[derive(Debug, Default)]
pub(crate) struct Readings(pub(crate) Vec<Reading>);

impl Readings {
    /// Adds a number, if it is known.
    pub(crate) fn add(
        &mut self,
        metric: &'static str,
        unit: &'static str,
        value: impl Into<Option<f64>>,
    ) {
        if let Some(value) = value.into() {
            self.0.push(Reading {
                metric,
                unit,
                value,
            });
        }
    }
}

/// What tells a case from the others of its mode.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Label {
    pub(crate) name: &'static str,
    pub(crate) value: LabelValue,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum LabelValue {
    Number(usize),
    Text(&'static str),
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Label {
    fn number(name: &'static str, value: usize) -> Self {
        let value = LabelValue::Number(value);
        Self { name, value }
    }

    fn text(name: &'static str, value: &'static str) -> Self {
        let value = LabelValue::Text(value);
        Self { name, value }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl Work {
    /// Returns the name of the mode, as on the command line.
    pub(crate) fn mode(&self) -> &'static str {
        match self {
            Self::Idle(_) => "idle",
            Self::Join(_) => "join",
            Self::Dial(_) => "dial",
            Self::Throughput(_) => "throughput",
            Self::SlowReader(_) => "slow-reader",
            Self::Presence(_) => "presence",
            Self::E2e(_) => "e2e",
            Self::Tunnel(_) => "tunnel",
        }
    }

    /// Returns what tells this case from the others.
    pub(crate) fn labels(&self) -> Vec<Label> {
        match self {
            Self::Idle(work) => vec![Label::number("peers", work.n_peers)],
            Self::Join(work) => vec![
                Label::number("population", work.population),
                Label::text("joiners", if work.apart { "apart" } else { "among them" }),
            ],
            Self::Dial(work) => vec![Label::number("pairs", work.n_pairs)],
            Self::Throughput(work) => vec![
                Label::number("pairs", work.n_pairs),
                Label::number("chunk_bytes", work.chunk_bytes),
                Label::text("direction", work.direction.name()),
            ],
            Self::SlowReader(work) => vec![Label::number("offer_mib", work.offer_mib)],
            Self::Presence(work) => vec![
                Label::number("peers", work.n_peers),
                Label::number("joins_per_second", work.joins_per_second),
            ],
            Self::E2e(work) => vec![Label::number("pairs", work.n_pairs)],
            Self::Tunnel(work) => vec![Label::number("connections", work.n_connections)],
        }
    }

    /// Returns the layers that the mode wants.
    fn layers(&self) -> Layers {
        match self {
            Self::E2e(_) | Self::Tunnel(_) => Layers::Swarm,
            Self::Idle(_)
            | Self::Join(_)
            | Self::Dial(_)
            | Self::Throughput(_)
            | Self::SlowReader(_)
            | Self::Presence(_) => Layers::Raw,
        }
    }

    /// Returns the name of what runs above a target, for the results.
    pub(crate) fn layers_at(&self, target: &Target) -> &'static str {
        match target.source {
            Source::Relay(Relay::Tls) => "tls",
            Source::Through { .. } => "unknown",
            Source::Relay(_) | Source::OwnStar { .. } | Source::GivenStar { .. } => {
                target.layers(self.layers()).name()
            }
        }
    }

    /// Returns whether the mode says anything about the target.
    pub(crate) fn fits(&self, target: &Target) -> bool {
        match self {
            Self::E2e(_) => target.takes_swarms(),
            Self::Presence(_) => target.is_star(),
            Self::Tunnel(_) => target.leads_to_services(),
            Self::Idle(_)
            | Self::Join(_)
            | Self::Dial(_)
            | Self::Throughput(_)
            | Self::SlowReader(_) => target.joins_peers(),
        }
    }

    /// Starts the target and measures once.
    ///
    /// # Errors
    ///
    /// The target cannot be started, does not do what is asked of it, or its process
    /// has ended.
    pub(crate) async fn measure(&self, target: &Target) -> Result<Readings, Failed> {
        if let Self::Tunnel(work) = self {
            return work.measure(target).await.map_err(Failed::Measuring);
        }
        let running = target.start().await.map_err(Failed::Starting)?;
        let measured = self.measure_at(&running, target.layers(self.layers()));
        measured.await.map_err(Failed::Measuring)
    }

    async fn measure_at(&self, target: &Running, layers: Layers) -> anyhow::Result<Readings> {
        match self {
            Self::Idle(work) => work.measure(target, layers).await,
            Self::Join(work) => work.measure(target, layers).await,
            Self::Dial(work) => work.measure(target, layers).await,
            Self::Throughput(work) => work.measure(target, layers).await,
            Self::SlowReader(work) => work.measure(target, layers).await,
            Self::Presence(work) => work.measure(target, layers).await,
            Self::E2e(work) => work.measure(target, layers).await,
            Self::Tunnel(_) => anyhow::bail!("a tunnel starts its target by itself"),
        }
    }
}

/// Time for a target to finish what joins and leaves have begun.
const SETTLE: Duration = Duration::from_millis(500);

/// Lets a target come to rest, after it has seen a first pair of parties: what it
/// sets up once is not counted to anybody.
async fn warm_up(target: &Running, layers: Layers) -> anyhow::Result<()> {
    use crate::party::Pair;
    for mut pair in Pair::join_many(&target.entrance, layers, 1).await? {
        let connected = pair.connect().await?;
        pair.disconnect(connected).await?;
    }
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

/// What the server's processor did between two looks at it, in percent of one
/// core.
fn cpu_percent(cpu: Duration, elapsed: Duration) -> f64 {
    100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64()
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;

/// Returns by how many bytes something has grown; it may have shrunk.
#[expect(
    clippy::cast_precision_loss,
    reason = "nothing that is measured has 2^52 bytes"
)]
fn growth_bytes(before: u64, after: u64) -> f64 {
    after as f64 - before as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nothing that is measured is counted up to 2^52"
)]
fn as_f64(n: usize) -> f64 {
    n as f64
}
