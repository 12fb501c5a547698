//! Peers that have joined and do nothing.

use std::time::{Duration, Instant};

use super::{KIB, Readings, as_f64, cpu_percent, growth_bytes, warm_up};
use crate::{
    party::{Layers, Party},
    target::Running,
};

#[derive(Clone, Debug)]
pub(crate) struct Idle {
    pub(crate) n_peers: usize,
    pub(crate) hold: Duration,
}

impl Idle {
    pub(super) async fn measure(
        &self,
        target: &Running,
        layers: Layers,
    ) -> anyhow::Result<Readings> {
        warm_up(target, layers).await?;
        let empty = target.usage()?;
        let parties = Party::join_many(&target.entrance, layers, self.n_peers).await?;
        // Who joins last is told of at once; that is not idleness.
        tokio::time::sleep(super::SETTLE).await;
        let (began, before) = (Instant::now(), target.usage()?);
        let received = target.received();
        tokio::time::sleep(self.hold).await;
        let (elapsed, after) = (began.elapsed(), target.usage()?);

        let n_peers = as_f64(self.n_peers);
        let mut readings = Readings::default();
        if let (Some(empty), Some(before), Some(after)) = (empty, before, after) {
            let grown = growth_bytes(empty.rss_bytes, after.rss_bytes);
            readings.add("rss_per_peer", "KiB", grown / n_peers / KIB);
            let percent = cpu_percent(after.cpu.saturating_sub(before.cpu), elapsed);
            readings.add("cpu", "%", percent);
        }
        if let (Some((before, _)), Some((after, _))) = (received, target.received()) {
            let per_second = growth_bytes(before, after) / elapsed.as_secs_f64();
            readings.add("messages_per_peer", "1/s", per_second / n_peers);
        }
        drop(parties);
        Ok(readings)
    }
}
