//! Bounds on what may wait in a broker, and the rates that it takes.
//!
//! `spec/04-limits.md` has the same numbers, the policy of every queue, and why.

use std::time::{Duration, Instant};

/// Bytes handed to a connection's transport and not yet written, above which the
/// broker keeps the rest (R-FLOW-1). One message may lie above the mark.
pub const WINDOW_BYTES: usize = 256 * 1024;
/// Packets handed to a connection's transport and not yet written, above which the
/// broker keeps the rest. Half of what the transport's own queue must hold.
pub const WINDOW_PACKETS: usize = 96;

/// Bytes waiting in one stream above which its writer is no longer read (R-FLOW-2).
pub const STREAM_HIGH_BYTES: usize = 256 * 1024;
/// Bytes waiting in one stream below which its writer is read again.
pub const STREAM_LOW_BYTES: usize = 64 * 1024;
/// Bytes waiting for one destination above which its writers are no longer read.
pub const DESTINATION_HIGH_BYTES: usize = 1024 * 1024;
/// Bytes waiting for one destination below which its writers are read again.
pub const DESTINATION_LOW_BYTES: usize = 256 * 1024;
/// Bytes waiting in all streams above which writers to a busy destination are no
/// longer read. Writers to an idle destination go on.
pub const TOTAL_HIGH_BYTES: usize = 64 * 1024 * 1024;
/// Bytes waiting in all streams below which all writers are read again.
pub const TOTAL_LOW_BYTES: usize = 48 * 1024 * 1024;
/// Added to the length of each chunk, so that empty chunks are bounded too.
pub const CHUNK_OVERHEAD_BYTES: usize = 128;

/// Bytes of replies and notices waiting for one connection above which its own
/// calls are no longer read and dials to it are refused (R-FLOW-3).
pub const CONTROL_HIGH_BYTES: usize = 64 * 1024;
/// Bytes of replies and notices below which its calls are read again.
pub const CONTROL_LOW_BYTES: usize = 16 * 1024;

/// Time in which a destination that holds up a writer has to take
/// [`STALL_MIN_BYTES`], or its streams are ended (R-FLOW-4).
pub const STALL_DEADLINE: Duration = Duration::from_secs(10);
/// See [`STALL_DEADLINE`].
pub const STALL_MIN_BYTES: usize = 64 * 1024;
/// Time that the reader of an ended stream has to accept it before the stream is
/// forgotten (R-STREAM-9).
pub const UNACCEPTED_DEADLINE: Duration = Duration::from_secs(30);

/// Most addresses of one connection (R-LIMIT-5).
pub const MAX_ADDRESSES: usize = 16;
/// Most addresses of one peer, of all its connections; one more takes the place of its
/// oldest (R-LIMIT-27).
pub const MAX_ADDRESSES_OF_PEER: usize = 16;
/// The part of a whole that one source may have, and that peers in grace may have: a
/// quarter, but not less than [`MIN_SHARE`].
pub const fn share_of(whole: usize) -> usize {
    let quarter = whole / 4;
    if quarter < MIN_SHARE {
        MIN_SHARE
    } else {
        quarter
    }
}
/// See [`share_of`]: an office, behind one address.
pub const MIN_SHARE: usize = 64;
/// Time in which a source may join as often as at once (R-LIMIT-26).
pub const SOURCE_JOINS_PERIOD: Duration = Duration::from_secs(30);
/// Most open challenges of one connection (R-LIMIT-6).
pub const MAX_CHALLENGES: usize = 16;
/// Failed answers after which a connection is closed (R-JOIN-7).
pub const MAX_FAILED_ANSWERS: u32 = 8;
/// Most dials and dialed connections that one side has made, and as many that it has
/// been asked for (R-LIMIT-7, R-LIMIT-11): of a connection in the legacy profile, of a
/// peer in the native one.
pub const MAX_LINKS: usize = 512;
/// Most dials and dialed connections between two sides (R-LIMIT-10), so that no one
/// peer can take all that another may have.
pub const MAX_LINKS_OF_PAIR: usize = 256;
/// Most dials and dialed connections that the peers of one source have with one
/// callee (R-LIMIT-14): a quarter is left for others.
pub const MAX_LINKS_OF_SOURCE: usize = MAX_LINKS / 4 * 3;
/// The part of [`MAX_LINKS_OF_SOURCE`] that a callee may have been asked for and not
/// have agreed to.
pub const MAX_WAITING_OF_SOURCE: usize = MAX_LINKS / 4;
/// Dials by pipe of one peer whose own side is not there and whose callee is asked all
/// the same (R-DIAL-17).
pub const MAX_UNMET: usize = 8;
/// As [`MAX_UNMET`], of all peers of one source.
pub const MAX_UNMET_OF_SOURCE: usize = 32;
/// Time that a peer that dials by pipe has to open its own side (R-DIAL-17).
pub const OWN_SIDE_DEADLINE: Duration = Duration::from_secs(5);
/// Time without a chunk after which a link makes room for a new one when its callee
/// has as many as it may (R-LIMIT-15).
pub const IDLE_LINK: Duration = Duration::from_secs(10 * 60);

