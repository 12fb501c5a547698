//! What one more peer costs, at several numbers of peers that are there.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use super::{Readings, SETTLE, as_f64, warm_up};
use crate::{
    metrics::BATCHES,
    party::{Entrance, Layers, Party},
    stats::Times,
    target::Running,
};

/// Joins that are on their way at the same time.
const AT_ONCE: usize = 4;

/// A native star that has told nobody of anything for so long has told all: it lets
/// nobody wait for longer than 5 s (R-PRES-5).
const CALM: Duration = Duration::from_millis(5500);

/// Members of a namespace up to which a star has told all of them within [`MOMENT`].
const FEW: usize = 500;

/// How long a target with few peers is looked at.
const MOMENT: Duration = Duration::from_secs(1);

/// How long is waited for calm.
const MAX_UNREST: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) population: usize,
    pub(crate) n_joins: usize,
    /// Each joins a namespace of its own, so that nobody is told.
    pub(crate) apart: bool,
}

impl Join {
    pub(super) async fn measure(
        &self,
        target: &Running,
        layers: Layers,
    ) -> anyhow::Result<Readings> {
        warm_up(target, layers).await?;
        let population = Party::join_many(&target.entrance, layers, self.population).await?;
        let background = self.calm(target).await?;
        let numbers = target.numbers().await;
        let (began, before) = (Instant::now(), target.usage()?);
        let joins = stream::iter(0..self.n_joins).map(|_| async {
            let entrance = self.entrance(target);
            let began = Instant::now();
            let party = Party::join(&entrance, layers).await?;
            anyhow::Ok((party, began.elapsed()))
        });
        let mut joins = joins.buffer_unordered(AT_ONCE);
        let (mut times, mut joined) = (Times::default(), Vec::new());
        while let Some(outcome) = joins.next().await {
            let (party, took) = outcome?;
            times.push(took);
            joined.push(party);
        }
        // What the others hear of it is a part of what it costs.
        if !self.apart {
            self.calm(target).await?;
        }
        let (elapsed, after) = (began.elapsed(), target.usage()?);

        let mut readings = Readings::default();
        if let (Some(before), Some(after)) = (before, after) {
            let anyway = background * elapsed.as_secs_f64();
            let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() - anyway;
            let per_join = cpu.max(0.0) * 1e3 / as_f64(self.n_joins);
            readings.add("cpu_per_join", "ms", per_join);
        }
        if let (Some(before), Some(after)) = (numbers, target.numbers().await) {
            let told = after.growth(&before, BATCHES);
            let told = told.map(|told| told / as_f64(self.n_joins));
            readings.add("told_per_join", "batches", told);
        }
        readings.add("join_p50", "ms", times.percentile_ms(50));
        readings.add("join_p99", "ms", times.percentile_ms(99));
        drop((population, joined));
        Ok(readings)
    }

    fn entrance(&self, target: &Running) -> Entrance {
        if self.apart {
            target.entrance.apart()
        } else {
            target.entrance.clone()
        }
    }

    /// Waits until a star has told everybody of those who have joined. Returns how
    /// much of a core the target takes then. One that does not say what it tells, or
    /// never stops, gets a moment.
    async fn calm(&self, target: &Running) -> anyhow::Result<f64> {
        tokio::time::sleep(SETTLE).await;
        let n_members = self.population + self.n_joins;
        let pause = if n_members <= FEW { MOMENT } else { CALM };
        let end = Instant::now() + MAX_UNREST;
        loop {
            let (numbers, before) = (target.numbers().await, target.usage()?);
            let began = Instant::now();
            tokio::time::sleep(pause).await;
            let (elapsed, after) = (began.elapsed(), target.usage()?);
            let told = numbers.zip(target.numbers().await);
            let told = told.and_then(|(before, after)| after.growth(&before, BATCHES));
            if told.is_none_or(|told| told <= 0.0) || Instant::now() > end {
                let cpu = before.zip(after).map(|(b, a)| a.cpu.saturating_sub(b.cpu));
                return Ok(cpu.unwrap_or_default().as_secs_f64() / elapsed.as_secs_f64());
            }
        }
    }
}
