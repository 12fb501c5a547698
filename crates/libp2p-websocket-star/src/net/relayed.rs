//! A stream of the legacy profile, and the driver's side of it.

use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::io::{AsyncRead, AsyncWrite};
use starpoint_wire::{DialId, StreamEnd};

use super::bell::{Bell, lock};

/// Largest chunk that is sent in one event: a star hands it on as a whole, so a
/// larger one would hold the others up.
pub(crate) const MAX_CHUNK_BYTES: usize = 64 * 1024;

/// What the driver and the user of one stream share.
pub(crate) struct StreamState {
    dial: DialId,
    max_bytes: usize,
    bell: Arc<Bell>,
    state: Mutex<State>,
}

struct State {
    inbound: VecDeque<Bytes>,
    n_inbound_bytes: usize,
    /// Bytes that the user has taken, for ever.
    n_read_bytes: u64,
    reading: Reading,
    outbound: BytesMut,
    writing: Writing,
    user: User,
    /// In the bell's line already.
    is_rung: bool,
    /// The driver reads nothing until there is room again.
    is_awaited: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What comes behind the bytes that wait.
#[derive(Clone, Debug)]
enum Reading {
    Open,
    /// The remote has ended in good order.
    Ended,
    Broken(Break),
}

#[derive(Clone, Debug)]
enum Writing {
    Open,
    /// The user has closed; the end goes out behind the bytes that wait.
    Closing,
    Closed,
    Broken(Break),
}

/// Why a stream is broken.
#[derive(Clone, Debug)]
pub(crate) enum Break {
    /// The remote dropped it, in these words.
    Reset(Box<str>),
    /// The connection to the star is lost.
    Lost,
    /// The user did not read for too long while others waited.
    Stalled,
}

impl Break {
    fn to_error(&self) -> io::Error {
        match self {
            Self::Reset(words) => io::Error::new(
                io::ErrorKind::ConnectionReset,
                format!("reset by the remote: {words}"),
            ),
            Self::Lost => io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "connection to the star lost",
            ),
            Self::Stalled => io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "not read while others waited",
            ),
        }
    }
}

/// What the user has done with the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// An inbound dial that the swarm has not begun with.
    Undecided,
    Holds,
    Dropped,
}

/// What there is to send.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// A chunk, and perhaps more behind it.
    Data(Bytes),
    /// The user has closed and nothing waits.
    End,
    Nothing,
}

impl StreamState {
    pub(crate) fn new(dial: DialId, max_bytes: usize, bell: Arc<Bell>, user: User) -> Arc<Self> {
        let state = State {
            inbound: VecDeque::new(),
            n_inbound_bytes: 0,
            n_read_bytes: 0,
            reading: Reading::Open,
            outbound: BytesMut::new(),
            writing: Writing::Open,
            user,
            is_rung: false,
            is_awaited: false,
            reader: None,
            writer: None,
        };
        Arc::new(Self {
            dial,
            max_bytes,
            bell,
            state: Mutex::new(state),
        })
    }

    pub(crate) fn dial(&self) -> &DialId {
        &self.dial
    }

    /// Lets the stream ring again, and returns what the user does with it.
    pub(crate) fn answer(&self) -> User {
        let mut state = lock(&self.state);
        state.is_rung = false;
        state.user
    }

    /// Gives the user a chunk; returns whether there is room for more. Without
    /// room the driver hears of it when there is.
    pub(crate) fn deliver(&self, chunk: Bytes) -> bool {
        let mut state = lock(&self.state);
        if state.user == User::Dropped || !matches!(state.reading, Reading::Open) {
            return true;
        }
        state.n_inbound_bytes += chunk.len();
        state.inbound.push_back(chunk);
        state.is_awaited = state.n_inbound_bytes > self.max_bytes;
        let has_room = !state.is_awaited;
        wake(state, |state| state.reader.take());
        has_room
    }

    /// Returns whether nobody has to wait for the reader any more.
    pub(crate) fn has_room(&self) -> bool {
        !lock(&self.state).is_awaited
    }

    /// Returns how many bytes the user has read, for ever.
    pub(crate) fn n_read_bytes(&self) -> u64 {
        lock(&self.state).n_read_bytes
    }

    /// The remote has ended its stream. An error breaks the other one as well:
    /// nobody is there to read it.
    pub(crate) fn end(&self, end: StreamEnd) {
        match end {
            StreamEnd::Clean => {
                let mut state = lock(&self.state);
                if matches!(state.reading, Reading::Open) {
                    state.reading = Reading::Ended;
                }
                wake(state, |state| state.reader.take());
            }
            StreamEnd::Error(words) => self.break_off(Break::Reset(words.into())),
        }
    }

