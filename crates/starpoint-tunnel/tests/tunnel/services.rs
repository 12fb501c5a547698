//! Services to be tunneled.

use std::{future::Future, net::SocketAddr};

use sha2::{Digest as _, Sha256};
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
        BufReader,
    },
    net::TcpStream,
    task::JoinHandle,
};

/// A service on a port of its own. Stops accepting when it is dropped.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Service {
    /// Serves everybody on 127.0.0.1.
    pub(crate) fn new<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::at("127.0.0.1:0", serve)
    }

    pub(crate) fn at<F>(address: &str, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = address.parse().expect("it is an address");
        // With room for all of them at once.
        let listener = starpoint_tunnel::client::bind(address).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // What takes long shall be the tunnel.
                socket.set_nodelay(true).expect("it is open");
                tokio::spawn(serve(socket));
            }
        });
        Self { address, accepting }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Sends back what comes, and ends when the other side does.
pub(crate) async fn echo(mut socket: TcpStream) {
    let (mut reader, mut writer) = socket.split();
    // A client that goes away in the middle is part of some tests.
    if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
        let _ = writer.shutdown().await;
    }
}

/// Speaks first, then answers lines in capitals.
pub(crate) async fn banner(mut socket: TcpStream) {
    socket.write_all(b"220 ready\n").await.expect("it is taken");
    let mut socket = BufReader::new(socket);
    let mut line = String::new();
    while socket.read_line(&mut line).await.is_ok_and(|n| n > 0) {
        let answer = line.to_uppercase();
        line.clear();
        socket
            .write_all(answer.as_bytes())
            .await
            .expect("it is taken");
    }
}

/// HTTP/1.1: `GET /<n>` is answered with `n` bytes and closed.
pub(crate) async fn http<S: AsyncRead + AsyncWrite + Unpin>(socket: S) {
    let mut socket = BufReader::new(socket);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if !socket.read_line(&mut request).await.is_ok_and(|n| n > 0) {
            return;
        }
    }
    let path = request.split(' ').nth(1).expect("a path");
    let n_bytes = path[1..].parse().expect("a number");
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {n_bytes}\r\n\r\n");
    socket
        .write_all(head.as_bytes())
        .await
        .expect("it is taken");
    socket.write_all(&body(n_bytes)).await.expect("it is taken");
    // TLS tells an end in good order from one that somebody made up.
    let _ = socket.shutdown().await;
}

/// Sends 20 MiB and closes.
pub(crate) async fn firehose(mut socket: TcpStream) {
    // The reader may go away before.
    let _ = socket.write_all(&body(20 * 1024 * 1024)).await;
}

/// Bytes that differ from those of any other length.
pub(crate) fn body(n_bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ n_bytes as u64;
    let mut bytes = Vec::with_capacity(n_bytes + 8);
    while bytes.len() < n_bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(n_bytes);
    bytes
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Asks for `n_bytes` and returns the body of the answer.
pub(crate) async fn get(address: SocketAddr, n_bytes: usize) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.expect("it is accepted");
    get_over(&mut socket, n_bytes).await
}

/// The same over a connection that is there.
pub(crate) async fn get_over(
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
    n_bytes: usize,
) -> Vec<u8> {
    let request = format!("GET /{n_bytes} HTTP/1.1\r\nHost: test\r\n\r\n");
    socket
        .write_all(request.as_bytes())
        .await
        .expect("it is taken");
    socket.flush().await.expect("it is taken");
    let answer = read_all(socket).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.expect("a head") + 4);
    assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"));
    body.to_vec()
}

pub(crate) async fn read_all(from: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)
        .await
        .expect("it ends in good order");
    bytes
}
