//! A local socket and a stream, joined until both directions have ended.
//!
//! Yamux reads a reset, a lost connection and a clean end alike: 0 bytes. So data
//! goes in chunks behind their length, and an end is said: R-TUNNEL-13. A stream
//! that ends without it was reset, and the local socket is reset, too.

use std::io;

use futures_util::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, io::BufReader};
use starpoint_node::Stream;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::monitor::Meters;

/// The longest chunk that is sent, and its length: what Yamux puts into four frames
/// of 16 KiB. It flushes behind each, so a few bytes more cost as much as another.
const SENT_BYTES: usize = 64 * 1024 - LENGTH_BYTES;
/// The longest chunk that is taken.
pub(crate) const MAX_CHUNK_BYTES: usize = 64 * 1024;
/// Bytes in front of a chunk that say how long it is.
const LENGTH_BYTES: usize = 4;
/// Bytes that are read ahead of the local side.
const READ_BYTES: usize = 64 * 1024;

/// Bytes that went each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// From the local side into the tunnel.
    pub sent_bytes: u64,
    /// Out of the tunnel to the local side.
    pub received_bytes: u64,
}

/// Joins a TCP connection and a stream. Unless both directions end in good
/// order, both are reset: also when the future is dropped.
pub(crate) async fn tcp(
    mut local: ResetOnDrop,
    stream: Stream,
    meters: &Meters,
) -> io::Result<Moved> {
    let (mut reader, mut writer) = local.socket.split();
    let moved = both(&mut reader, &mut writer, stream, meters, Unwritten::Drain).await?;
    local.has_ended = true;
    Ok(moved)
}

/// What happens when the local side takes nothing more, and did not say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwritten {
    /// What it had to say is carried first: a service that refuses the rest of a
    /// request has answered it. A socket then says by itself when it has ended.
    Drain,
    /// That is the end: nobody is there to say anything.
    Stop,
}

/// On which side something failed.
enum Failed {
    Local(io::Error),
    Peer(io::Error),
}

/// Joins any two halves and a stream. When this fails or is dropped, the stream
/// is reset.
pub(crate) async fn both(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    stream: Stream,
    meters: &Meters,
    unwritten: Unwritten,
) -> io::Result<Moved> {
    let (from_peer, mut to_peer) = stream.split();
    let mut from_peer = BufReader::with_capacity(READ_BYTES, from_peer);
    // An outer error ends both directions, an inner one its own: what the other
    // side sent before it was lost, or refused more, is carried to its end.
    let outward = async {
        match outward(reader, &mut to_peer, meters).await {
            Ok(sent_bytes) => Ok(Ok(sent_bytes)),
            Err(Failed::Peer(error)) => Ok(Err(error)),
            Err(Failed::Local(error)) => Err(error),
        }
    };
    let inward = async {
        match (inward(&mut from_peer, writer, meters).await, unwritten) {
            (Ok(received_bytes), _) => Ok(Ok(received_bytes)),
            (Err(Failed::Local(error)), Unwritten::Drain) => Ok(Err(error)),
            (Err(Failed::Local(error) | Failed::Peer(error)), _) => Err(error),
        }
    };
    let (sent_bytes, received_bytes) = tokio::try_join!(outward, inward)?;
    Ok(Moved {
        sent_bytes: sent_bytes?,
        received_bytes: received_bytes?,
    })
}

async fn outward(
    local: &mut (impl AsyncRead + Unpin),
    to_peer: &mut (impl futures_util::AsyncWrite + Unpin),
    meters: &Meters,
) -> Result<u64, Failed> {
    let mut buffer = vec![0; LENGTH_BYTES + SENT_BYTES];
    let mut sent_bytes = 0;
    loop {
        let read = local.read(&mut buffer[LENGTH_BYTES..]).await;
        let n_bytes = read.map_err(Failed::Local)?;
        let length = u32::try_from(n_bytes).expect("the buffer is smaller");
        buffer[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        let chunk = &buffer[..LENGTH_BYTES + n_bytes];
        to_peer.write_all(chunk).await.map_err(Failed::Peer)?;
        to_peer.flush().await.map_err(Failed::Peer)?;
        if n_bytes == 0 {
            // Who has ended, too, and has read the mark may be gone before this.
            let _ = to_peer.close().await;
            return Ok(sent_bytes);
        }
        meters.sent(n_bytes);
        sent_bytes += n_bytes as u64;
    }
}

async fn inward(
    from_peer: &mut (impl futures_util::AsyncBufRead + Unpin),
    local: &mut (impl AsyncWrite + Unpin),
    meters: &Meters,
) -> Result<u64, Failed> {
    let mut received_bytes = 0;
    loop {
        let mut length = [0; LENGTH_BYTES];
        let read = from_peer.read_exact(&mut length).await;
        read.map_err(|error| Failed::Peer(reset(error)))?;
        let mut n_left = match usize::try_from(u32::from_be_bytes(length)) {
            Ok(0) => break,
            Ok(n_bytes) if n_bytes <= MAX_CHUNK_BYTES => n_bytes,
            Ok(_) | Err(_) => {
                let error = io::Error::new(io::ErrorKind::InvalidData, "oversized chunk");
                return Err(Failed::Peer(error));
            }
        };
        while n_left > 0 {
            let bytes = from_peer.fill_buf().await.map_err(Failed::Peer)?;
            if bytes.is_empty() {
                return Err(Failed::Peer(io::ErrorKind::ConnectionReset.into()));
            }
            let n_bytes = bytes.len().min(n_left);
            let bytes = &bytes[..n_bytes];
            local.write_all(bytes).await.map_err(Failed::Local)?;
            local.flush().await.map_err(Failed::Local)?;
            from_peer.consume_unpin(n_bytes);
            meters.received(n_bytes);
            n_left -= n_bytes;
            received_bytes += n_bytes as u64;
        }
    }
    // A service that has closed meanwhile wants nothing more, ends included.
    let _ = local.shutdown().await;
    Ok(received_bytes)
}

fn reset(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        io::ErrorKind::ConnectionReset.into()
    } else {
        error
    }
}

/// A socket that is reset when it is dropped, unless it has ended.
pub(crate) struct ResetOnDrop {
    socket: TcpStream,
    has_ended: bool,
}

impl ResetOnDrop {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            has_ended: false,
        }
    }
}

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if !self.has_ended {
            // Without it the other side sees an end where there was none.
            let _ = self.socket.set_zero_linger();
        }
    }
}
