//! Services, and the bridge to them.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use starpoint_bridge::{
    MuxConfig,
    driver::{BridgeError, Target, TcpTarget, accept_all, client, host},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::channel::{End, Weather, channel};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A bridge from a port of this machine to a service.
pub(crate) struct Bridge {
    pub(crate) address: SocketAddr,
    pub(crate) stop_client: CancellationToken,
    pub(crate) client: JoinHandle<Result<(), BridgeError>>,
    pub(crate) host: JoinHandle<Result<(), BridgeError>>,
    accept: AbortHandle,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.accept.abort();
        self.client.abort();
        self.host.abort();
    }
}

impl Bridge {
    pub(crate) async fn to(target: Vec<SocketAddr>, weather: Weather) -> Self {
        let (streams, incoming) = mpsc::channel(16);
        let (near, far) = channel(weather);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = tokio::spawn(accept_all(listener, streams));
        let stop_client = CancellationToken::new();
        Self {
            address,
            stop_client: stop_client.clone(),
            client: tokio::spawn(client(near, MuxConfig::default(), incoming, stop_client)),
            host: tokio::spawn(host(
                far,
                MuxConfig::default(),
                TcpTarget::new(target),
                CancellationToken::new(),
            )),
            accept: accept.abort_handle(),
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Serves each connection; returns the address.
pub(crate) async fn serve<F, R>(handle: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = io::Result<()>> + Send + 'static,
{
    serve_at("127.0.0.1:0", handle).await.unwrap()
}

pub(crate) async fn serve_at<F, R>(address: &str, handle: F) -> io::Result<SocketAddr>
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(handle(stream));
        }
    });
    Ok(address)
}

/// Says everything again, and its sha256 at the end.
pub(crate) async fn echo_and_digest(mut stream: TcpStream) -> io::Result<()> {
    let mut digest = Sha256::new();
    let mut space = vec![0; 32 * 1024];
    loop {
        let n = stream.read(&mut space).await?;
        if n == 0 {
            break;
        }
        digest.update(&space[..n]);
        stream.write_all(&space[..n]).await?;
    }
    stream.write_all(&digest.finalize()).await
}

/// Says bytes, then ends, and compares what comes back.
pub(crate) async fn check_echo(stream: TcpStream, seed: u64, len: usize) {
    let sent = noise(seed, len);
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let read = async {
        let mut back = Vec::new();
        reader.read_to_end(&mut back).await.unwrap();
        back
    };
    let ((), back) = timeout(PATIENCE, async { tokio::join!(write, read) })
        .await
        .expect("in time");
    assert_eq!(back.len(), len + 32);
    assert!(back[..len] == sent[..], "seed {seed}, {len} bytes");
    assert_eq!(back[len..], Sha256::digest(&sent)[..]);
}

pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A service in memory: hands out the far ends of its connections.
#[derive(Clone)]
pub(crate) struct InMemory {
    connections: mpsc::Sender<DuplexStream>,
    pipe_bytes: usize,
}

impl InMemory {
    pub(crate) fn new(pipe_bytes: usize) -> (Self, mpsc::Receiver<DuplexStream>) {
        let (connections, accepted) = mpsc::channel(64);
        let target = Self {
            connections,
            pipe_bytes,
        };
        (target, accepted)
    }
}

impl Target for InMemory {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        let (near, far) = duplex(self.pipe_bytes);
        let sent = self.connections.send(far).await;
        sent.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(near)
    }
}

/// A bridge whose two sides are in memory: hand connections in at the one.
pub(crate) fn in_memory(
    (near, far): (End, End),
    target: impl Target,
) -> mpsc::Sender<DuplexStream> {
    let (streams, incoming) = mpsc::channel(64);
    let config = MuxConfig::default();
    tokio::spawn(client(near, config, incoming, CancellationToken::new()));
    tokio::spawn(host(far, config, target, CancellationToken::new()));
    streams
}

/// Something that a test counts.
pub(crate) type Shared<T> = Arc<Mutex<T>>;
