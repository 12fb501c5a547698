//! Buffers that the pipes of one connector take turns with.

use std::sync::{Mutex, PoisonError};

/// Length of a buffer: a read, or a frame with its head, has at most as much.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// Most buffers that are kept for later.
const MAX_IDLE: usize = 32;

/// Buffers that nobody needs at the moment, at most [`MAX_IDLE`].
#[derive(Debug, Default)]
pub(in crate::tokio) struct Buffers {
    idle: Mutex<Vec<Box<[u8]>>>,
}

impl Buffers {
    pub(super) fn take(&self) -> Box<[u8]> {
        let idle = self.lock().pop();
        idle.unwrap_or_else(|| vec![0; BUFFER_BYTES].into())
    }

    pub(super) fn give_back(&self, buffer: Box<[u8]>) {
        let mut idle = self.lock();
        if idle.len() < MAX_IDLE {
            idle.push(buffer);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Box<[u8]>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
