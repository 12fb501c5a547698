//! What `listen` and `connect` share: bytes both ways between stdio and a stream.

pub(super) mod converse;
pub(super) mod echo;
pub(super) mod raw;

use std::{io, time::Duration};

use futures_util::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::ui::{error::Failure, exit::Exit};

/// Protocol of `listen` and `connect`; see [`Framing`].
pub(super) const PIPE: starpoint_node::StreamProtocol =
    starpoint_node::StreamProtocol::new("/starpoint/pipe/1");

const BUFFER_BYTES: usize = 64 * 1024;

/// How bytes lie in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// As they are: a star's stream says by itself how it ended.
    Raw,
    /// In chunks behind their length, 4 bytes, big endian; length 0 is the end:
    /// R-NETCAT-3, R-NETCAT-4. Yamux ends its streams alike when a peer is done and when it is lost.
    Chunks,
}

struct Reader<R> {
    stream: R,
    framing: Framing,
    /// What is left of the chunk.
    n_left: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    fn new(stream: R, framing: Framing) -> Self {
        Self {
            stream,
            framing,
            n_left: 0,
        }
    }

    /// Returns 0 at an end in good order.
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.framing == Framing::Raw {
            return self.stream.read(buffer).await;
        }
        if self.n_left == 0 {
            let mut length = [0; 4];
            let read = self.stream.read_exact(&mut length).await;
            read.map_err(lost_before_the_end)?;
            let length = u32::from_be_bytes(length);
            if length == 0 {
                return Ok(0);
            }
            self.n_left = usize::try_from(length)
                .ok()
                .filter(|n_bytes| *n_bytes <= BUFFER_BYTES)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "oversized chunk"))?;
        }
        let n_bytes = self.n_left.min(buffer.len());
        match self.stream.read(&mut buffer[..n_bytes]).await? {
            0 => Err(lost_before_the_end(io::ErrorKind::UnexpectedEof.into())),
            n_bytes => {
                self.n_left -= n_bytes;
                Ok(n_bytes)
            }
        }
    }
}

fn lost_before_the_end(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        io::Error::new(io::ErrorKind::ConnectionAborted, "lost before its end")
    } else {
        error
    }
}

struct Writer<W> {
    stream: W,
    framing: Framing,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes and flushes: what is typed has to arrive.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.framing == Framing::Chunks {
            let length = u32::try_from(bytes.len()).expect("a buffer is smaller");
            self.stream.write_all(&length.to_be_bytes()).await?;
        }
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Ends the own direction in good order.
    async fn end(&mut self) -> io::Result<()> {
        match self.framing {
            Framing::Raw => self.stream.close().await,
            Framing::Chunks => {
                self.stream.write_all(&[0; 4]).await?;
                self.stream.flush().await?;
                // Who has ended, too, and reads the mark may be gone before this.
                let _ = self.stream.close().await;
                Ok(())
            }
        }
    }
}

/// What the side that was dialed says first: a program serves the stream, which
/// the stream itself does not tell. R-NETCAT-2.
const GREETING: [u8; 1] = [1];

/// Says that the stream is being served.
pub(super) async fn greet<S: AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.write_all(&GREETING).await?;
    stream.flush().await
}

/// Why a stream has no greeting.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetingError {
    /// The other side has ended the stream, or it was lost: alike, in Yamux.
    #[error("peer took the connection and ended it")]
    Ended,
    /// The other side holds the stream and does nothing with it.
    #[error("peer took the connection and does not serve it")]
    Silent,
    /// The other side speaks something else.
    #[error("peer answers with something else than `starpoint listen` does")]
    Foreign,
}

impl From<GreetingError> for Failure {
    fn from(error: GreetingError) -> Self {
        let (exit, hint) = match error {
            GreetingError::Ended => (
                Exit::REFUSED,
                "it serves somebody already, or too many wait; try again later",
            ),
            GreetingError::Silent => (
                Exit::NO_ANSWER,
                "it is overloaded or hangs; try again later",
            ),
            GreetingError::Foreign => (
                Exit::REFUSED,
                "check that the address is that of a `starpoint listen`",
            ),
        };
        Self::new(exit, error, hint)
    }
}

/// Waits until the other side serves the stream, for at most `deadline`.
pub(super) async fn greeted<S: AsyncRead + Unpin>(
    stream: &mut S,
    deadline: Duration,
) -> Result<(), GreetingError> {
    let mut greeting = [0; 1];
    match tokio::time::timeout(deadline, stream.read_exact(&mut greeting)).await {
        Ok(Ok(())) if greeting == GREETING => Ok(()),
        Ok(Ok(())) => Err(GreetingError::Foreign),
        Ok(Err(_)) => Err(GreetingError::Ended),
        Err(_) => Err(GreetingError::Silent),
    }
}

/// Bytes that went each way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
}

/// Why a connection with stdin and stdout ended before its end.
#[derive(Debug)]
pub(super) enum PipeError {
    Stdin(io::Error),
    /// Who reads stdout has gone: it has what it wanted.
    ReaderGone,
    Stdout(io::Error),
    Broken(io::Error),
}

impl PipeError {
    /// Returns how to exit.
    pub(super) fn into_result(self) -> Result<Exit, Failure> {
        match self {
            Self::ReaderGone => Ok(Exit::OK),
            Self::Stdin(error) => Err(Failure::internal(
                anyhow::Error::new(error).context("cannot read stdin"),
            )),
            Self::Stdout(error) => Err(Failure::internal(
                anyhow::Error::new(error).context("cannot write stdout"),
            )),
            Self::Broken(error) => Err(broken(error)),
        }
    }
}

