//! One direction of a pipe.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use starpoint_wire::pipe::{END, Opcode, PipeClose, PipeDecoder, PipeItem, PipeSender};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    Buffers, Rate,
    batch::{Batch, FRONT_ROOM},
    end::{End, Started},
    rate::QUANTUM_BYTES,
};

/// What one peer sends and the other takes.
pub(super) struct Way {
    decoder: PipeDecoder,
    batch: Option<Batch>,
    started: Started,
    clean_end: CleanEnd,
    fault: Option<Fault>,
    /// Whether the last turn waited for something other than the source.
    held_up: HeldUp,
    rate: Option<Arc<Rate>>,
    /// Nothing is read before.
    read_at: Option<Instant>,
    carried: Arc<AtomicU64>,
    n_carried: u64,
}

/// ```text
///  NotYet ──read──▶ Waits ──everything before it was written──▶ Said
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CleanEnd {
    NotYet,
    Waits,
    Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeldUp {
    No,
    Yes,
}

/// What ends a pipe, from the side of who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Reset,
    Lost,
    Malformed,
    Idle,
}

/// What a turn has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something; there may be more.
    Moved,
    /// Nothing, until somebody wakes.
    Waits,
}

impl Way {
    pub(super) fn new(rate: Option<Arc<Rate>>, carried: Arc<AtomicU64>) -> Self {
        Self {
            decoder: PipeDecoder::new(PipeSender::Peer),
            batch: None,
            started: Started::No,
            clean_end: CleanEnd::NotYet,
            fault: None,
            held_up: HeldUp::No,
            rate,
            read_at: None,
            carried,
            n_carried: 0,
        }
    }

