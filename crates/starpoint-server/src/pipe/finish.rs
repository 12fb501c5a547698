//! The last frames on each side of a pipe.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use starpoint_wire::pipe::PipeClose;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, timeout},
};

use super::{Buffers, PipeTimes, end::End, way::Way};

/// Reads until others have a turn.
const MAX_TURNS: usize = 32;

/// Bytes that are read at once to be forgotten.
const SCRATCH_BYTES: usize = 4 * 1024;

/// What is left to do for a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: it does not listen.
    Drop,
    /// Tell it, behind the frame that has begun.
    Close(PipeClose),
    /// Tell it, behind everything that was received for it.
    Deliver(PipeClose),
}

/// Whether the peer has closed its side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    Over,
}

/// Writes what is left of `to_end` and the close frame, then waits for the peer
/// to close.
///
/// What the peer still sends is read and forgotten: closing a socket with unread
/// bytes would destroy what is on its way to the peer.
pub(super) async fn finish<S>(
    end: &mut End<S>,
    to_end: &mut Way,
    rest: Rest,
    buffers: &Buffers,
    times: &PipeTimes,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (close, patience) = match rest {
        Rest::Drop => (None, times.drain),
        Rest::Close(close) => {
            to_end.discard_unless_started(buffers);
            (Some(close), times.drain)
        }
        Rest::Deliver(close) => (Some(close), times.delivery),
    };
    let mut input = Input::Open;
    if let Some(close) = close {
        let mut stage = Stage::Data(rest);
        let told = poll_fn(|cx| {
            poll_discard(end, &mut input, cx);
            stage.poll(cx, end, to_end, buffers, close)
        });
        if timeout(patience, told).await.is_ok() {
            let drained = poll_fn(|cx| {
                poll_discard(end, &mut input, cx);
                match input {
                    Input::Open => Poll::Pending,
                    Input::Over => Poll::Ready(()),
                }
            });
            // The peer has had its time; what it sends now is not for anybody.
            let _ = timeout(times.drain, drained).await;
        }
    }
    to_end.discard(buffers);
}

/// ```text
///  Data ──▶ Frames ──▶ Shutdown
/// ```
enum Stage {
    /// The batch that waits.
    Data(Rest),
    /// The end, if it was read, and the close frame.
    Frames,
    Shutdown,
}

impl Stage {
    fn poll<S>(
        &mut self,
        cx: &mut Context<'_>,
        end: &mut End<S>,
        to_end: &mut Way,
        buffers: &Buffers,
        close: PipeClose,
    ) -> Poll<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let now = Instant::now();
        loop {
            match self {
                Self::Data(rest) => {
                    if to_end.poll_deliver(cx, end, buffers, now).is_pending() {
                        return Poll::Pending;
                    }
                    if let Rest::Deliver(_) = rest {
                        to_end.say_end(end);
                    }
                    end.say_close(close);
                    *self = Self::Frames;
                }
                Self::Frames => {
                    if to_end.poll_deliver(cx, end, buffers, now).is_pending() {
                        return Poll::Pending;
                    }
                    *self = Self::Shutdown;
                }
                Self::Shutdown => return Pin::new(&mut end.io).poll_shutdown(cx).map(|_| ()),
            }
        }
    }
}

fn poll_discard<S>(end: &mut End<S>, input: &mut Input, cx: &mut Context<'_>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut scratch = [0; SCRATCH_BYTES];
    for _ in 0..MAX_TURNS {
        if *input == Input::Over {
            return;
        }
        let mut read = ReadBuf::new(&mut scratch);
        match Pin::new(&mut end.io).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
            Poll::Ready(_) => *input = Input::Over,
            Poll::Pending => return,
        }
    }
    cx.waker().wake_by_ref();
}
