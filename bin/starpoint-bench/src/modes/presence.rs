//! Peers that come and go, and what those hear of it that stay.

use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{KIB, Readings, SETTLE, as_f64, cpu_percent, growth_bytes, warm_up};
use crate::{
    metrics::{ANNOUNCEMENTS, BATCHES},
    party::{Layers, Party},
    target::Running,
};

/// How long a peer stays.
const STAY: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub(crate) struct Presence {
    pub(crate) n_peers: usize,
    pub(crate) joins_per_second: usize,
    pub(crate) window: Duration,
}

impl Presence {
    pub(super) async fn measure(
        &self,
        target: &Running,
        layers: Layers,
    ) -> anyhow::Result<Readings> {
        warm_up(target, layers).await?;
        let idle = Party::join_many(&target.entrance, layers, self.n_peers).await?;
        tokio::time::sleep(SETTLE).await;
        let numbers = target.numbers().await;
        let received = target.received();
        let (began, before) = (Instant::now(), target.usage()?);
        let n_joins = self.churn(target, layers).await?;
        let (elapsed, after) = (began.elapsed(), target.usage()?);
        let seconds = elapsed.as_secs_f64();

        let mut readings = Readings::default();
        readings.add("joins", "1/s", as_f64(n_joins) / seconds);
        if let (Some(before), Some(after)) = (before, after) {
            let percent = cpu_percent(after.cpu.saturating_sub(before.cpu), elapsed);
            readings.add("cpu", "%", percent);
        }
        // Those that come and go are told, too; they are few.
        if let (Some(before), Some(after)) = (received, target.received()) {
            let n_messages = growth_bytes(before.0, after.0);
            readings.add("messages", "1/s", n_messages / seconds);
            let n_bytes = growth_bytes(before.1, after.1);
            readings.add("received", "KiB/s", n_bytes / KIB / seconds);
        }
        if let (Some(before), Some(after)) = (numbers, target.numbers().await) {
            for (metric, name) in [("announcements", ANNOUNCEMENTS), ("batches", BATCHES)] {
                let told = after.growth(&before, name);
                readings.add(metric, "1/s", told.map(|told| told / seconds));
            }
        }
        drop(idle);
        Ok(readings)
    }

    /// Lets peers come and go; returns how many came. One that could not come in
    /// time is not made up for.
    async fn churn(&self, target: &Running, layers: Layers) -> anyhow::Result<usize> {
        let pause = Duration::from_secs(1) / u32::try_from(self.joins_per_second)?;
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = tokio::time::sleep(self.window);
        tokio::pin!(end);
        let (mut visits, mut n_joins) = (JoinSet::new(), 0);
        loop {
            tokio::select! {
                () = &mut end => return Ok(n_joins),
                Some(visit) = visits.join_next() => {
                    visit??;
                }
                _ = ticks.tick() => {
                    n_joins += 1;
                    let entrance = target.entrance.clone();
                    visits.spawn(async move {
                        let party = Party::join(&entrance, layers).await?;
                        tokio::time::sleep(STAY).await;
                        drop(party);
                        anyhow::Ok(())
                    });
                }
            }
        }
    }
}
