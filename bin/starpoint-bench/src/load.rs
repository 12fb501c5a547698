//! What parties do with their streams.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Size of the buffer of a reader.
const READ_BYTES: usize = 256 * 1024;

/// Bytes that have gone through somewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByteCount(Arc<AtomicU64>);

impl ByteCount {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, n_bytes: usize) {
        self.0.fetch_add(n_bytes as u64, Ordering::Relaxed);
    }
}

/// When a writer hands over what it has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// After each chunk, so that each goes out by itself.
    Each,
    /// Never: what carries the stream may put chunks together.
    Never,
}

/// Writes chunks until `max_bytes` are written, then holds the stream.
///
/// # Errors
///
/// The stream breaks.
pub(crate) async fn write(
    mut stream: impl AsyncWrite + Unpin,
    chunk_bytes: usize,
    flush: Flush,
    max_bytes: u64,
    written: ByteCount,
) -> io::Result<()> {
    let chunk = vec![0x5a; chunk_bytes];
    while written.get() < max_bytes {
        stream.write_all(&chunk).await?;
        if flush == Flush::Each {
            stream.flush().await?;
        }
        written.add(chunk_bytes);
    }
    stream.flush().await?;
    std::future::pending().await
}

/// Reads until the end.
///
/// # Errors
///
/// The stream breaks.
pub(crate) async fn read(mut stream: impl AsyncRead + Unpin, count: ByteCount) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n_bytes => count.add(n_bytes),
        }
    }
}

/// Sends back what comes in, until the end.
///
/// # Errors
///
/// The stream breaks.
pub(crate) async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.close().await,
            n_bytes => {
                stream.write_all(&buffer[..n_bytes]).await?;
                stream.flush().await?;
            }
        }
    }
}
