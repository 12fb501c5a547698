//! Bytes from one party to another, as fast as they go.

use std::{
    io,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use futures_util::AsyncReadExt as _;
use tokio::task::JoinSet;

use super::{GIB, MIB, Readings, growth_bytes};
use crate::{
    load::{self, ByteCount, Flush},
    party::{Connected, Layers, Pair},
    target::Running,
};

/// Time before the measured one, in which queues fill.
const RAMP: Duration = Duration::from_millis(300);

/// Which ends of a stream write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Direction {
    OneWay,
    BothWays,
}

impl Direction {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OneWay => "one-way",
            Self::BothWays => "both-ways",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Throughput {
    pub(crate) n_pairs: usize,
    pub(crate) chunk_bytes: usize,
    pub(crate) direction: Direction,
    pub(crate) flush: Flush,
    pub(crate) window: Duration,
}

impl Throughput {
    pub(super) async fn measure(
        &self,
        target: &Running,
        layers: Layers,
    ) -> anyhow::Result<Readings> {
        let mut pairs = Pair::join_many(&target.entrance, layers, self.n_pairs).await?;
        self.measure_pairs(target, &mut pairs).await
    }

    /// Measures pairs that have joined and are not connected.
    pub(super) async fn measure_pairs(
        &self,
        target: &Running,
        pairs: &mut [Pair],
    ) -> anyhow::Result<Readings> {
        let count = ByteCount::default();
        // Owns readers and writers: they end with this function.
        let mut tasks = JoinSet::new();
        for pair in pairs {
            let connected = pair.connect().await?;
            self.load(&mut tasks, connected, &count);
        }
        tokio::time::sleep(RAMP).await;
        let (began, cpu, n_bytes) = (Instant::now(), target.usage()?, count.get());
        tokio::select! {
            () = tokio::time::sleep(self.window) => {}
            Some(ended) = tasks.join_next() => {
                ended??;
                anyhow::bail!("a stream has ended while it was read");
            }
        }
        let elapsed = began.elapsed();
        let grown = growth_bytes(n_bytes, count.get());
        let mut readings = Readings::default();
        readings.add("throughput", "MiB/s", grown / MIB / elapsed.as_secs_f64());
        if let (Some(before), Some(after)) = (cpu, target.usage()?)
            && grown > 0.0
        {
            let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
            readings.add("cpu_per_gib", "s", cpu / (grown / GIB));
        }
        tasks.shutdown().await;
        Ok(readings)
    }

    fn load(&self, tasks: &mut JoinSet<io::Result<()>>, connected: Connected, count: &ByteCount) {
        let Connected {
            caller,
            callee,
            took: _,
        } = connected;
        let (chunk_bytes, flush) = (self.chunk_bytes, self.flush);
        match self.direction {
            Direction::OneWay => {
                let written = ByteCount::default();
                tasks.spawn(load::write(caller, chunk_bytes, flush, u64::MAX, written));
                tasks.spawn(load::read(callee, count.clone()));
            }
            Direction::BothWays => {
                for stream in [caller, callee] {
                    let (reading, writing) = stream.split();
                    let written = ByteCount::default();
                    tasks.spawn(load::write(writing, chunk_bytes, flush, u64::MAX, written));
                    tasks.spawn(load::read(reading, count.clone()));
                }
            }
        }
    }
}
