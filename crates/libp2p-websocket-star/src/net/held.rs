//! The open pipes of a transport: those that somebody holds, and those that come
//! to their end after somebody held them.

use std::{
    collections::BTreeMap,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, poll_fn, select},
    io::{AsyncRead, AsyncWrite},
    stream::FuturesUnordered,
};
use starpoint_sio::{Pipe, Timers};

use super::bell::lock;

/// Time that a pipe has to end in good order once nobody holds it.
const FINISH_DEADLINE: Duration = Duration::from_secs(10);

/// Pipes that may come to their end at a time; further ones just end.
const MAX_FINISHING: usize = 256;

/// All open pipes of one transport; a cheap handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenPipes(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    next_id: u64,
    held: BTreeMap<u64, Arc<Slot>>,
    dropped: Vec<Box<dyn Pipe>>,
    /// The transport is gone, or gives no more time.
    is_cut: bool,
    transport: Option<Waker>,
}

/// A pipe, shared by who holds it and its transport.
#[derive(Default)]
struct Slot(Mutex<Content>);

#[derive(Default)]
struct Content {
    /// `None` once it is cut.
    pipe: Option<Box<dyn Pipe>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl OpenPipes {
    /// Hands a pipe over to somebody.
    pub(crate) fn hold(&self, pipe: Box<dyn Pipe>) -> HeldPipe {
        let slot = Arc::<Slot>::default();
        let mut state = lock(&self.0);
        if !state.is_cut {
            lock(&slot.0).pipe = Some(pipe);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.held.insert(id, Arc::clone(&slot));
        let pipes = self.clone();
        HeldPipe { id, slot, pipes }
    }

    /// Cuts every pipe, and from now on each one at once.
    pub(crate) fn cut(&self) {
        let (held, dropped) = {
            let mut state = lock(&self.0);
            state.is_cut = true;
            let held: Vec<_> = state.held.values().cloned().collect();
            (held, std::mem::take(&mut state.dropped))
        };
        drop(dropped);
        for slot in held {
            let Content {
                pipe,
                reader,
                writer,
            } = std::mem::take(&mut *lock(&slot.0));
            drop(pipe);
            for waker in [reader, writer].into_iter().flatten() {
                waker.wake();
            }
        }
    }

    fn let_go(&self, id: u64, pipe: Option<Box<dyn Pipe>>) {
        let mut state = lock(&self.0);
        state.held.remove(&id);
        if let Some(pipe) = pipe
            && !state.is_cut
            && state.transport.is_some()
            && state.dropped.len() < MAX_FINISHING
        {
            state.dropped.push(pipe);
        }
        let waker = state.transport.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The transport's part: pipes that nobody holds come to their end here.
pub(crate) struct Finishing {
    pipes: OpenPipes,
    timers: Arc<dyn Timers>,
    futures: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Finishing {
    pub(crate) fn new(pipes: OpenPipes, timers: Arc<dyn Timers>) -> Self {
        Self {
            pipes,
            timers,
            futures: FuturesUnordered::new(),
        }
    }

    /// Drives what comes to its end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        let dropped = {
            let mut state = lock(&self.pipes.0);
            let is_known = state
                .transport
                .as_ref()
                .is_some_and(|w| w.will_wake(cx.waker()));
            if !is_known {
                state.transport = Some(cx.waker().clone());
            }
            std::mem::take(&mut state.dropped)
        };
        for mut pipe in dropped {
            if self.futures.len() >= MAX_FINISHING {
                continue;
            }
            let late = self.timers.sleep_until(self.timers.now() + FINISH_DEADLINE);
            let end = async move {
                let finish = poll_fn(|cx| Pin::new(&mut *pipe).poll_finish(cx));
                select(std::pin::pin!(finish), late).await;
            };
            self.futures.push(end.boxed());
        }
        while let Poll::Ready(Some(())) = self.futures.poll_next_unpin(cx) {}
    }

    /// Returns how many pipes are held or come to their end.
    pub(crate) fn n_pipes(&self) -> usize {
        let state = lock(&self.pipes.0);
        state.held.len() + state.dropped.len() + self.futures.len()
    }

    /// Ends every pipe now.
    pub(crate) fn cut(&mut self) {
        self.futures.clear();
        self.pipes.cut();
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        self.pipes.cut();
    }
}

/// A pipe that somebody holds. Dropping it leaves its end to the transport.
pub(crate) struct HeldPipe {
    id: u64,
    slot: Arc<Slot>,
    pipes: OpenPipes,
}

impl HeldPipe {
    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        half: fn(&mut Content) -> &mut Option<Waker>,
        work: impl FnOnce(Pin<&mut dyn Pipe>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut content = lock(&self.slot.0);
        let Some(pipe) = &mut content.pipe else {
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "transport closed");
            return Poll::Ready(Err(error));
        };
        let polled = work(Pin::new(&mut **pipe), cx);
        if polled.is_pending() {
            let waker = half(&mut content);
            if !waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                *waker = Some(cx.waker().clone());
            }
        }
        polled
    }
}

impl AsyncRead for HeldPipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |c| &mut c.reader, |pipe, cx| pipe.poll_read(cx, buf))
    }
}

impl AsyncWrite for HeldPipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |c| &mut c.writer, |pipe, cx| pipe.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |c| &mut c.writer, |pipe, cx| pipe.poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |c| &mut c.writer, |pipe, cx| pipe.poll_close(cx))
    }
}

impl Drop for HeldPipe {
    fn drop(&mut self) {
        let pipe = lock(&self.slot.0).pipe.take();
        self.pipes.let_go(self.id, pipe);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("held", &self.held.len())
            .field("dropped", &self.dropped.len())
            .field("is_cut", &self.is_cut)
            .finish_non_exhaustive()
    }
}
