//! Whether the machine was asleep.

use std::time::Duration;

use web_time::{Instant, SystemTime};

/// How late a look may be before it means sleep: more than any scheduler takes.
const SLACK: Duration = Duration::from_secs(10);

/// Looks at two clocks from time to time. The monotonic one of some systems
/// stands still during sleep, so the wall clock gets ahead of it; on others it
/// runs on, and the look comes late.
#[derive(Debug)]
pub(crate) struct WakeWatch {
    interval: Duration,
    last: (Instant, SystemTime),
}

impl WakeWatch {
    pub(crate) fn new(interval: Duration, now: Instant, wall: SystemTime) -> Self {
        Self {
            interval,
            last: (now, wall),
        }
    }

    /// Returns when to look next.
    pub(crate) fn next_look(&self) -> Instant {
        self.last.0 + self.interval
    }

    /// Looks, if it is time; returns whether the machine was asleep since the last
    /// look (R-TRANS-8). A wall clock that is set forward looks like sleep, too;
    /// all that follows is a question to the star.
    pub(crate) fn look(&mut self, now: Instant, wall: SystemTime) -> bool {
        if now < self.next_look() {
            return false;
        }
        let (last_now, last_wall) = std::mem::replace(&mut self.last, (now, wall));
        let elapsed = now.saturating_duration_since(last_now);
        let wall_elapsed = wall.duration_since(last_wall).unwrap_or_default();
        elapsed > self.interval + SLACK || wall_elapsed > elapsed + SLACK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(15);

    #[test]
    fn r_trans_8_sleep_shows_on_either_clock_and_small_delays_do_not() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let minute = Duration::from_secs(60);
        for (elapsed, wall_elapsed, slept) in [
            (TICK, TICK, false),
            (TICK + SLACK, TICK + SLACK, false),
            (TICK, TICK + minute, true),
            (TICK + minute, TICK + minute, true),
            (TICK - TICK / 2, minute, false),
        ] {
            let mut watch = WakeWatch::new(TICK, now, wall);
            let looked = watch.look(now + elapsed, wall + wall_elapsed);
            assert_eq!(looked, slept, "{elapsed:?} {wall_elapsed:?}");
        }
    }

    #[test]
    fn r_trans_8_a_wall_clock_that_is_set_back_is_no_sleep() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut watch = WakeWatch::new(TICK, now, wall);
        assert!(!watch.look(now + TICK, wall - Duration::from_secs(3600)));
        assert!(!watch.look(now + 2 * TICK, wall - Duration::from_secs(3600) + TICK));
    }
}
