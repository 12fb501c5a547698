//! An answer on its way to its client.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::session::Session;

/// Bytes of an answer that are handed on at a time. HTTP asks for more when it has
/// written most of what it has.
const PIECE_BYTES: usize = 16 * 1024;

/// The body of an answer to a poll. What is in it counts as written once the last of
/// it is handed on, so that a client that does not read is given no more, and ends as
/// one that takes nothing. An answer that is lost on its way ends the session: the
/// client could not tell that something is missing.
#[derive(Debug)]
pub(super) struct Delivery {
    session: Arc<Session>,
    /// [`Session::sent_packets`] when the answer was asked for.
    mark: u64,
    rest: Bytes,
}

impl Delivery {
    pub(super) fn new(session: Arc<Session>, mark: u64, answer: Bytes) -> Self {
        Self {
            session,
            mark,
            rest: answer,
        }
    }
}

impl Body for Delivery {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE_BYTES));
        if this.rest.is_empty() {
            this.session.wrote_up_to(this.mark, piece.len() as u64);
        } else {
            this.session.took(piece.len() as u64);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.rest.is_empty() {
            tracing::debug!(conn = self.session.conn.0, "Answer lost");
            self.session.close();
        }
    }
}
