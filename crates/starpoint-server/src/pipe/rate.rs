//! How fast a peer may send, in all its pipes together.

use std::{
    num::NonZeroU64,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Most bytes that one direction reads between two charges.
pub(super) const QUANTUM_BYTES: usize = 64 * 1024;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A shared bucket of the generic cell rate algorithm.
///
/// What was read is charged, and its direction reads nothing more until the time
/// that it was given. Each has at most one charge open, so directions take turns
/// in the order of their charges.
#[derive(Debug)]
pub(crate) struct Rate {
    bytes_per_second: NonZeroU64,
    /// When everything that was charged will have been carried.
    clear_at: Mutex<Option<Instant>>,
}

impl Rate {
    /// A bucket that is empty.
    pub(crate) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self {
            bytes_per_second,
            clear_at: Mutex::new(None),
        }
    }

    /// Takes this many bytes; returns when the next may be read.
    pub(super) fn charge(&self, n_bytes: usize, now: Instant) -> Instant {
        let nanos = n_bytes as u128 * NANOS_PER_SECOND / u128::from(self.bytes_per_second.get());
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 4));
        let mut clear_at = self.clear_at.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = clear_at.map_or(now, |at| at.max(now));
        let end = begin.checked_add(time).unwrap_or(begin);
        *clear_at = Some(end);
        end
    }
}
