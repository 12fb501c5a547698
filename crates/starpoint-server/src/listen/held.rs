//! A connection that keeps its place, and ends when its answers are not read.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use crate::connections::Slot;

/// What a client has to take of an answer within the deadline, if that is not all.
const MIN_PROGRESS_BYTES: usize = 16 * 1024;

/// A connection that holds its place until it is closed, upgraded or not.
///
/// As long as it is one of HTTP, writing fails when the client takes less than
/// [`MIN_PROGRESS_BYTES`] within the deadline. What follows an upgrade has deadlines
/// of its own.
pub(super) struct Held<S> {
    io: S,
    slot: Slot,
    patience: Patience,
}

impl<S> Held<S> {
    pub(super) fn new(io: S, slot: Slot, deadline: Duration) -> Self {
        Self {
            io,
            slot,
            patience: Patience::Untried { deadline },
        }
    }
}

/// State of the deadline for writing.
enum Patience {
    /// No write had to wait yet.
    Untried { deadline: Duration },
    /// A write has waited.
    Tried(Box<Stall>),
    /// The connection was upgraded.
    Over,
}

struct Stall {
    timer: Pin<Box<Sleep>>,
    deadline: Duration,
    /// Since when the client has been slow; `None` while it is not.
    since: Option<Instant>,
    /// Written since then.
    bytes: usize,
}

impl Stall {
    fn new(deadline: Duration) -> Self {
        Self {
            timer: Box::pin(tokio::time::sleep(deadline)),
            deadline,
            since: None,
            bytes: 0,
        }
    }

    fn wrote(&mut self, written: usize, offered: usize) {
        self.bytes += written;
        if written == offered || self.bytes >= MIN_PROGRESS_BYTES {
            self.since = None;
        }
    }

    /// Notes that a write has to wait. Ready when it has waited too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            self.bytes = 0;
            self.timer.as_mut().reset(now + self.deadline);
        }
        self.timer.as_mut().poll(cx)
    }
}

impl<S> Held<S> {
    /// Notes what became of a write of `offered` bytes.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        offered: usize,
    ) -> Poll<io::Result<usize>> {
        match (written, &mut self.patience) {
            (Poll::Pending, Patience::Over) => Poll::Pending,
            (Poll::Pending, Patience::Untried { .. } | Patience::Tried(_)) => {
                ready!(self.poll_impatience(cx));
                let text = "the answer is not read";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
            }
            (Poll::Ready(Ok(bytes)), Patience::Tried(stall)) => {
                stall.wrote(bytes, offered);
                Poll::Ready(Ok(bytes))
            }
            (Poll::Ready(result), _) => Poll::Ready(result),
        }
    }

    fn poll_impatience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_new = match &self.patience {
            Patience::Untried { .. } => true,
            Patience::Tried(stall) => stall.since.is_none(),
            Patience::Over => return Poll::Pending,
        };
        // Asked once for each stall only: it takes a lock that all connections share.
        if is_new && self.slot.is_upgraded() {
            self.patience = Patience::Over;
            return Poll::Pending;
        }
        if let Patience::Untried { deadline } = self.patience {
            self.patience = Patience::Tried(Box::new(Stall::new(deadline)));
        }
        match &mut self.patience {
            Patience::Tried(stall) => stall.poll(cx),
            Patience::Untried { .. } | Patience::Over => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(cx, written, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(cx, written, offered)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use starpoint_broker::SourceId;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::connections::{Bounds, Connections, Marker, Share};

    const DEADLINE: Duration = Duration::from_secs(30);

    fn pair(buffer: usize) -> (Held<DuplexStream>, Marker, DuplexStream) {
        let (near, far) = duplex(buffer);
        let bounds = Bounds {
            total: 1,
            per_source: 1,
        };
        let slot = Connections::new(bounds)
            .admit(SourceId(1), Share::Bounded)
            .slot;
        let marker = slot.marker();
        (Held::new(near, slot, DEADLINE), marker, far)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_ends_the_connection() {
        let (mut held, _marker, _far) = pair(100);
        let begin = Instant::now();
        let error = held.write_all(&[0; 1_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn drops_are_no_progress() {
        let (mut held, _marker, mut far) = pair(100);
        tokio::spawn(async move {
            while far.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let begin = Instant::now();
        assert!(held.write_all(&[0; 1_000]).await.is_err());
        assert!(begin.elapsed() < DEADLINE * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_waited_for() {
        let (mut held, _marker, mut far) = pair(64 * 1024);
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; MIN_PROGRESS_BYTES];
            let mut total = 0;
            while total < 1 << 20 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                total += far.read(&mut buffer).await.unwrap();
            }
        });
        for _ in 0..16 {
            held.write_all(&vec![0; 1 << 16]).await.unwrap();
            // No answer is due in the meantime.
            tokio::time::sleep(DEADLINE * 2).await;
        }
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_upgraded_connection_has_other_deadlines() {
        let (mut held, marker, far) = pair(100);
        marker.upgrade();
        let writing = held.write_all(&[0; 1_000]);
        assert!(tokio::time::timeout(DEADLINE * 10, writing).await.is_err());
        drop(far);
        let write = poll_fn(|cx| Pin::new(&mut held).poll_write(cx, &[0; 1]));
        assert!(write.await.is_err());
    }
}
