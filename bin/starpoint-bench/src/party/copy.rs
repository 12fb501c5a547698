//! A party at a relay that only copies: bare TCP, or bare WebSocket.
//!
//! It keeps one connection open, as a peer of a star does. Who dials invents a
//! token and tells it to the callee within this process; both connect with it, and
//! the relay joins the two.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use anyhow::Context as _;
use bytes::{Buf as _, Bytes};
use futures_util::{
    Sink as _, SinkExt as _, Stream as _,
    io::{AsyncRead, AsyncWrite},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::mpsc, task::JoinSet};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use tokio_util::{compat::TokioAsyncReadCompatExt as _, task::AbortOnDropHandle};

use super::{Address, ByteStream, greet};

/// Tells a callee a token.
pub(super) type Bell = mpsc::Sender<u64>;

/// Tokens that a callee has not connected with.
const MAX_RINGS: usize = 16;

/// A relay that copies, and what it copies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Carrier {
    Tcp(SocketAddr),
    Ws(SocketAddr),
}

pub(super) struct CopyPeer {
    carrier: Carrier,
    bell: Bell,
    _home: ByteStream,
    _task: AbortOnDropHandle<()>,
}

impl CopyPeer {
    pub(super) async fn join(
        carrier: Carrier,
        streams: mpsc::Sender<ByteStream>,
    ) -> anyhow::Result<Self> {
        let home = connect(carrier, rand::random()).await?;
        let (bell, rings) = mpsc::channel(MAX_RINGS);
        let task = tokio::spawn(answer(carrier, rings, streams));
        Ok(Self {
            carrier,
            bell,
            _home: home,
            _task: AbortOnDropHandle::new(task),
        })
    }

    pub(super) fn address(&self) -> Address {
        Address::Copy(self.bell.clone())
    }

    pub(super) async fn dial(&self, bell: &Bell) -> anyhow::Result<ByteStream> {
        let token = rand::random();
        bell.send(token).await.context("the callee has left")?;
        connect(self.carrier, token).await
    }
}

async fn answer(
    carrier: Carrier,
    mut rings: mpsc::Receiver<u64>,
    streams: mpsc::Sender<ByteStream>,
) {
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            token = rings.recv() => match token {
                Some(token) => {
                    let streams = streams.clone();
                    calls.spawn(async move { greet(connect(carrier, token).await?, streams).await });
                }
                None => return,
            },
            Some(_) = calls.join_next() => {}
        }
    }
}

async fn connect(carrier: Carrier, token: u64) -> anyhow::Result<ByteStream> {
    Ok(match carrier {
        Carrier::Tcp(address) => {
            let mut tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            tcp.write_u64(token).await?;
            Box::new(tcp.compat())
        }
        Carrier::Ws(address) => {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let url = format!("ws://{address}/");
            let (mut socket, _) = tokio_tungstenite::client_async(url, tcp).await?;
            let token = Bytes::copy_from_slice(&token.to_be_bytes());
            socket.send(Message::Binary(token)).await?;
            Box::new(WsStream::new(socket))
        }
    })
}

/// The bytes in the binary messages of a WebSocket; each write is a message.
struct WsStream {
    socket: WebSocketStream<TcpStream>,
    received: Bytes,
}

impl WsStream {
    fn new(socket: WebSocketStream<TcpStream>) -> Self {
        Self {
            socket,
            received: Bytes::new(),
        }
    }
}

impl AsyncRead for WsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        while self.received.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.received = bytes,
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(0)),
                Some(Ok(
                    Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_),
                )) => {}
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        let n_bytes = buf.len().min(self.received.len());
        self.received.copy_to_slice(&mut buf[..n_bytes]);
        Poll::Ready(Ok(n_bytes))
    }
}

impl AsyncWrite for WsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut socket = Pin::new(&mut self.socket);
        ready!(socket.as_mut().poll_ready(cx)).map_err(io::Error::other)?;
        let message = Message::Binary(Bytes::copy_from_slice(buf));
        socket.start_send(message).map_err(io::Error::other)?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket)
            .poll_flush(cx)
            .map_err(io::Error::other)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket)
            .poll_close(cx)
            .map_err(io::Error::other)
    }
}
