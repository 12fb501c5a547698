//! Frames on a stream.

use std::{io, time::Duration};

use futures_util::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::wire::{Frame, LENGTH_BYTES, MAX_FRAME_BYTES};

/// Longest time for a frame to be taken.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// Reads frames, byte for byte and never beyond one: data follows some.
///
/// [`next`](Self::next) is cancel safe.
#[derive(Debug)]
pub(crate) struct FrameReader {
    buffer: Box<[u8; LENGTH_BYTES + MAX_FRAME_BYTES]>,
    n_read: usize,
}

impl FrameReader {
    pub(crate) fn new() -> Self {
        Self {
            buffer: Box::new([0; LENGTH_BYTES + MAX_FRAME_BYTES]),
            n_read: 0,
        }
    }

    /// Reads the next frame.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` at the end of the stream, `InvalidData` for what is no
    /// frame, and what the stream says.
    pub(crate) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Frame> {
        let prefix = self.fill(stream, LENGTH_BYTES).await?;
        let prefix = *prefix.first_chunk().expect("as much was read");
        let length = Frame::length(prefix).map_err(invalid)?;
        let bytes = self.fill(stream, LENGTH_BYTES + length).await?;
        let frame = Frame::decode(&bytes[LENGTH_BYTES..]).map_err(invalid);
        self.n_read = 0;
        frame
    }

    async fn fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        n_bytes: usize,
    ) -> io::Result<&[u8]> {
        while self.n_read < n_bytes {
            match stream.read(&mut self.buffer[self.n_read..n_bytes]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n_more => self.n_read += n_more,
            }
        }
        Ok(&self.buffer[..n_bytes])
    }
}

fn invalid(error: crate::wire::FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Reads one frame within `deadline`.
///
/// # Errors
///
/// As [`FrameReader::next`], and `TimedOut`.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    deadline: Duration,
) -> io::Result<Frame> {
    let mut reader = FrameReader::new();
    within(deadline, reader.next(stream)).await
}

/// Writes one frame and sees it off.
///
/// Not cancel safe: part of the frame may have gone.
///
/// # Errors
///
/// `TimedOut` when it is not taken within 10 s, and what the stream says.
pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    let bytes = frame.encode();
    within(WRITE_DEADLINE, async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    })
    .await
}

async fn within<T>(deadline: Duration, done: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(deadline, done).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
