//! Buffers that all pipes take turns with.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// Length of a buffer, with the room in front.
pub(super) const BUFFER_BYTES: usize = 128 * 1024;

/// Length of a buffer when all large ones are in use.
const SMALL_BYTES: usize = 4 * 1024;

/// Most large buffers that nobody needs and that are kept for later.
const MAX_IDLE: usize = 64;

/// Lends buffers. At most a number of large ones is out at once; who comes then
/// gets a small one, so that no pipe waits for the slow readers of others.
#[derive(Debug)]
pub(crate) struct Buffers {
    idle: Mutex<Vec<Box<[u8]>>>,
    n_lent: AtomicUsize,
    max_lent: usize,
}

impl Buffers {
    /// `max_bytes`: how much all large buffers may take.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            idle: Mutex::default(),
            n_lent: AtomicUsize::new(0),
            max_lent: max_bytes / BUFFER_BYTES,
        }
    }

    pub(super) fn take(&self) -> Box<[u8]> {
        if self.n_lent.fetch_add(1, Ordering::Relaxed) >= self.max_lent {
            self.n_lent.fetch_sub(1, Ordering::Relaxed);
            return vec![0; SMALL_BYTES].into();
        }
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.unwrap_or_else(|| vec![0; BUFFER_BYTES].into())
    }

    pub(super) fn give_back(&self, buffer: Box<[u8]>) {
        if buffer.len() != BUFFER_BYTES {
            return;
        }
        self.n_lent.fetch_sub(1, Ordering::Relaxed);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(buffer);
        }
    }

    /// Returns how many large buffers are out.
    #[cfg(test)]
    pub(super) fn n_lent(&self) -> usize {
        self.n_lent.load(Ordering::Relaxed)
    }
}
