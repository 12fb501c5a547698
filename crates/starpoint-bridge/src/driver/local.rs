//! Connections of this side.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};

/// How long a [`TcpTarget`] may take to be connected with.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait when a connection cannot be accepted, for want of file
/// descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection that a line can be joined with.
pub trait LocalStream: AsyncRead + AsyncWrite + Send + Unpin + Sized + 'static {
    /// Drops the connection so that its other end does not take it for a clean
    /// end.
    fn reset(self);
}

/// Where the lines of the other side go.
pub trait Target: Send + Sync + 'static {
    /// A connection with the target.
    type Stream: LocalStream;

    /// Connects. It is the implementation that sets a time limit.
    ///
    /// # Errors
    ///
    /// Any error refuses the line; [`ConnectionRefused`] is told as
    /// [`Refused`], everything else as [`Unreachable`].
    ///
    /// [`ConnectionRefused`]: io::ErrorKind::ConnectionRefused
    /// [`Refused`]: crate::CloseReason::Refused
    /// [`Unreachable`]: crate::CloseReason::Unreachable
    ///
    /// # Cancel safety
    ///
    /// Has to be safe to drop at any time.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// A TCP service.
#[derive(Clone, Debug)]
pub struct TcpTarget {
    addresses: Vec<SocketAddr>,
}

impl TcpTarget {
    /// Makes a target of one service; its addresses are tried in order, all within
    /// [`CONNECT_DEADLINE`].
    pub fn new(addresses: Vec<SocketAddr>) -> Self {
        Self { addresses }
    }
}

impl Target for TcpTarget {
    type Stream = TcpStream;

    async fn connect(&self) -> io::Result<TcpStream> {
        let connected = timeout(CONNECT_DEADLINE, TcpStream::connect(&self.addresses[..]));
        let stream = connected.await.map_err(|_| io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Accepts connections for a [`client`](super::client), each when there is place
/// for it. Returns when nobody takes them any more.
///
/// # Cancel safety
///
/// Dropping this loses no connection that was accepted.
pub async fn accept_all(listener: TcpListener, streams: mpsc::Sender<TcpStream>) {
    while let Ok(place) = streams.reserve().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it everything works, later.
                drop(stream.set_nodelay(true));
                place.send(stream);
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

impl LocalStream for TcpStream {
    fn reset(self) {
        // On failure it is closed like any other; nothing better can be done.
        drop(self.set_zero_linger());
    }
}

/// For tests and for services in the same process. Knows no reset: both are an
/// end.
impl LocalStream for DuplexStream {
    fn reset(self) {}
}
