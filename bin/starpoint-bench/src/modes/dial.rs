//! Dials, each with the first byte there and back.

use futures_util::future::try_join_all;

use super::{KIB, Readings, SETTLE, as_f64, growth_bytes, warm_up};
use crate::{
    party::{Layers, Pair},
    stats::Times,
    target::Running,
};

#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) n_pairs: usize,
    /// Dials of each pair, one after the other.
    pub(crate) n_dials: usize,
}

impl Dial {
    pub(super) async fn measure(
        &self,
        target: &Running,
        layers: Layers,
    ) -> anyhow::Result<Readings> {
        warm_up(target, layers).await?;
        let pairs = Pair::join_many(&target.entrance, layers, self.n_pairs).await?;
        tokio::time::sleep(SETTLE).await;
        let before = target.usage()?;
        let series = pairs.into_iter().map(|pair| dial(pair, self.n_dials));
        let done = try_join_all(series).await?;
        let busy = target.usage()?;
        // What a finished dial leaves behind may be let go a little later.
        tokio::time::sleep(SETTLE).await;
        let after = target.usage()?;

        let mut times = Times::default();
        let mut pairs = Vec::new();
        for (pair, of_pair) in done {
            times.extend(of_pair);
            pairs.push(pair);
        }
        let mut readings = Readings::default();
        readings.add("dial_p50", "ms", times.percentile_ms(50));
        readings.add("dial_p99", "ms", times.percentile_ms(99));
        if let (Some(before), Some(busy), Some(after)) = (before, busy, after) {
            let n_dials = as_f64(times.len());
            let cpu = busy.cpu.saturating_sub(before.cpu).as_secs_f64();
            readings.add("cpu_per_dial", "ms", cpu * 1e3 / n_dials);
            let grown = growth_bytes(before.rss_bytes, after.rss_bytes);
            readings.add("rss_per_dial", "KiB", grown / n_dials / KIB);
        }
        drop(pairs);
        Ok(readings)
    }
}

/// Dials again and again; the connection is closed each time.
pub(super) async fn dial(mut pair: Pair, n_dials: usize) -> anyhow::Result<(Pair, Times)> {
    let mut times = Times::default();
    for _ in 0..n_dials {
        let connected = pair.connect().await?;
        times.push(connected.took);
        pair.disconnect(connected).await?;
    }
    Ok((pair, times))
}
