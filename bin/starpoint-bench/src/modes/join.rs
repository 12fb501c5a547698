//! What one more peer costs, at several numbers of peers that are there.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use super::{Readings, SETTLE, as_f64, warm_up};
use crate::{
    party::{Layers, Party},
    stats::Times,
    target::Running,
};

/// Joins that are on their way at the same time.
const AT_ONCE: usize = 4;

/// How long is looked at what the target does anyway.
const BACKGROUND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) population: usize,
    pub(crate) n_joins: usize,
}

impl Join {
    pub(super) async fn measure(
        &self,
        target: &Running,
        layers: Layers,
    ) -> anyhow::Result<Readings> {
        warm_up(target, layers).await?;
        let population = Party::join_many(&target.entrance, layers, self.population).await?;
        tokio::time::sleep(SETTLE).await;
        let rest = target.usage()?;
        tokio::time::sleep(BACKGROUND).await;

        let (began, before) = (Instant::now(), target.usage()?);
        let joins = stream::iter(0..self.n_joins).map(|_| async {
            let began = Instant::now();
            let party = Party::join(&target.entrance, layers).await?;
            anyhow::Ok((party, began.elapsed()))
        });
        let mut joins = joins.buffer_unordered(AT_ONCE);
        let (mut times, mut joined) = (Times::default(), Vec::new());
        while let Some(outcome) = joins.next().await {
            let (party, took) = outcome?;
            times.push(took);
            joined.push(party);
        }
        let elapsed = began.elapsed();

        let mut readings = Readings::default();
        if let (Some(rest), Some(before), Some(after)) = (rest, before, target.usage()?) {
            let background = before.cpu.saturating_sub(rest.cpu).as_secs_f64();
            let background = background / BACKGROUND.as_secs_f64() * elapsed.as_secs_f64();
            let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() - background;
            let per_join = cpu.max(0.0) * 1e3 / as_f64(self.n_joins);
            readings.add("cpu_per_join", "ms", per_join);
        }
        readings.add("join_p50", "ms", times.percentile_ms(50));
        readings.add("join_p99", "ms", times.percentile_ms(99));
        drop((population, joined));
        Ok(readings)
    }
}
