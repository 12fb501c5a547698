//! Results: what the rounds of one case at one target come to.

use serde_json::{Map, Value, json};

use crate::{modes::Label, plan::Measure, profile::Profile, run::Row, stats::Summary};

/// The result of one case at one target.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) mode: &'static str,
    pub(crate) labels: Vec<Label>,
    pub(crate) target: String,
    layers: &'static str,
    /// `None` where there are no stars.
    profile: Option<Profile>,
    n_rounds: usize,
    pub(crate) metrics: Vec<Metric>,
}

/// One metric of a result.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) summary: Summary,
    /// Median by the median of the first target in the same case; `None` for that
    /// one itself, and by nothing.
    pub(crate) ratio: Option<f64>,
}

/// Sums up rows.
pub(crate) fn outcomes(plan: &Measure, rows: &[Row<'_>]) -> Vec<Outcome> {
    let mut outcomes = Vec::<Outcome>::new();
    for row in rows {
        let labels = row.work.labels();
        let first = outcomes.iter().find(|other| {
            plan.targets.first().is_some_and(|t| t.name == other.target) && other.labels == labels
        });
        let metrics = metrics(row, first);
        outcomes.push(Outcome {
            mode: row.work.mode(),
            labels,
            target: row.target.name.clone(),
            layers: row.work.layers_at(row.target),
            profile: row.target.is_star().then_some(row.target.profile),
            n_rounds: row.rounds.len(),
            metrics,
        });
    }
    outcomes
}

fn metrics(row: &Row<'_>, first: Option<&Outcome>) -> Vec<Metric> {
    let mut metrics = Vec::<Metric>::new();
    for reading in row.rounds.iter().flat_map(|round| &round.0) {
        if metrics.iter().any(|metric| metric.name == reading.metric) {
            continue;
        }
        let of_all = row.rounds.iter().flat_map(|round| &round.0);
        let values: Vec<_> = of_all
            .filter(|other| other.metric == reading.metric)
            .map(|other| other.value)
            .collect();
        let Some(summary) = Summary::of(&values) else {
            continue;
        };
        let base = first
            .and_then(|first| first.metrics.iter().find(|m| m.name == reading.metric))
            .map(|metric| metric.summary.median);
        metrics.push(Metric {
            name: reading.metric,
            unit: reading.unit,
            summary,
            ratio: base
                .filter(|base| *base > 0.0)
                .map(|base| summary.median / base),
        });
    }
    metrics
}

impl Outcome {
    /// Returns the case, `pairs=1 chunk_bytes=65536`.
    pub(crate) fn case(&self) -> String {
        let labels: Vec<_> = self.labels.iter().map(ToString::to_string).collect();
        labels.join(" ")
    }

    /// Returns the result as an object.
    pub(crate) fn to_json(&self) -> Value {
        let case: Map<_, _> = self
            .labels
            .iter()
            .map(|label| (label.name.to_owned(), json!(label.value)))
            .collect();
        let metrics: Map<_, _> = self
            .metrics
            .iter()
            .map(|metric| (metric.name.to_owned(), metric.to_json()))
            .collect();
        json!({
            "mode": self.mode,
            "target": self.target,
            "layers": self.layers,
            "profile": self.profile,
            "case": case,
            "rounds": self.n_rounds,
            "metrics": metrics,
        })
    }
}

impl Metric {
    fn to_json(&self) -> Value {
        json!({
            "unit": self.unit,
            "median": self.summary.median,
            "min": self.summary.min,
            "max": self.summary.max,
            "ratio": self.ratio,
        })
    }
}
