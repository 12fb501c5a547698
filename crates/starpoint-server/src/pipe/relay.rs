//! The life of one pipe.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use starpoint_wire::pipe::PipeClose;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Buffers, PipeEnd, PipeReport, PipeSettings, PipeSide, PipeTimes,
    end::End,
    finish::{Rest, finish},
    way::{Fault, Turn, Way},
};

/// Reads and writes of either direction until others have a turn.
const MAX_TURNS: usize = 32;

/// Shortest time between two looks at a deadline that has passed and does not
/// matter any more.
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// How a pipe ends, before both peers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Fault(PipeSide, Fault),
    Cut,
}

struct Relay<A, B> {
    a: End<A>,
    b: End<B>,
    /// From the first peer to the second.
    ab: Way,
    ba: Way,
}

/// Carries bytes between two WebSockets, both just behind their handshake, until
/// both directions have ended, one of the peers is gone, or the pipe is `cut`.
///
/// Dropping the future closes both sockets at once.
pub(crate) async fn relay<A, B>(
    a: A,
    b: B,
    settings: &PipeSettings,
    cut: CancellationToken,
) -> PipeReport
where
    A: AsyncRead + AsyncWrite + Unpin + Send,
    B: AsyncRead + AsyncWrite + Unpin + Send,
{
    // Of its own, so that the pipes of a star do not meet at one lock.
    let cut = cut.child_token();
    let now = Instant::now();
    let mut relay = Relay {
        a: End::new(a, now),
        b: End::new(b, now),
        ab: Way::new(settings.rate_a.clone(), settings.carried_a.clone()),
        ba: Way::new(settings.rate_b.clone(), settings.carried_b.clone()),
    };
    let (buffers, times) = (&*settings.buffers, &settings.times);
    let outcome = {
        let mut timer = pin!(sleep_until(now + times.ping));
        tokio::select! {
            biased;
            () = cut.cancelled() => Outcome::Cut,
            outcome = poll_fn(|cx| relay.poll(cx, timer.as_mut(), buffers, times)) => outcome,
        }
    };
    relay.finish(outcome, buffers, times).await;
    PipeReport {
        bytes_a: relay.ab.n_carried(),
        bytes_b: relay.ba.n_carried(),
        end: outcome.into(),
    }
}

impl<A, B> Relay<A, B>
where
    A: AsyncRead + AsyncWrite + Unpin + Send,
    B: AsyncRead + AsyncWrite + Unpin + Send,
{
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        buffers: &Buffers,
        times: &PipeTimes,
    ) -> Poll<Outcome> {
        let now = Instant::now();
        self.a.keep_alive(times, now);
        self.b.keep_alive(times, now);
        for _ in 0..MAX_TURNS {
            let there = self.ab.turn(cx, &mut self.a, &mut self.b, buffers, now);
            let back = self.ba.turn(cx, &mut self.b, &mut self.a, buffers, now);
            if let Some(outcome) = self.outcome(times, now) {
                return Poll::Ready(outcome);
            }
            if (there, back) == (Turn::Waits, Turn::Waits) {
                return self.poll_timer(cx, timer.as_mut(), times, now);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Lets the timer be early, so that it is not moved with each byte.
    fn poll_timer(
        &self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        times: &PipeTimes,
        now: Instant,
    ) -> Poll<Outcome> {
        let at = self.a.wake_at(times).min(self.b.wake_at(times));
        let rates = [self.ab.read_at(), self.ba.read_at()];
        let at = rates.into_iter().flatten().fold(at, Instant::min);
        let at = at.max(now + MIN_SLEEP);
        if at < timer.deadline() {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= at {
                cx.waker().wake_by_ref();
                break;
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    }

    fn outcome(&self, times: &PipeTimes, now: Instant) -> Option<Outcome> {
        let (is_a_told, is_b_told) = (self.ba.is_over(&self.a), self.ab.is_over(&self.b));
        if is_a_told && is_b_told {
            return Some(Outcome::Done);
        }
        let fault_a = fault(&self.ab, &self.a, is_a_told, times, now);
        let fault_b = fault(&self.ba, &self.b, is_b_told, times, now);
        fault_a
            .map(|fault| Outcome::Fault(PipeSide::A, fault))
            .or(fault_b.map(|fault| Outcome::Fault(PipeSide::B, fault)))
    }

    async fn finish(&mut self, outcome: Outcome, buffers: &Buffers, times: &PipeTimes) {
        let (rest_a, rest_b) = outcome.rests();
        let a = finish(&mut self.a, &mut self.ba, rest_a, buffers, times);
        let b = finish(&mut self.b, &mut self.ab, rest_b, buffers, times);
        tokio::join!(a, b);
    }
}

/// Returns what a peer has done wrong. One that has said and been told
/// everything may go.
fn fault<S>(
    from: &Way,
    end: &End<S>,
    is_told: bool,
    times: &PipeTimes,
    now: Instant,
) -> Option<Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if is_told && from.has_clean_end() {
        return None;
    }
    from.fault()
        .or_else(|| end.is_gone(times, now).then(|| end.gone_fault()))
}

impl Outcome {
    /// What is left to do for the first and the second peer.
    fn rests(self) -> (Rest, Rest) {
        match self {
            Self::Done => (Rest::Close(PipeClose::Done), Rest::Close(PipeClose::Done)),
            Self::Cut => {
                let rest = Rest::Close(PipeClose::ShuttingDown);
                (rest, rest)
            }
            Self::Fault(side, fault) => {
                let own = fault.close_own().map_or(Rest::Drop, Rest::Close);
                let remote = Rest::Deliver(fault.close_remote());
                match side {
                    PipeSide::A => (own, remote),
                    PipeSide::B => (remote, own),
                }
            }
        }
    }
}

impl From<Outcome> for PipeEnd {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Cut => Self::Cut,
            Outcome::Fault(side, Fault::Reset) => Self::Reset(side),
            Outcome::Fault(side, Fault::Lost) => Self::Lost(side),
            Outcome::Fault(side, Fault::Malformed) => Self::Malformed(side),
            Outcome::Fault(side, Fault::Idle) => Self::Idle(side),
        }
    }
}
