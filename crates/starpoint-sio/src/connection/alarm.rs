//! One alarm for all deadlines of a connection.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::{BoxFuture, Either, select};
use web_time::Instant;

use crate::io::Timers;

/// An alarm that is set anew only when it has to ring earlier. A deadline that
/// moves into the future with each message costs nothing: the alarm rings at the
/// old time, once, and is set to the new one.
pub(super) struct Alarm {
    timers: Arc<dyn Timers>,
    set: Option<(Instant, BoxFuture<'static, ()>)>,
}

impl Alarm {
    pub(super) fn new(timers: Arc<dyn Timers>) -> Self {
        Self { timers, set: None }
    }

    /// Ready when `until` has come; pending for ever without one.
    pub(super) fn poll(&mut self, until: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = until else {
            self.set = None;
            return Poll::Pending;
        };
        loop {
            let (at, sleep) = match &mut self.set {
                Some(set) if set.0 <= until => set,
                _ => self.set.insert((until, self.timers.sleep_until(until))),
            };
            std::task::ready!(sleep.as_mut().poll(cx));
            let has_come = *at >= until;
            self.set = None;
            if has_come {
                return Poll::Ready(());
            }
        }
    }
}

/// Returns what `work` gives, or `None` if `deadline` is first.
pub(super) async fn race<T>(
    work: impl Future<Output = T>,
    deadline: impl Future<Output = ()>,
) -> Option<T> {
    match select(pin!(work), pin!(deadline)).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(((), _)) => None,
    }
}
