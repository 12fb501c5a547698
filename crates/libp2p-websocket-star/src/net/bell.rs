//! How streams call the driver that moves their bytes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Context,
};

use futures_util::task::AtomicWaker;

use super::relayed::StreamState;

/// The streams of one connection that need attention, each at most once.
#[derive(Default)]
pub(crate) struct Bell {
    waiting: Mutex<VecDeque<Arc<StreamState>>>,
    driver: AtomicWaker,
}

impl Bell {
    /// Puts a stream in line; the caller has made sure that it is not there yet.
    pub(crate) fn ring(&self, stream: Arc<StreamState>) {
        lock(&self.waiting).push_back(stream);
        self.driver.wake();
    }

    /// Wakes the driver of `cx` from the next ring on.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.driver.register(cx.waker());
    }

    pub(crate) fn is_rung(&self) -> bool {
        !lock(&self.waiting).is_empty()
    }

    pub(crate) fn next(&self) -> Option<Arc<StreamState>> {
        lock(&self.waiting).pop_front()
    }
}

/// Locks. The state behind our locks is whole between any two statements, so a
/// panic elsewhere has not broken it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
