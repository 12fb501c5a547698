//! The orderly end of a transport.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures_channel::{mpsc, oneshot};
use futures_util::{FutureExt as _, SinkExt as _, future::BoxFuture};

type Reply = oneshot::Sender<Result<(), CutShort>>;

/// Closes a transport in good order: a cheap handle, made by
/// [`Transport::closer`](crate::Transport::closer) or
/// [`Behaviour::closer`](crate::Behaviour::closer).
///
/// A process that ends right after it has closed a stream may take the end of
/// what was written with it; after [`close`](Self::close) it does not.
#[derive(Clone, Debug)]
pub struct Closer(pub(crate) mpsc::Sender<CloseRequest>);

/// What was cut off, because it had not ended within the deadline: a stream was
/// still held, or the star did not take what was sent. What was on its way may be
/// lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{n_stars} stars and {n_pipes} pipes were not left in time")]
pub struct CutShort {
    /// Connections to stars, with all the streams they share.
    pub n_stars: usize,
    /// Streams with a connection of their own.
    pub n_pipes: usize,
}

/// Somebody wants the end.
#[derive(Debug)]
pub(crate) struct CloseRequest {
    pub(crate) deadline: Duration,
    pub(crate) reply: Reply,
}

impl Closer {
    /// Leaves every star, home or visited, and waits until all are left.
    ///
    /// From now on nothing is dialed and nothing listened on; each listener
    /// closes. A star is left when the last stream through it is dropped, all
    /// that was written before is sent, and its WebSockets are closed. So close the
    /// connections of the swarm first. After `deadline` the rest is cut off; of
    /// several calls the first one's holds.
    ///
    /// Somebody has to poll the transport meanwhile, which a swarm does when it is
    /// polled. A transport that is gone has nothing left to close.
    ///
    /// Dropping the future does not stop the end.
    ///
    /// # Errors
    ///
    /// [`CutShort`].
    pub async fn close(&self, deadline: Duration) -> Result<(), CutShort> {
        let (reply, answer) = oneshot::channel();
        let request = CloseRequest { deadline, reply };
        match self.0.clone().send(request).await {
            Ok(()) => answer.await.unwrap_or(Ok(())),
            Err(_) => Ok(()),
        }
    }
}

/// A transport that comes to its end.
pub(crate) struct Closing {
    deadline: BoxFuture<'static, ()>,
    replies: Vec<Reply>,
}

impl Closing {
    pub(crate) fn new(deadline: BoxFuture<'static, ()>) -> Self {
        Self {
            deadline,
            replies: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, reply: Reply) {
        self.replies.push(reply);
    }

    /// Answers once nothing is left; ready when the rest has to be cut off.
    pub(crate) fn poll(&mut self, left: CutShort, cx: &mut Context<'_>) -> Poll<()> {
        if left.n_stars == 0 && left.n_pipes == 0 {
            self.answer(Ok(()));
            return Poll::Pending;
        }
        if self.deadline.poll_unpin(cx).is_pending() {
            return Poll::Pending;
        }
        self.answer(Err(left));
        Poll::Ready(())
    }

    fn answer(&mut self, answer: Result<(), CutShort>) {
        for reply in self.replies.drain(..) {
            // Who waited may have gone.
            let _ = reply.send(answer);
        }
    }
}
