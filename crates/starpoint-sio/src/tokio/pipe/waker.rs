//! Wakes whoever reads and whoever writes.

use std::{sync::Arc, task::Waker};

use futures_util::task::{ArcWake, AtomicWaker, waker};

/// A socket remembers one waker for each direction. A pipe reads and writes for
/// either of its halves, so the socket is given one that wakes both.
#[derive(Debug)]
pub(super) struct Wakers {
    halves: Arc<Halves>,
    both: Waker,
}

#[derive(Debug, Default)]
struct Halves {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wakers {
    pub(super) fn new() -> Self {
        let halves = Arc::<Halves>::default();
        let both = waker(Arc::clone(&halves));
        Self { halves, both }
    }

    /// Returns the waker for the socket.
    pub(super) fn both(&self) -> Waker {
        self.both.clone()
    }

    pub(super) fn remember_reader(&self, waker: &Waker) {
        self.halves.reader.register(waker);
    }

    pub(super) fn remember_writer(&self, waker: &Waker) {
        self.halves.writer.register(waker);
    }
}

impl ArcWake for Halves {
    fn wake_by_ref(halves: &Arc<Self>) {
        halves.reader.wake();
        halves.writer.wake();
    }
}
