//! An inbound dial that waits for the swarm.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt as _, future::BoxFuture};

use super::{
    held::HeldPipe,
    pipes::Offer,
    relayed::{StreamState, User},
    stream::Stream,
};
use crate::{
    error::{Error, Failure},
    gauges::{Counted, Gauge},
};

/// Agrees to an inbound dial when it is polled for the first time, and refuses
/// it when it is dropped before: by a swarm that has enough connections, say.
///
/// An inbound dial by a pipe is ready when the pipe is open.
pub struct Accept(State);

enum State {
    /// By the legacy profile.
    Relayed(Arc<StreamState>, Counted),
    Offered(Arc<Offer>, Counted),
    Opening(BoxFuture<'static, Result<HeldPipe, Error>>, Counted),
    Done,
}

impl Accept {
    pub(crate) fn relayed(shared: Arc<StreamState>, counted: Counted) -> Self {
        Self(State::Relayed(shared, counted))
    }

    pub(crate) fn pipe(offer: Arc<Offer>, counted: Counted) -> Self {
        Self(State::Offered(offer, counted))
    }
}

impl Future for Accept {
    type Output = Result<Stream, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gone = || Poll::Ready(Err(Error::InboundGone.into()));
        loop {
            match std::mem::replace(&mut self.0, State::Done) {
                State::Relayed(shared, counted) => {
                    if shared.is_broken() {
                        return gone();
                    }
                    shared.decide(User::Holds);
                    let stream = Stream::relayed(shared, counted.becomes(Gauge::Stream));
                    return Poll::Ready(Ok(stream));
                }
                State::Offered(offer, counted) => match offer.accept() {
                    Some(opening) => self.0 = State::Opening(opening, counted),
                    None => return gone(),
                },
                State::Opening(mut opening, counted) => {
                    let polled = opening.poll_unpin(cx);
                    if polled.is_pending() {
                        self.0 = State::Opening(opening, counted);
                        return Poll::Pending;
                    }
                    let result = ready!(polled);
                    let counted = counted.becomes(Gauge::Stream);
                    let stream = result.map(|pipe| Stream::pipe(pipe, counted));
                    return Poll::Ready(stream.map_err(Failure::from));
                }
                State::Done => return gone(),
            }
        }
    }
}

impl Drop for Accept {
    fn drop(&mut self) {
        match &self.0 {
            State::Relayed(shared, _) => shared.decide(User::Dropped),
            State::Offered(offer, _) => offer.refuse(),
            State::Opening(..) | State::Done => {}
        }
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").finish_non_exhaustive()
    }
}