    /// Breaks both directions, unless they have ended. What was received before
    /// can still be read.
    pub(crate) fn break_off(&self, why: Break) {
        let mut state = lock(&self.state);
        if matches!(state.reading, Reading::Open) {
            state.reading = Reading::Broken(why.clone());
        }
        if matches!(state.writing, Writing::Open | Writing::Closing) {
            state.writing = Writing::Broken(why);
            state.outbound = BytesMut::new();
        }
        state.is_awaited = false;
        let reader = state.reader.take();
        wake(state, |state| state.writer.take());
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Takes what is to be sent next, at most `max_bytes`.
    pub(crate) fn next_chunk(&self, max_bytes: usize) -> Chunk {
        let mut state = lock(&self.state);
        if state.user == User::Dropped {
            return Chunk::Nothing;
        }
        if state.outbound.is_empty() {
            if !matches!(state.writing, Writing::Closing) {
                return Chunk::Nothing;
            }
            state.writing = Writing::Closed;
            wake(state, |state| state.writer.take());
            return Chunk::End;
        }
        let n_bytes = state.outbound.len().min(max_bytes);
        let chunk = state.outbound.split_to(n_bytes).freeze();
        if state.outbound.is_empty() {
            // An idle stream holds no buffer.
            state.outbound = BytesMut::new();
        }
        wake(state, |state| state.writer.take());
        Chunk::Data(chunk)
    }

    /// Returns whether [`next_chunk`](Self::next_chunk) has something.
    pub(crate) fn has_chunk(&self) -> bool {
        let state = lock(&self.state);
        state.user != User::Dropped
            && (!state.outbound.is_empty() || matches!(state.writing, Writing::Closing))
    }

    fn ring(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if std::mem::replace(&mut state.is_rung, true) {
            return;
        }
        drop(state);
        self.bell.ring(Arc::clone(self));
    }

    /// Says what the user does with an inbound dial or a stream.
    pub(crate) fn decide(self: &Arc<Self>, user: User) {
        let mut state = lock(&self.state);
        state.user = user;
        if user == User::Dropped {
            state.inbound = VecDeque::new();
            state.n_inbound_bytes = 0;
            state.outbound = BytesMut::new();
            state.is_awaited = false;
        }
        self.ring(state);
    }

    /// Returns whether the stream is broken.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(lock(&self.state).reading, Reading::Broken(_))
    }
}

/// Wakes outside the lock.
fn wake(mut state: MutexGuard<'_, State>, take: impl FnOnce(&mut State) -> Option<Waker>) {
    let waker = take(&mut state);
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A stream of the legacy profile: it shares the connection to its star with all
/// others.
pub(crate) struct Relayed {
    shared: Arc<StreamState>,
}

impl Relayed {
    pub(crate) fn new(shared: Arc<StreamState>) -> Self {
        Self { shared }
    }
}

impl AsyncRead for Relayed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut guard = lock(&self.shared.state);
        let state = &mut *guard;
        let mut n_bytes = 0;
        while n_bytes < buf.len()
            && let Some(chunk) = state.inbound.front_mut()
        {
            let n_taken = chunk.len().min(buf.len() - n_bytes);
            chunk.copy_to_slice(&mut buf[n_bytes..n_bytes + n_taken]);
            if chunk.is_empty() {
                state.inbound.pop_front();
            }
            n_bytes += n_taken;
        }
        if n_bytes == 0 {
            return match &state.reading {
                Reading::Open => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
                Reading::Ended => Poll::Ready(Ok(0)),
                Reading::Broken(why) => Poll::Ready(Err(why.to_error())),
            };
        }
        state.n_inbound_bytes -= n_bytes;
        state.n_read_bytes += n_bytes as u64;
        if state.is_awaited && state.n_inbound_bytes <= self.shared.max_bytes / 2 {
            state.is_awaited = false;
            self.shared.ring(guard);
        }
        Poll::Ready(Ok(n_bytes))
    }
}

impl AsyncWrite for Relayed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.shared.state);
        match &state.writing {
            Writing::Open => {}
            Writing::Closing | Writing::Closed => {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            Writing::Broken(why) => return Poll::Ready(Err(why.to_error())),
        }
        let room = self.shared.max_bytes.saturating_sub(state.outbound.len());
        if room == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n_bytes = buf.len().min(room);
        state.outbound.extend_from_slice(&buf[..n_bytes]);
        self.shared.ring(state);
        Poll::Ready(Ok(n_bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.shared.state);
        match &state.writing {
            Writing::Open | Writing::Closing if !state.outbound.is_empty() => {
                state.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            Writing::Open | Writing::Closing | Writing::Closed => Poll::Ready(Ok(())),
            Writing::Broken(why) => Poll::Ready(Err(why.to_error())),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.shared.state);
        match &state.writing {
            Writing::Open | Writing::Closing => {
                state.writing = Writing::Closing;
                state.writer = Some(cx.waker().clone());
                self.shared.ring(state);
                Poll::Pending
            }
            Writing::Closed => Poll::Ready(Ok(())),
            Writing::Broken(why) => Poll::Ready(Err(why.to_error())),
        }
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        self.shared.decide(User::Dropped);
    }
}

impl fmt::Debug for Relayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relayed")
            .field("dial", &self.shared.dial)
            .finish_non_exhaustive()
    }
}
