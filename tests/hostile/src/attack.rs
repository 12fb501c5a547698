//! A bare connection for clients that never were WebSocket libraries: any bytes,
//! unread answers, frames that do not end.

use std::net::{Ipv4Addr, SocketAddr};

use starpoint_test_support::{DEADLINE, Star, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Duration, timeout},
};

/// Time in which a star that reads at all takes something.
const BLOCKED_AFTER: Duration = Duration::from_secs(3);

/// Where an attacker's connections come from: another address than that of the
/// honest peers, which use 127.0.0.1.
pub const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// What to ask for in a handshake.
pub const LEGACY_3: &str = "/socket.io/?EIO=3&transport=websocket";
/// See [`LEGACY_3`].
pub const LEGACY_4: &str = "/socket.io/?EIO=4&transport=websocket";
/// See [`LEGACY_3`].
pub const NATIVE_3: &str = "/socket.io/?EIO=3&transport=websocket&star=1";
/// See [`LEGACY_3`].
pub const NATIVE_4: &str = "/socket.io/?EIO=4&transport=websocket&star=1";

/// One TCP connection, upgraded to WebSocket or not.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Connects, from [`ATTACKER`].
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub async fn connect(star: &Star) -> Self {
        Self::connect_socket(star, TcpSocket::new_v4().expect("a socket")).await
    }

    /// Like [`connect`](Self::connect); the system keeps little of what is not read.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub async fn connect_with_small_window(star: &Star) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_recv_buffer_size(4096)
            .expect("a size that is allowed");
        Self::connect_socket(star, socket).await
    }

    async fn connect_socket(star: &Star, socket: TcpSocket) -> Self {
        let from = SocketAddr::from((ATTACKER, 0));
        socket.bind(from).expect("all of 127.0.0.0/8 is ours");
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, star.port()));
        let stream = socket.connect(to).await.expect("the star accepts");
        Self { stream }
    }

    /// Connects and becomes a WebSocket; what the star says behind the handshake is
    /// not read.
    ///
    /// # Panics
    ///
    /// When the star does not switch.
    pub async fn upgrade(star: &Star, target: &str) -> Self {
        let mut raw = Self::connect(star).await;
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            star.port()
        );
        raw.stream
            .write_all(request.as_bytes())
            .await
            .expect("the star reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(
                within("the handshake", raw.stream.read_u8())
                    .await
                    .expect("an answer"),
            );
        }
        let head = String::from_utf8_lossy(&head);
        assert!(head.starts_with("HTTP/1.1 101"), "{target}: {head}");
        raw
    }

    /// Writes all of it; `false` when the star has closed.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        timeout(DEADLINE, self.stream.write_all(bytes))
            .await
            .is_ok_and(|written| written.is_ok())
    }

    /// Writes the same bytes again and again, until `most` have been taken, or none
    /// for some seconds; returns how many were.
    pub async fn flood(&mut self, bytes: &[u8], most: usize) -> usize {
        let mut n_sent = 0;
        while n_sent < most {
            let rest = &bytes[n_sent % bytes.len()..];
            match timeout(BLOCKED_AFTER, self.stream.write(rest)).await {
                Ok(Ok(n)) => n_sent += n,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        n_sent
    }

    /// Reads until these bytes have come.
    ///
    /// # Panics
    ///
    /// When they do not come.
    pub async fn read_until(&mut self, bytes: &[u8]) {
        let mut read = Vec::new();
        while !read.ends_with(bytes) {
            let byte = within("what the star says", self.stream.read_u8()).await;
            read.push(byte.expect("the star does not close"));
        }
    }

    /// Reads until the star closes; returns the last bytes that it sent.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn read_to_end(mut self) -> Vec<u8> {
        let mut last = Vec::new();
        let mut buf = [0; 4096];
        loop {
            let read = within("the star closes", self.stream.read(&mut buf)).await;
            match read {
                Ok(0) | Err(_) => return last,
                Ok(n) => {
                    last.extend_from_slice(&buf[..n]);
                    last.drain(..last.len().saturating_sub(256));
                }
            }
        }
    }
}

impl From<TcpStream> for Raw {
    fn from(stream: TcpStream) -> Self {
        Self { stream }
    }
}

/// A frame as a server sends it, whole or not the last of its message.
pub fn server_frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = server_head(first_byte, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The head of a frame of any length, as a server sends it.
pub fn server_head(first_byte: u8, len: u64) -> Vec<u8> {
    let mut head = head(first_byte, len);
    head.truncate(head.len() - 4);
    head[1] &= 0x7f;
    head
}

/// A masked frame, whole or not the last of its message.
pub fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first_byte, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The head of a masked frame of any length; the mask is zero.
pub fn head(first_byte: u8, len: u64) -> Vec<u8> {
    let mut head = vec![first_byte];
    match len {
        0..126 => head.push(0x80 | len as u8),
        126..65_536 => {
            head.push(0x80 | 126);
            head.extend((len as u16).to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend(len.to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}
