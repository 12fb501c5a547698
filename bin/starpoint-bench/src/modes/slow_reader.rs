//! A reader that stops, and what others notice of it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{MIB, Readings, growth_bytes, warm_up};
use crate::{
    load::{self, ByteCount, Flush},
    party::{ByteStream, Connected, Layers, Pair},
    stats::Times,
    target::Running,
};

const CHUNK_BYTES: usize = 64 * 1024;

/// Length of a message of the pair that is not at fault.
const ECHO_BYTES: usize = 64;

/// Time for one to come back; one that does not is a failure of the target.
const ECHO_DEADLINE: Duration = Duration::from_secs(30);

/// Pause between two of them.
const ECHO_PAUSE: Duration = Duration::from_millis(5);

#[derive(Clone, Debug)]
pub(crate) struct SlowReader {
    pub(crate) offer_mib: usize,
    pub(crate) window: Duration,
}

impl SlowReader {
    pub(super) async fn measure(
        &self,
        target: &Running,
        layers: Layers,
    ) -> anyhow::Result<Readings> {
        warm_up(target, layers).await?;
        let mut pairs = Pair::join_many(&target.entrance, layers, 2).await?;
        let (slow, other) = (pairs.pop(), pairs.pop());
        let (mut slow, mut other) = slow.zip(other).context("two pairs have joined")?;
        let Connected {
            caller: mut echoed,
            callee,
            ..
        } = other.connect().await?;
        let _echo = AbortOnDropHandle::new(tokio::spawn(load::echo(callee)));
        let (unloaded, _) = self.watch(target, &mut echoed).await?;

        // The callee holds its stream and never reads it.
        let Connected { caller, callee, .. } = slow.connect().await?;
        let before = target.usage()?;
        let taken = ByteCount::default();
        let n_offered = self.offer_mib as u64 * 1024 * 1024;
        let offer = load::write(caller, CHUNK_BYTES, Flush::Each, n_offered, taken.clone());
        let _offer = AbortOnDropHandle::new(tokio::spawn(offer));
        let (loaded, peak_rss_bytes) = self.watch(target, &mut echoed).await?;

        let mut readings = Readings::default();
        if let Some(before) = before {
            let grown = growth_bytes(before.rss_bytes, peak_rss_bytes);
            readings.add("rss_growth", "MiB", grown / MIB);
        }
        readings.add("taken", "MiB", growth_bytes(0, taken.get()) / MIB);
        for (name, times, percent) in [
            ("echo_p50_unloaded", &unloaded, 50),
            ("echo_p99_unloaded", &unloaded, 99),
            ("echo_p50_loaded", &loaded, 50),
            ("echo_p99_loaded", &loaded, 99),
        ] {
            readings.add(name, "ms", times.percentile_ms(percent));
        }
        drop(callee);
        Ok(readings)
    }

    /// Returns how long echoes took, and the most memory that the server had.
    async fn watch(
        &self,
        target: &Running,
        stream: &mut ByteStream,
    ) -> anyhow::Result<(Times, u64)> {
        let (mut times, mut peak_rss_bytes) = (Times::default(), 0);
        let began = Instant::now();
        while began.elapsed() < self.window {
            let sent = Instant::now();
            let echo = async {
                stream.write_all(&[0; ECHO_BYTES]).await?;
                stream.flush().await?;
                stream.read_exact(&mut [0; ECHO_BYTES]).await
            };
            timeout(ECHO_DEADLINE, echo)
                .await
                .context("no echo in time")??;
            times.push(sent.elapsed());
            if let Some(usage) = target.usage()? {
                peak_rss_bytes = peak_rss_bytes.max(usage.rss_bytes);
            }
            tokio::time::sleep(ECHO_PAUSE).await;
        }
        Ok((times, peak_rss_bytes))
    }
}