/// Most addresses in the answer to a join; drawn at random (R-PEER-4).
///
/// A transport keeps a buffer as large as the largest thing that it ever sent, for
/// as long as it lives.
pub const MAX_JOIN_LIST: usize = 128;
/// Most connections that are told of a new peer at once (R-PEER-5).
pub const MAX_IMMEDIATE_NOTICES: usize = 256;
/// Shortest time between two announcements of one peer to another.
pub const MIN_ANNOUNCE_INTERVAL: Duration = Duration::from_millis(100);
/// Longest time between two announcements of one peer to another.
pub const MAX_ANNOUNCE_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Announcements that a star makes in an interval, shared by its connections
/// (R-PEER-3).
pub const ANNOUNCE_BUDGET: usize = 20_000;
/// Bytes that an announcement in an interval may have on average; longer ones are
/// fewer (R-PEER-3).
pub const ANNOUNCEMENT_BYTES: usize = 256;
/// Bytes of immediate announcements about the peers of one source: burst, and a second
/// (R-LIMIT-29).
pub const ANNOUNCED_BYTES_OF_SOURCE: (u32, u32) = (128 * 1024, 32 * 1024);
/// The same, about all peers.
pub const ANNOUNCED_BYTES: (u32, u32) = (2 * 1024 * 1024, 256 * 1024);
/// Least announcements to one connection in an interval, however many are here.
pub const MIN_ANNOUNCEMENTS: usize = 4;
/// Most announcements to one connection in an interval.
pub const MAX_ANNOUNCEMENTS: usize = 128;

/// Bytes of pages of one connection: burst, and a second (R-LIMIT-28).
pub const PAGE_BYTES: (u32, u32) = (4 * 1024 * 1024, 64 * 1024);
/// The same, of all connections of one source.
pub const PAGE_BYTES_OF_SOURCE: (u32, u32) = (32 * 1024 * 1024, 1024 * 1024);

/// How long a native peer whose connection breaks counts as being here, by default
/// (R-PRES-6).
pub const GRACE: Duration = Duration::from_secs(15);
/// Shortest time between two batches of a namespace (R-PRES-5).
pub const MIN_BATCH_INTERVAL: Duration = Duration::from_millis(100);
/// Longest time between two batches of a namespace.
pub const MAX_BATCH_INTERVAL: Duration = Duration::from_secs(5);
/// Batches that a namespace sends in a second, to all its readers together.
pub const PRESENCE_PER_SECOND: u32 = 2_000;

/// Joins and leaves of one connection: burst, and time for one more (R-LIMIT-8).
pub(crate) const JOIN_RATE: Rate = Rate {
    burst: 64,
    period: Duration::from_millis(50),
};
/// Dials of one connection: burst, and time for one more (R-LIMIT-9).
pub(crate) const DIAL_RATE: Rate = Rate {
    burst: 512,
    period: Duration::from_millis(10),
};

