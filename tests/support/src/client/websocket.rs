//! Frames over WebSocket.

use std::net::Ipv4Addr;

use anyhow::{Context as _, bail};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use super::{Engine, Frame};

/// First byte of an attachment in version 3: the type "message".
const MESSAGE: u8 = 4;

#[derive(Debug)]
pub(super) struct WebSocket {
    stream: WebSocketStream<TcpStream>,
    engine: Engine,
}

impl WebSocket {
    pub(super) async fn connect(port: u16, engine: Engine) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let number = engine.number();
        let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO={number}&transport=websocket");
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let (stream, _) = client_async_with_config(url, stream, Some(config)).await?;
        Ok(Self { stream, engine })
    }

    pub(super) async fn send(&mut self, frame: Frame) -> anyhow::Result<()> {
        match (frame, self.engine) {
            (Frame::Text(text), _) => Ok(self.stream.send(Message::text(text)).await?),
            (Frame::Attachment(bytes), Engine::V4) => self.send_binary(bytes).await,
            (Frame::Attachment(bytes), Engine::V3) => {
                let mut typed = BytesMut::with_capacity(bytes.len() + 1);
                typed.put_u8(MESSAGE);
                typed.put(bytes);
                self.send_binary(typed.freeze()).await
            }
        }
    }

    pub(super) async fn send_binary(&mut self, bytes: Bytes) -> anyhow::Result<()> {
        Ok(self.stream.send(Message::Binary(bytes)).await?)
    }

    pub(super) async fn receive(&mut self) -> anyhow::Result<Frame> {
        loop {
            match self
                .stream
                .next()
                .await
                .context("the connection has ended")??
            {
                Message::Text(text) => return Ok(Frame::Text(text.as_str().to_owned())),
                Message::Binary(bytes) => return self.attachment(bytes),
                Message::Close(reason) => bail!("the star closes: {reason:?}"),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    fn attachment(&self, mut bytes: Bytes) -> anyhow::Result<Frame> {
        if self.engine == Engine::V3 {
            let first = bytes.split_to(bytes.len().min(1));
            if first.as_ref() != [MESSAGE] {
                bail!("a binary message of type {first:?}");
            }
        }
        Ok(Frame::Attachment(bytes))
    }

    /// Closes and waits for the other side to do so.
    pub(super) async fn close(mut self) {
        // The star may have closed first; either way the connection is over.
        let _ = self.stream.close(None).await;
        while let Some(Ok(_)) = self.stream.next().await {}
    }

    pub(super) fn abort(self) {
        self.stream
            .get_ref()
            .set_zero_linger()
            .expect("a TCP socket lingers");
    }
}
