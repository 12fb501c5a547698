//! Swarms: what a user of libp2p gets, encryption and multiplexing included.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::{
    Readings,
    dial::dial,
    throughput::{Direction, Throughput},
};
use crate::{
    load::Flush,
    party::{Layers, Pair},
    stats::Times,
    target::Running,
};

const CHUNK_BYTES: usize = 64 * 1024;

#[derive(Clone, Debug)]
pub(crate) struct E2e {
    pub(crate) n_pairs: usize,
    /// Dials of each pair, one after the other.
    pub(crate) n_dials: usize,
    pub(crate) window: Duration,
}

impl E2e {
    pub(super) async fn measure(
        &self,
        target: &Running,
        layers: Layers,
    ) -> anyhow::Result<Readings> {
        let pairs = Pair::join_many(&target.entrance, layers, self.n_pairs).await?;
        let series = pairs.into_iter().map(|pair| dial(pair, self.n_dials));
        let mut times = Times::default();
        let mut pairs = Vec::new();
        for (pair, of_pair) in try_join_all(series).await? {
            times.extend(of_pair);
            pairs.push(pair);
        }
        let bulk = Throughput {
            n_pairs: self.n_pairs,
            chunk_bytes: CHUNK_BYTES,
            direction: Direction::OneWay,
            flush: Flush::Never,
            window: self.window,
        };
        let mut readings = Readings::default();
        readings.add("dial_p50", "ms", times.percentile_ms(50));
        readings.add("dial_p99", "ms", times.percentile_ms(99));
        readings
            .0
            .extend(bulk.measure_pairs(target, &mut pairs).await?.0);
        Ok(readings)
    }
}