    /// Writes what waits, or reads when nothing does.
    pub(super) fn turn<F, T>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut End<F>,
        to: &mut End<T>,
        buffers: &Buffers,
        now: Instant,
    ) -> Turn
    where
        F: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        if to.is_deaf() {
            self.discard(buffers);
        } else if self.batch.is_some() || to.has_to_say() {
            match to.poll_write(cx, self.batch.as_mut(), &mut self.started, now) {
                Poll::Ready(Ok(())) => self.batch_is_written(buffers),
                Poll::Ready(Err(_)) => to.go_deaf(now),
                Poll::Pending => {
                    // It is not read from, so it cannot be heard.
                    from.hear(now);
                    self.held_up = HeldUp::Yes;
                    return Turn::Waits;
                }
            }
            self.resume(from, now);
            return Turn::Moved;
        }
        if self.clean_end == CleanEnd::Waits && !to.is_deaf() {
            self.say_end(to);
            return Turn::Moved;
        }
        match self.fault {
            Some(_) => Turn::Waits,
            None => self.read(cx, from, buffers, now),
        }
    }

    /// The time in which the source was not read does not count as its silence.
    fn resume<F>(&mut self, from: &mut End<F>, now: Instant)
    where
        F: AsyncRead + AsyncWrite + Unpin,
    {
        if self.held_up == HeldUp::Yes {
            self.held_up = HeldUp::No;
            from.hear(now);
        }
    }

    /// Queues the end that was read, behind all data.
    pub(super) fn say_end<T>(&mut self, to: &mut End<T>)
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        if self.clean_end == CleanEnd::Waits {
            to.say(Opcode::Text, END);
            self.clean_end = CleanEnd::Said;
        }
    }

    fn read<F>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut End<F>,
        buffers: &Buffers,
        now: Instant,
    ) -> Turn
    where
        F: AsyncRead + AsyncWrite + Unpin,
    {
        if self.read_at.is_some_and(|at| now < at) {
            from.hear(now);
            self.held_up = HeldUp::Yes;
            return Turn::Waits;
        }
        self.read_at = None;
        self.resume(from, now);
        // Lent for this read, so that a pipe on which nothing arrives holds none.
        let mut batch = Batch::new(buffers.take());
        let max_bytes = match self.rate {
            Some(_) => QUANTUM_BYTES,
            None => usize::MAX,
        };
        let mut read = ReadBuf::new(batch.room(max_bytes));
        let outcome = Pin::new(&mut from.io).poll_read(cx, &mut read);
        let n = read.filled().len();
        if n == 0 {
            buffers.give_back(batch.into_bytes());
            if outcome.is_pending() {
                return Turn::Waits;
            }
            self.fault = Some(Fault::Lost);
            return Turn::Moved;
        }
        from.hear(now);
        if let Some(rate) = &self.rate {
            self.read_at = Some(rate.charge(n, now));
        }
        self.decode(&mut batch, n, from);
        batch.seal();
        if batch.is_empty() {
            buffers.give_back(batch.into_bytes());
        } else {
            self.batch = Some(batch);
        }
        Turn::Moved
    }

    fn decode<F>(&mut self, batch: &mut Batch, n: usize, from: &mut End<F>)
    where
        F: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut start, end) = (FRONT_ROOM, FRONT_ROOM + n);
        while start < end {
            let Ok(step) = self.decoder.next(batch.bytes(start..end)) else {
                self.fault = Some(Fault::Malformed);
                return;
            };
            start += step.taken;
            match step.item {
                PipeItem::Data(n) => batch.push(start - n..start),
                PipeItem::Ping(payload) => from.say(Opcode::Pong, payload.as_bytes()),
                PipeItem::End => self.clean_end = CleanEnd::Waits,
                PipeItem::Close(_) => {
                    self.fault = Some(Fault::Reset);
                    return;
                }
                PipeItem::Starved | PipeItem::Pong => {}
            }
        }
    }

    fn batch_is_written(&mut self, buffers: &Buffers) {
        if let Some(batch) = self.batch.take() {
            let n = batch.payload_bytes() as u64;
            self.n_carried += n;
            self.carried.fetch_add(n, Ordering::Relaxed);
            buffers.give_back(batch.into_bytes());
        }
    }

    pub(super) fn discard(&mut self, buffers: &Buffers) {
        self.started = Started::No;
        if let Some(batch) = self.batch.take() {
            buffers.give_back(batch.into_bytes());
        }
    }

    /// Writes what is left, without reading.
    pub(super) fn poll_deliver<T>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut End<T>,
        buffers: &Buffers,
        now: Instant,
    ) -> Poll<()>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        if !to.is_deaf() {
            match ready!(to.poll_write(cx, self.batch.as_mut(), &mut self.started, now)) {
                Ok(()) => self.batch_is_written(buffers),
                Err(_) => to.go_deaf(now),
            }
        }
        self.discard(buffers);
        Poll::Ready(())
    }

    /// Forgets what waits, unless a frame of it has begun.
    pub(super) fn discard_unless_started(&mut self, buffers: &Buffers) {
        if self.started == Started::No {
            self.discard(buffers);
        }
    }

    /// Returns whether the peer has ended its direction, told or not.
    pub(super) fn has_clean_end(&self) -> bool {
        self.clean_end != CleanEnd::NotYet
    }

    /// Returns whether the end was written, and everything before it.
    pub(super) fn is_over<T>(&self, to: &End<T>) -> bool
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let is_written = self.batch.is_none() && !to.has_to_say() && !to.is_deaf();
        self.clean_end == CleanEnd::Said && is_written
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Returns when the rate lets it read again, if it waits for that.
    pub(super) fn read_at(&self) -> Option<Instant> {
        self.read_at
            .filter(|_| self.batch.is_none() && self.fault.is_none())
    }

    pub(super) fn n_carried(&self) -> u64 {
        self.n_carried
    }
}

impl Fault {
    /// What the peer at fault is told; `None` when it does not listen.
    pub(super) fn close_own(self) -> Option<PipeClose> {
        match self {
            Self::Reset => Some(PipeClose::Reset),
            Self::Lost => None,
            Self::Malformed => Some(PipeClose::Malformed),
            Self::Idle => Some(PipeClose::Idle),
        }
    }

    /// What its remote is told.
    pub(super) fn close_remote(self) -> PipeClose {
        match self {
            Self::Reset => PipeClose::Reset,
            Self::Lost | Self::Malformed | Self::Idle => PipeClose::Lost,
        }
    }
}
