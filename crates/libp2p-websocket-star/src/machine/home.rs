//! When a home is connected, and when it is tried again.

use std::time::Duration;

use web_time::Instant;

use super::backoff::Backoff;
use crate::{config::Config, error::Error};

/// Where a home stands.
///
/// ```text
///              its time has come, or somebody dials
///   Waiting ──────────────────────────────────────► Connecting
///      ▲                                                │ joined
///      │              failed or lost                    ▼
///      └────────────────────────────────────────────── Live
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting { until: Instant },
    Connecting,
    Live { since: Instant },
}

/// The lifecycle of one home.
#[derive(Debug)]
pub(crate) struct Home {
    state: State,
    failures: Backoff,
    takeovers: Backoff,
    /// A dial does not hasten the next attempt to before this time.
    not_before: Instant,
    stable_after: Duration,
    hasten_after: Duration,
}

impl Home {
    /// Returns a home that is to be connected now.
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        Self {
            state: State::Waiting { until: now },
            failures: Backoff::new(config.backoff_base, config.backoff_cap),
            takeovers: Backoff::new(config.takeover_backoff_base, config.takeover_backoff_cap),
            not_before: now,
            stable_after: config.stable_after,
            hasten_after: config.backoff_base,
        }
    }

    /// Returns when to call [`start`](Self::start), if the home waits.
    pub(crate) fn next_attempt(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Connecting | State::Live { .. } => None,
        }
    }

    /// Begins an attempt if it is time; returns whether it is.
    pub(crate) fn start(&mut self, now: Instant) -> bool {
        let is_due = self.next_attempt().is_some_and(|until| until <= now);
        if is_due {
            self.state = State::Connecting;
        }
        is_due
    }

    /// Somebody wants to dial: a home that waits is tried as soon as it may
    /// (R-TRANS-6). One that another process has taken over stays as it is.
    pub(crate) fn hasten(&mut self) {
        if let State::Waiting { until } = &mut self.state {
            *until = (*until).min(self.not_before);
        }
    }

    /// The machine was asleep: what failed before says nothing about now.
    pub(crate) fn woke(&mut self, now: Instant) {
        if let State::Waiting { until } = &mut self.state
            && self.not_before < *until
        {
            *until = now;
            self.failures.reset();
        }
    }

    /// The star has let the peer in.
    pub(crate) fn joined(&mut self, now: Instant) {
        self.state = State::Live { since: now };
    }

    /// The attempt failed or the home is lost; returns the time to the next
    /// attempt. `random` is uniform over all values.
    pub(crate) fn lost(&mut self, error: &Error, now: Instant, random: u32) -> Duration {
        if let State::Live { since } = self.state {
            let lasted = now.saturating_duration_since(since);
            if lasted >= self.stable_after {
                self.failures.reset();
            }
            if lasted >= self.takeovers.cap() {
                self.takeovers.reset();
            }
        }
        let (wait, not_before) = match error {
            Error::Slept => (Duration::ZERO, now),
            Error::TakenOver => {
                let wait = self.takeovers.next(random);
                (wait, now + wait)
            }
            Error::StarUnreachable(_)
            | Error::StarLost(_)
            | Error::Protocol(_)
            | Error::StarUnproved
            | Error::StarDenied(_)
            | Error::StarChanged(_)
            | Error::StarTwin(_)
            | Error::ChallengeDisabled
            | Error::JoinRefused(_)
            | Error::JoinRefusedOther(_)
            | Error::Key
            | Error::PeerNotFound
            | Error::Refused(_)
            | Error::RefusedByPeer(_)
            | Error::Deadline(_)
            | Error::DialSelf
            | Error::PeerMissing
            | Error::ForeignPeer
            | Error::AlreadyHome
            | Error::TooManyDials
            | Error::TooManyVisits
            | Error::InboundGone
            | Error::Closed => (self.failures.next(random), now + self.hasten_after),
        };
        let until = now + wait;
        self.not_before = not_before.min(until);
        self.state = State::Waiting { until };
        wait
    }
}

#[cfg(test)]
mod tests {
    use starpoint_sio::OpenError;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn home(now: Instant) -> Home {
        Home::new(&Config::default(), now)
    }

    fn unreachable() -> Error {
        Error::StarUnreachable(OpenError::Deadline)
    }

    #[test]
    fn r_trans_3_a_home_is_tried_for_ever_and_begins_anew_once_it_was_stable() {
        let mut now = Instant::now();
        let mut home = home(now);
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(home.start(now), "it is time");
            assert_eq!(home.lost(&unreachable(), now, 0), expected * SECOND);
            assert!(!home.start(now), "it is not yet time");
            now += expected * SECOND;
        }
        assert!(home.start(now));
        home.joined(now);
        now += 29 * SECOND;
        assert_eq!(home.lost(&unreachable(), now, 0), 60 * SECOND, "not stable");
        now += 60 * SECOND;
        assert!(home.start(now));
        home.joined(now);
        now += 30 * SECOND;
        assert_eq!(home.lost(&unreachable(), now, 0), SECOND);
    }

    #[test]
    fn r_trans_6_a_dial_hastens_the_next_attempt_but_not_below_the_base() {
        let now = Instant::now();
        let mut home = home(now);
        for _ in 0..5 {
            home.lost(&unreachable(), now, 0);
        }
        home.hasten();
        assert_eq!(home.next_attempt(), Some(now + SECOND));
    }

    #[test]
    fn r_trans_7_a_takeover_is_answered_slowly_and_no_dial_hastens_it() {
        let now = Instant::now();
        let mut home = home(now);
        assert_eq!(home.lost(&Error::TakenOver, now, 0), 30 * SECOND);
        home.hasten();
        home.woke(now);
        assert_eq!(home.next_attempt(), Some(now + 30 * SECOND));
        assert_eq!(home.lost(&Error::TakenOver, now, 0), 60 * SECOND);
        home.joined(now);
        let later = now + 40 * SECOND;
        assert_eq!(home.lost(&Error::TakenOver, later, 0), 120 * SECOND);
        home.joined(later);
        let much_later = later + 600 * SECOND;
        assert_eq!(home.lost(&Error::TakenOver, much_later, 0), 30 * SECOND);
    }

    #[test]
    fn r_trans_8_after_sleep_the_home_is_tried_at_once() {
        let now = Instant::now();
        let mut home = home(now);
        home.joined(now);
        assert_eq!(home.lost(&Error::Slept, now, 0), Duration::ZERO);
        assert!(home.start(now));
        for _ in 0..5 {
            home.lost(&unreachable(), now, 0);
        }
        assert!(!home.start(now));
        home.woke(now);
        assert!(home.start(now));
    }
}
