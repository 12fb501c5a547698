//! How long to wait before the next attempt.

use std::time::Duration;

/// Waits that double up to a cap, each shortened by a random part of up to half,
/// so that the peers of a star that restarts do not come back at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    n_failures: u32,
}

impl Backoff {
    pub(crate) fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            n_failures: 0,
        }
    }

    /// Returns the next wait; `random` is uniform over all values.
    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let factor = 2u32.saturating_pow(self.n_failures);
        let full = self.base.saturating_mul(factor).min(self.cap);
        self.n_failures = self.n_failures.saturating_add(1);
        full - full.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
    }

    pub(crate) fn cap(&self) -> Duration {
        self.cap
    }

    pub(crate) fn reset(&mut self) {
        self.n_failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_trans_3_waits_double_up_to_the_cap_and_are_jittered_by_half() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let seconds: Vec<_> = (0..9).map(|_| backoff.next(0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.next(u32::MAX), Duration::from_millis(500));
        for _ in 0..100 {
            backoff.next(0);
        }
        assert_eq!(backoff.next(0), Duration::from_secs(60), "for ever");
    }
}
