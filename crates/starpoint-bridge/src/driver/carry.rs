//! The task of one line.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, split},
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::local::{LocalStream, Target};
use crate::{line::Read, mux::LineKey, reason::CloseReason};

/// Most that is read of a connection at once, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// How long a connection is read that nobody listens to, so that what was written
/// to it is not destroyed by a reset.
const LINGER: Duration = Duration::from_secs(5);

/// A report of a line task to the driver.
#[derive(Debug)]
pub(super) struct FromLine {
    pub(super) line: LineKey,
    pub(super) report: Report,
}

#[derive(Debug)]
pub(super) enum Report {
    /// The target is there.
    Accepted,
    Data(Bytes),
    End,
    /// So many bytes are written.
    Taken(usize),
    /// Both directions have ended.
    Finished,
    Failed(CloseReason),
}

/// What a line has of its driver.
#[derive(Debug)]
pub(super) struct LineEnds {
    pub(super) line: LineKey,
    pub(super) to_driver: mpsc::Sender<FromLine>,
    pub(super) from_driver: mpsc::Receiver<Read>,
    pub(super) room: Arc<Semaphore>,
    pub(super) was_reset: oneshot::Receiver<CloseReason>,
}

/// Why a line stops before both directions have ended.
enum Stop {
    /// The other side reads no more; all that it sent is written.
    Over,
    /// The driver says so, or is gone.
    Reset,
    /// The connection broke.
    Broken,
}

/// Connects with the target, then [carries](carry).
pub(super) async fn connect_and_carry<T: Target>(target: Arc<T>, mut ends: LineEnds) {
    let connected = tokio::select! {
        biased;
        _ = &mut ends.was_reset => return,
        connected = target.connect() => connected,
    };
    match connected {
        Ok(stream) => {
            ends.report(Report::Accepted).await;
            carry(stream, ends).await;
        }
        Err(error) => {
            let reason = if error.kind() == io::ErrorKind::ConnectionRefused {
                CloseReason::Refused
            } else {
                CloseReason::Unreachable
            };
            ends.report(Report::Failed(reason)).await;
        }
    }
}

/// Carries both directions until they have ended. Dropping this resets the
/// connection.
pub(super) async fn carry<S: LocalStream>(stream: S, mut ends: LineEnds) {
    let (mut reader, mut writer) = split(ResetOnDrop(Some(stream)));
    let up = upload(&mut reader, ends.line, &ends.to_driver, &ends.room);
    let down = download(
        &mut writer,
        ends.line,
        &ends.to_driver,
        &mut ends.from_driver,
    );
    let result = tokio::select! {
        biased;
        _ = &mut ends.was_reset => Err(Stop::Reset),
        result = async { tokio::try_join!(up, down) } => result,
    };
    let mut stream = reader.unsplit(writer);
    match result {
        Ok(((), ())) => {
            stream.let_go();
            ends.report(Report::Finished).await;
        }
        Err(Stop::Over) => {
            // Whether it ends in time or not, it was told all there is.
            drop(timeout(LINGER, read_to_nowhere(&mut stream)).await);
            stream.let_go();
            ends.report(Report::Finished).await;
        }
        Err(Stop::Reset) => drop(stream),
        Err(Stop::Broken) => {
            drop(stream);
            ends.report(Report::Failed(CloseReason::Reset)).await;
        }
    }
}

impl LineEnds {
    async fn report(&self, report: Report) {
        // Without a driver there is nothing left to report.
        drop(send_report(&self.to_driver, self.line, report).await);
    }
}

async fn send_report(
    driver: &mpsc::Sender<FromLine>,
    line: LineKey,
    report: Report,
) -> Result<(), Stop> {
    let sent = driver.send(FromLine { line, report }).await;
    sent.map_err(|_| Stop::Reset)
}

async fn upload(
    reader: &mut (impl AsyncRead + Unpin),
    line: LineKey,
    driver: &mpsc::Sender<FromLine>,
    room: &Semaphore,
) -> Result<(), Stop> {
    loop {
        let all = room.acquire_many(READ_BYTES as u32).await;
        let all = all.map_err(|_| Stop::Reset)?;
        let bytes = read_some(reader).await.map_err(|_| Stop::Broken)?;
        if bytes.is_empty() {
            return send_report(driver, line, Report::End).await;
        }
        all.forget();
        room.add_permits(READ_BYTES - bytes.len());
        send_report(driver, line, Report::Data(bytes)).await?;
    }
}

async fn download(
    writer: &mut (impl AsyncWrite + Unpin),
    line: LineKey,
    driver: &mpsc::Sender<FromLine>,
    from_driver: &mut mpsc::Receiver<Read>,
) -> Result<(), Stop> {
    while let Some(read) = from_driver.recv().await {
        match read {
            Read::Data(bytes) => {
                let written = writer.write_all(&bytes).await;
                written.map_err(|_| Stop::Broken)?;
                writer.flush().await.map_err(|_| Stop::Broken)?;
                send_report(driver, line, Report::Taken(bytes.len())).await?;
            }
            Read::End => return writer.shutdown().await.map_err(|_| Stop::Broken),
            Read::Over => {
                writer.shutdown().await.map_err(|_| Stop::Broken)?;
                return Err(Stop::Over);
            }
        }
    }
    Err(Stop::Reset)
}

/// Reads what there is, at most [`READ_BYTES`]; nothing at the end. Holds no
/// buffer while it waits.
async fn read_some(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    poll_fn(|cx| {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut space = ReadBuf::uninit(&mut space);
        let read = Pin::new(&mut *reader).poll_read(cx, &mut space);
        read.map_ok(|()| Bytes::copy_from_slice(space.filled()))
    })
    .await
}

async fn read_to_nowhere(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut nowhere = [0; 1024];
    while reader.read(&mut nowhere).await? > 0 {}
    Ok(())
}

/// A connection that is reset unless it was let go.
#[derive(Debug)]
struct ResetOnDrop<S: LocalStream>(Option<S>);

impl<S: LocalStream> ResetOnDrop<S> {
    /// Closes the connection like any other.
    fn let_go(&mut self) {
        self.0 = None;
    }

    fn inner(&mut self) -> io::Result<Pin<&mut S>> {
        let stream = self.0.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: LocalStream> Drop for ResetOnDrop<S> {
    fn drop(&mut self) {
        if let Some(stream) = self.0.take() {
            stream.reset();
        }
    }
}

impl<S: LocalStream> AsyncRead for ResetOnDrop<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner()?.poll_read(cx, space)
    }
}

impl<S: LocalStream> AsyncWrite for ResetOnDrop<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_shutdown(cx)
    }
}