/// A rate that a connection may not pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    burst: u32,
    period: Duration,
}

impl Rate {
    /// Returns the rate of so many at once, and so many a second.
    pub(crate) fn per_second((burst, per_second): (u32, u32)) -> Self {
        Self {
            burst,
            period: Duration::from_secs(1) / per_second,
        }
    }

    /// Returns the rate of `burst` at once, and as many again within `time`.
    pub(crate) fn over(burst: usize, time: Duration) -> Self {
        let burst = u32::try_from(burst).unwrap_or(u32::MAX).max(1);
        Self {
            burst,
            period: time / burst,
        }
    }
}

/// Calls that a connection has left, as the time at which it would be even.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    even_at: Option<Instant>,
}

impl Bucket {
    /// Takes one call; `false` when the rate is used up.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let even_at = self.even_at.map_or(now, |at| at.max(now)) + rate.period;
        if even_at.duration_since(now) > rate.period * rate.burst {
            return false;
        }
        self.even_at = Some(even_at);
        true
    }

    /// Takes so many, and goes into debt if it has less.
    pub(crate) fn charge(&mut self, rate: Rate, n_units: usize, now: Instant) {
        let n_units = u32::try_from(n_units).unwrap_or(u32::MAX);
        self.even_at = Some(self.even_at.map_or(now, |at| at.max(now)) + rate.period * n_units);
    }

    /// Returns how many are left.
    pub(crate) fn left(&self, rate: Rate, now: Instant) -> usize {
        let used = self.even_at.map_or(Duration::ZERO, |at| at - now.min(at));
        let left = (rate.period * rate.burst).saturating_sub(used);
        let n_left = left.as_nanos() / rate.period.as_nanos().max(1);
        usize::try_from(n_left).unwrap_or(usize::MAX)
    }

    /// Returns how long it has none left; nothing if it has some.
    pub(crate) fn wait(&self, rate: Rate, now: Instant) -> Option<Duration> {
        let used = self.even_at?.saturating_duration_since(now);
        let spare = rate.period * rate.burst.saturating_sub(1);
        Some(used.checked_sub(spare)?).filter(|wait| !wait.is_zero())
    }

    /// Returns whether it gives its whole burst again.
    pub(crate) fn is_even(&self, now: Instant) -> bool {
        self.even_at.is_none_or(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_of_bytes_may_be_overdrawn_once_and_says_how_long_that_lasts() {
        let rate = Rate::per_second((1_000, 100));
        let start = Instant::now();
        let mut bucket = Bucket::default();
        assert_eq!(
            (bucket.left(rate, start), bucket.wait(rate, start)),
            (1_000, None)
        );
        bucket.charge(rate, 900, start);
        assert_eq!(
            (bucket.left(rate, start), bucket.wait(rate, start)),
            (100, None)
        );
        bucket.charge(rate, 600, start);
        assert_eq!(bucket.left(rate, start), 0);
        let wait = bucket.wait(rate, start).expect("a debt");
        assert_eq!(wait, Duration::from_millis(5_010));
        assert_eq!(bucket.wait(rate, start + wait), None);
        assert_eq!(bucket.left(rate, start + Duration::from_secs(6)), 100);
        assert!(!bucket.is_even(start + Duration::from_secs(14)));
        assert!(bucket.is_even(start + Duration::from_secs(15)));
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate {
            burst: 3,
            period: Duration::from_secs(1),
        };
        let start = Instant::now();
        let mut bucket = Bucket::default();
        let taken = (0..5).filter(|_| bucket.take(rate, start)).count();
        assert_eq!(taken, 3);
        assert!(!bucket.take(rate, start + Duration::from_millis(999)));
        assert!(bucket.take(rate, start + Duration::from_secs(1)));
        assert!(!bucket.take(rate, start + Duration::from_secs(1)));
    }
}