/// Returns the failure of a connection that broke.
pub(super) fn broken(error: io::Error) -> Failure {
    Failure::new(
        Exit::BROKEN,
        anyhow::Error::new(error).context("connection broken"),
        "the other side ended it, or the star was lost; what was sent may not have arrived",
    )
}

/// Sends stdin and writes to stdout what comes, until both directions have
/// ended. The end of stdin ends the own direction only.
pub(super) async fn with_stdio<S>(stream: S, framing: Framing) -> Result<Moved, PipeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (from, to) = stream.split();
    let mut from = Reader::new(from, framing);
    let mut to = Writer {
        stream: to,
        framing,
    };
    let sending = async {
        let mut stdin = tokio::io::stdin();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut n_sent = 0;
        loop {
            match stdin.read(&mut buffer).await.map_err(PipeError::Stdin)? {
                0 => break,
                n_bytes => {
                    let sent = to.write(&buffer[..n_bytes]).await;
                    sent.map_err(PipeError::Broken)?;
                    n_sent += n_bytes as u64;
                }
            }
        }
        to.end().await.map_err(PipeError::Broken)?;
        Ok(n_sent)
    };
    let receiving = async {
        let mut stdout = tokio::io::stdout();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut n_received = 0;
        loop {
            match from.read(&mut buffer).await.map_err(PipeError::Broken)? {
                0 => break,
                n_bytes => {
                    stdout
                        .write_all(&buffer[..n_bytes])
                        .await
                        .map_err(stdout_error)?;
                    stdout.flush().await.map_err(stdout_error)?;
                    n_received += n_bytes as u64;
                }
            }
        }
        Ok(n_received)
    };
    let (sent_bytes, received_bytes) = tokio::try_join!(sending, receiving)?;
    Ok(Moved {
        sent_bytes,
        received_bytes,
    })
}

fn stdout_error(error: io::Error) -> PipeError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        PipeError::ReaderGone
    } else {
        PipeError::Stdout(error)
    }
}

/// Sends back what comes, and ends when the other side does.
pub(super) async fn echo<S>(stream: S, framing: Framing) -> io::Result<Moved>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (from, to) = stream.split();
    let mut from = Reader::new(from, framing);
    let mut to = Writer {
        stream: to,
        framing,
    };
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut moved = Moved::default();
    loop {
        let n_bytes = from.read(&mut buffer).await?;
        if n_bytes == 0 {
            break;
        }
        moved.received_bytes += n_bytes as u64;
        to.write(&buffer[..n_bytes]).await?;
        moved.sent_bytes += n_bytes as u64;
    }
    to.end().await?;
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use futures_util::io::Cursor;

    use super::*;

    async fn read_all(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut reader = Reader::new(Cursor::new(bytes), Framing::Chunks);
        let mut all = Vec::new();
        let mut buffer = [0; 2];
        loop {
            match reader.read(&mut buffer).await? {
                0 => return Ok(all),
                n_bytes => all.extend_from_slice(&buffer[..n_bytes]),
            }
        }
    }

    #[tokio::test]
    async fn r_netcat_3_chunks_are_read_as_they_are_written() {
        let mut writer = Writer {
            stream: Cursor::new(Vec::new()),
            framing: Framing::Chunks,
        };
        writer.write(b"one").await.unwrap();
        writer.write(b"two").await.unwrap();
        writer.end().await.unwrap();
        let written = writer.stream.into_inner();
        assert_eq!(written, b"\0\0\0\x03one\0\0\0\x03two\0\0\0\0");
        assert_eq!(read_all(&written).await.unwrap(), b"onetwo");
    }

    #[tokio::test]
    async fn r_netcat_5_an_end_without_its_mark_is_a_loss() {
        let written = b"\0\0\0\x03one\0\0\0\0";
        for n_bytes in 0..written.len() {
            let error = read_all(&written[..n_bytes]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{n_bytes}");
        }
    }

    #[tokio::test]
    async fn r_netcat_3_an_oversized_chunk_is_refused() {
        for (length, is_fine) in [(65_536_u32, true), (65_537, false), (u32::MAX, false)] {
            let mut written = length.to_be_bytes().to_vec();
            written.resize(written.len() + 65_536, 7);
            written.extend([0; 4]);
            let read = read_all(&written).await;
            match read {
                Ok(all) => assert!(is_fine && all.len() == 65_536, "{length}"),
                Err(error) => {
                    assert!(!is_fine, "{length}: {error}");
                    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                }
            }
        }
    }

    async fn greeted_with(bytes: &[u8]) -> Result<(), GreetingError> {
        greeted(&mut Cursor::new(bytes), Duration::from_secs(10)).await
    }

    #[tokio::test]
    async fn r_netcat_2_a_greeting_is_one_byte_and_nothing_else() {
        let mut written = Cursor::new(Vec::new());
        greet(&mut written).await.unwrap();
        assert_eq!(written.into_inner(), [1]);

        greeted_with(&[1]).await.unwrap();
        let ended = greeted_with(&[]).await.unwrap_err();
        assert!(matches!(ended, GreetingError::Ended), "{ended}");
        for byte in [0, 2, 0xff] {
            let foreign = greeted_with(&[byte]).await.unwrap_err();
            assert!(matches!(foreign, GreetingError::Foreign), "{foreign}");
        }
    }
}
