//! One of the two WebSockets of a pipe.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use starpoint_wire::pipe::{Opcode, PipeClose, frame_head};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{batch::Batch, settings::PipeTimes, way::Fault};

/// Room for a pong, a ping, an end and a close frame.
const CONTROL_BYTES: usize = 160;

/// What is kept of it for those that are not pongs.
const CONTROL_RESERVE: usize = 16;

/// A WebSocket, what the star itself has to say on it, and when it last did.
pub(super) struct End<S> {
    pub(super) io: S,
    control: [u8; CONTROL_BYTES],
    control_sent: u8,
    control_end: u8,
    needs_flush: bool,
    /// When something was last heard, or could not have been.
    heard_at: Instant,
    /// When something was last said.
    said_at: Instant,
    /// When it was last pinged.
    pinged_at: Instant,
    /// Since when it takes nothing.
    blocked_since: Option<Instant>,
    /// Since when it is known that it will never take anything more.
    deaf_since: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> End<S> {
    pub(super) fn new(io: S, now: Instant) -> Self {
        Self {
            io,
            control: [0; CONTROL_BYTES],
            control_sent: 0,
            control_end: 0,
            needs_flush: false,
            heard_at: now,
            said_at: now,
            pinged_at: now,
            blocked_since: None,
            deaf_since: None,
        }
    }

    /// Queues a control or text frame for the next frame border. A pong that has
    /// no room beside one that waits is dropped.
    pub(super) fn say(&mut self, opcode: Opcode, payload: &[u8]) {
        let (head, n) = frame_head(opcode, payload.len(), None);
        let reserve = match opcode {
            Opcode::Pong => CONTROL_RESERVE,
            Opcode::Continuation | Opcode::Text | Opcode::Binary | Opcode::Close | Opcode::Ping => {
                0
            }
        };
        let start = usize::from(self.control_end);
        let end = start + n + payload.len();
        if end + reserve > CONTROL_BYTES {
            return;
        }
        self.control[start..start + n].copy_from_slice(&head[..n]);
        self.control[start + n..end].copy_from_slice(payload);
        self.control_end = end as u8;
    }

    pub(super) fn say_close(&mut self, close: PipeClose) {
        self.say(Opcode::Close, &close.status().to_be_bytes());
    }

    /// Writes what the star has to say, then the batch, and flushes.
    ///
    /// What is said while a batch is half written waits for its end.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut batch: Option<&mut Batch>,
        started: &mut Started,
        now: Instant,
    ) -> Poll<io::Result<()>> {
        loop {
            let control = match started {
                Started::Yes => &[][..],
                Started::No => {
                    &self.control[usize::from(self.control_sent)..usize::from(self.control_end)]
                }
            };
            let n_control = control.len();
            let left = batch.as_deref().filter(|batch| !batch.is_empty());
            let outcome = match left {
                None if n_control == 0 => break,
                None => Pin::new(&mut self.io).poll_write(cx, control),
                Some(batch) => {
                    let (slices, n) = batch.slices();
                    if n_control == 0 {
                        Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..n])
                    } else {
                        let both = [IoSlice::new(control), slices[0]];
                        Pin::new(&mut self.io).poll_write_vectored(cx, &both)
                    }
                }
            };
            let n = match outcome {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => {
                    self.blocked_since.get_or_insert(now);
                    return Poll::Pending;
                }
            };
            self.wrote(now);
            let n_said = n.min(n_control);
            self.control_sent += n_said as u8;
            if self.control_sent == self.control_end {
                (self.control_sent, self.control_end) = (0, 0);
            }
            if let Some(batch) = batch.as_deref_mut().filter(|_| n > n_said) {
                *started = Started::Yes;
                batch.advance(n - n_said);
                if batch.is_empty() {
                    *started = Started::No;
                }
            }
        }
        self.poll_flush(cx, now)
    }

    fn wrote(&mut self, now: Instant) {
        self.said_at = now;
        self.unblock(now);
        self.needs_flush = true;
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        if self.needs_flush {
            let flushed = Pin::new(&mut self.io).poll_flush(cx);
            if flushed.is_pending() {
                self.blocked_since.get_or_insert(now);
            }
            ready!(flushed)?;
            self.needs_flush = false;
            self.unblock(now);
        }
        Poll::Ready(Ok(()))
    }

    /// Who takes nothing cannot see a ping either: its silence begins now.
    fn unblock(&mut self, now: Instant) {
        if self.blocked_since.take().is_some() {
            self.heard_at = now;
        }
    }

    pub(super) fn has_to_say(&self) -> bool {
        self.control_sent != self.control_end || self.needs_flush
    }

    pub(super) fn hear(&mut self, now: Instant) {
        self.heard_at = now;
    }

    pub(super) fn go_deaf(&mut self, now: Instant) {
        self.deaf_since.get_or_insert(now);
        (self.control_sent, self.control_end) = (0, 0);
        self.needs_flush = false;
        self.blocked_since = None;
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.deaf_since.is_some()
    }

    /// Returns whether it was silent, or took nothing, for too long.
    pub(super) fn is_gone(&self, times: &PipeTimes, now: Instant) -> bool {
        now >= self.gone_at(times)
    }

    /// What it is gone for: who takes nothing any more has closed its socket.
    pub(super) fn gone_fault(&self) -> Fault {
        match self.deaf_since {
            Some(_) => Fault::Lost,
            None => Fault::Idle,
        }
    }

    fn gone_at(&self, times: &PipeTimes) -> Instant {
        match (self.deaf_since, self.blocked_since) {
            (Some(since), _) => since + times.delivery,
            (None, Some(since)) => since + times.stall,
            (None, None) => self.heard_at + times.silence,
        }
    }

    /// Pings when nothing was said, or heard, for long.
    pub(super) fn keep_alive(&mut self, times: &PipeTimes, now: Instant) {
        if now >= self.ping_at(times) && self.can_take() {
            self.say(Opcode::Ping, &[]);
            self.pinged_at = now;
        }
    }

    fn can_take(&self) -> bool {
        self.blocked_since.is_none() && self.deaf_since.is_none()
    }

    fn ping_at(&self, times: &PipeTimes) -> Instant {
        let quiet_since = self.said_at.min(self.heard_at).max(self.pinged_at);
        quiet_since + times.ping
    }

    /// Returns when to look at the clock again.
    pub(super) fn wake_at(&self, times: &PipeTimes) -> Instant {
        let gone_at = self.gone_at(times);
        if self.can_take() {
            gone_at.min(self.ping_at(times))
        } else {
            gone_at
        }
    }
}

/// Whether part of a batch has been written, so that nothing may come between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Started {
    No,
    Yes,
}
