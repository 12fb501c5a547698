//! The service: it is asked for a number of bytes, sends them, and closes.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// Asks for bytes until the connection is closed.
pub(crate) const ENDLESS: u32 = u32::MAX;

const BIND_DEADLINE: Duration = Duration::from_secs(5);
const BIND_PAUSE: Duration = Duration::from_millis(20);

const CHUNK_BYTES: usize = 64 * 1024;

/// A service of this process, until it is dropped.
pub(crate) struct Service {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Service {
    /// Starts to serve on a port, or on a free one.
    ///
    /// # Errors
    ///
    /// There is no port.
    pub(crate) async fn start(port: u16) -> anyhow::Result<Self> {
        let listener = bind(port).await.context("no port for the service")?;
        Ok(Self {
            address: listener.local_addr()?,
            _task: AbortOnDropHandle::new(tokio::spawn(serve(listener))),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Binds a port. The service of the round before may be about to end.
async fn bind(port: u16) -> io::Result<TcpListener> {
    let until = Instant::now() + BIND_DEADLINE;
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                tokio::time::sleep(BIND_PAUSE).await;
            }
            bound => return bound,
        }
    }
}

async fn serve(listener: TcpListener) {
    let mut sockets = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((tcp, _)) = accepted {
                    sockets.spawn(answer(tcp));
                }
            }
            // One that broke is told to who reads it.
            Some(_) = sockets.join_next() => {}
        }
    }
}

async fn answer(mut tcp: TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let n_bytes = tcp.read_u32().await?;
    let chunk = vec![0x5a; CHUNK_BYTES];
    let mut rest = n_bytes as usize;
    while rest > 0 {
        let n = rest.min(CHUNK_BYTES);
        tcp.write_all(&chunk[..n]).await?;
        if n_bytes != ENDLESS {
            rest -= n;
        }
    }
    tcp.shutdown().await
}
