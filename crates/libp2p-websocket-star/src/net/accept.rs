//! An inbound dial that waits for the swarm.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::stream::{Shared, Stream, User};
use crate::{
    error::{Error, Failure},
    gauges::{Counted, Gauge},
};

/// Agrees to an inbound dial when it is polled for the first time, and refuses
/// it when it is dropped before: by a swarm that has enough connections, say.
pub struct Accept(Option<(Arc<Shared>, Counted)>);

impl Accept {
    pub(crate) fn new(shared: Arc<Shared>, counted: Counted) -> Self {
        Self(Some((shared, counted)))
    }
}

impl Future for Accept {
    type Output = Result<Stream, Failure>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((shared, counted)) = self.0.take() else {
            return Poll::Ready(Err(Error::InboundGone.into()));
        };
        if shared.is_broken() {
            return Poll::Ready(Err(Error::InboundGone.into()));
        }
        shared.decide(User::Holds);
        Poll::Ready(Ok(Stream::new(shared, counted.becomes(Gauge::Stream))))
    }
}

impl Drop for Accept {
    fn drop(&mut self) {
        if let Some((shared, _)) = &self.0 {
            shared.decide(User::Dropped);
        }
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").finish_non_exhaustive()
    }
}
