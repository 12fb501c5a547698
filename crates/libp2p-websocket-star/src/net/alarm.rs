//! One timer for whatever is due first.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use starpoint_sio::Timers;
use web_time::Instant;

/// Wakes its task at the earliest time that it was asked for.
pub(crate) struct Alarm {
    timers: Arc<dyn Timers>,
    armed: Option<(Instant, BoxFuture<'static, ()>)>,
}

impl Alarm {
    pub(crate) fn new(timers: Arc<dyn Timers>) -> Self {
        Self {
            timers,
            armed: None,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.timers.now()
    }

    /// Is ready when `at` has come. An alarm that is set for an earlier time is
    /// kept: it wakes the task in vain once, which is cheaper than a new timer
    /// for each deadline that moves.
    pub(crate) fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if at <= self.timers.now() {
                return Poll::Ready(());
            }
            match &mut self.armed {
                Some((armed, sleep)) if *armed <= at => {
                    if sleep.poll_unpin(cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.armed = None;
                }
                _ => self.armed = Some((at, self.timers.sleep_until(at))),
            }
        }
    }
}
