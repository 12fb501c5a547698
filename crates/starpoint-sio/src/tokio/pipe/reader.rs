//! Frames from the star.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use starpoint_wire::pipe::{
    ControlPayload, PipeClose, PipeDecoder, PipeItem, PipeSender, PipeViolation,
};
use tokio::io::{AsyncRead, ReadBuf};

use super::buffers::Buffers;

/// Holds a buffer while something is in it.
pub(super) struct Reader {
    decoder: PipeDecoder,
    buffer: Option<Box<[u8]>>,
    /// What has not been decoded.
    waiting: Range<usize>,
    /// What has been: data for the caller, just before `waiting`.
    data: Range<usize>,
    state: ReadState,
    has_ended: bool,
}

/// ```text
///  Open ──end──▶ Ended ──close 1000──▶ Done
///    └──────┬──────┴─ anything else ─▶ Failed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadState {
    Open,
    Ended,
    Done,
    Failed(Failure),
}

/// Why a pipe is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("pipe reset by the remote")]
    Reset,
    #[error("remote lost")]
    RemoteLost,
    #[error("star shuts down")]
    ShuttingDown,
    #[error("pipe closed by the star with status {0}")]
    Closed(u16),
    #[error("star lost")]
    StarLost,
    #[error("malformed frame of the star")]
    Malformed(#[source] PipeViolation),
}

/// What [`Reader::poll_advance`] has found.
pub(super) enum Advance {
    /// Data is ready to be [taken](Reader::take), or the state has changed.
    Progress,
    /// The star asks for a pong.
    Ping(ControlPayload),
}

impl Reader {
    /// `follows`: what came behind the handshake.
    pub(super) fn new(follows: &[u8], buffers: &Buffers) -> Self {
        let mut reader = Self {
            decoder: PipeDecoder::new(PipeSender::Star),
            buffer: None,
            waiting: 0..0,
            data: 0..0,
            state: ReadState::Open,
            has_ended: false,
        };
        if !follows.is_empty() {
            let mut buffer = buffers.take();
            buffer[..follows.len()].copy_from_slice(follows);
            reader.buffer = Some(buffer);
            reader.waiting = 0..follows.len();
        }
        reader
    }

    pub(super) fn state(&self) -> ReadState {
        self.state
    }

    /// Returns whether the remote has ended its direction, whatever came then.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub(super) fn has_data(&self) -> bool {
        !self.data.is_empty()
    }

    /// Moves data out.
    pub(super) fn take(&mut self, to: &mut [u8], buffers: &Buffers) -> usize {
        let n = self.data.len().min(to.len());
        if let Some(buffer) = &self.buffer {
            to[..n].copy_from_slice(&buffer[self.data.start..self.data.start + n]);
        }
        self.data.start += n;
        self.release(buffers);
        n
    }

    /// Forgets the data that was not taken.
    pub(super) fn discard(&mut self, buffers: &Buffers) {
        self.data = self.data.end..self.data.end;
        self.release(buffers);
    }

    /// Decodes up to the next item, and reads for it when nothing waits. Not to
    /// be called while there is data, or nothing more can come.
    pub(super) fn poll_advance<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buffers: &Buffers,
    ) -> Poll<Advance> {
        loop {
            if !self.waiting.is_empty()
                && let Some(advance) = self.decode(buffers)
            {
                return Poll::Ready(advance);
            }
            match ready!(self.poll_fill(stream, cx, buffers)) {
                Ok(0) | Err(_) => {
                    self.state = ReadState::Failed(Failure::StarLost);
                    return Poll::Ready(Advance::Progress);
                }
                Ok(_) => {}
            }
        }
    }

    fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buffers: &Buffers,
    ) -> Poll<io::Result<usize>> {
        let mut bytes = self.buffer.take().unwrap_or_else(|| buffers.take());
        let mut read = ReadBuf::new(&mut bytes);
        let outcome = Pin::new(stream).poll_read(cx, &mut read);
        let n = read.filled().len();
        self.waiting = 0..n;
        self.data = 0..0;
        if n > 0 {
            self.buffer = Some(bytes);
        } else {
            buffers.give_back(bytes);
        }
        outcome.map_ok(|()| n)
    }

    fn decode(&mut self, buffers: &Buffers) -> Option<Advance> {
        let buffer = self.buffer.as_mut()?;
        let step = match self.decoder.next(&mut buffer[self.waiting.clone()]) {
            Ok(step) => step,
            Err(violation) => {
                self.state = ReadState::Failed(Failure::Malformed(violation));
                return Some(Advance::Progress);
            }
        };
        self.waiting.start += step.taken;
        let advance = match step.item {
            PipeItem::Data(n) => {
                self.data = self.waiting.start - n..self.waiting.start;
                Some(Advance::Progress)
            }
            PipeItem::End => {
                self.state = ReadState::Ended;
                self.has_ended = true;
                Some(Advance::Progress)
            }
            PipeItem::Close(status) => {
                self.state = match (self.state, status) {
                    (ReadState::Ended, Some(1000)) => ReadState::Done,
                    (_, status) => ReadState::Failed(Failure::from_status(status)),
                };
                Some(Advance::Progress)
            }
            PipeItem::Ping(payload) => Some(Advance::Ping(payload)),
            PipeItem::Starved | PipeItem::Pong => None,
        };
        self.release(buffers);
        advance
    }

    /// Gives the buffer back when nothing is in it.
    fn release(&mut self, buffers: &Buffers) {
        if self.data.is_empty()
            && self.waiting.is_empty()
            && let Some(buffer) = self.buffer.take()
        {
            buffers.give_back(buffer);
        }
    }
}

impl Failure {
    fn from_status(status: Option<u16>) -> Self {
        let status = status.unwrap_or(1005);
        match PipeClose::from_status(status) {
            Some(PipeClose::Reset) => Self::Reset,
            Some(PipeClose::Lost) => Self::RemoteLost,
            Some(PipeClose::ShuttingDown) => Self::ShuttingDown,
            Some(PipeClose::Done | PipeClose::Malformed | PipeClose::Idle | PipeClose::Limit)
            | None => Self::Closed(status),
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure {
            Failure::Reset => io::ErrorKind::ConnectionReset,
            Failure::RemoteLost
            | Failure::ShuttingDown
            | Failure::Closed(_)
            | Failure::StarLost
            | Failure::Malformed(_) => io::ErrorKind::ConnectionAborted,
        };
        Self::new(kind, failure)
    }
}
