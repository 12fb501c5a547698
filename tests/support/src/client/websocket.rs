//! Frames over WebSocket.

use std::{
    collections::VecDeque,
    future::poll_fn,
    net::Ipv4Addr,
    task::{Context as TaskContext, Poll},
};

use anyhow::{Context as _, bail};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, Message, protocol::WebSocketConfig},
};

use super::{Engine, Frame, Profile, Reading};

/// First byte of an attachment in version 3: the type "message".
const MESSAGE: u8 = 4;

#[derive(Debug)]
pub(super) struct WebSocket {
    stream: WebSocketStream<TcpStream>,
    engine: Engine,
    reading: Reading,
    received: VecDeque<Message>,
}

impl WebSocket {
    pub(super) async fn connect(
        from: Ipv4Addr,
        port: u16,
        engine: Engine,
        profile: Profile,
    ) -> anyhow::Result<Self> {
        let stream = crate::connect_from(from, port).await?;
        let number = engine.number();
        let offer = match profile {
            Profile::Legacy => String::new(),
            Profile::Native => format!("&star=1&nonce={}", super::native::NONCE.0),
        };
        let query = format!("EIO={number}&transport=websocket{offer}");
        let url = format!("ws://127.0.0.1:{port}/socket.io/?{query}");
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let (stream, _) = client_async_with_config(url, stream, Some(config)).await?;
        Ok(Self {
            stream,
            engine,
            reading: Reading::WhenAsked,
            received: VecDeque::new(),
        })
    }

    pub(super) fn set_reading(&mut self, reading: Reading) {
        self.reading = reading;
    }

    pub(super) async fn send(&mut self, frame: Frame) -> anyhow::Result<()> {
        match (frame, self.engine) {
            (Frame::Text(text), _) => self.send_message(Message::text(text)).await,
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
        self.send_message(Message::Binary(bytes)).await
    }

    async fn send_message(&mut self, message: Message) -> anyhow::Result<()> {
        poll_fn(|context| {
            let ready = self.stream.poll_ready_unpin(context);
            self.read_meanwhile(ready, context)
        })
        .await?;
        self.stream.start_send_unpin(message)?;
        poll_fn(|context| {
            let flushed = self.stream.poll_flush_unpin(context);
            self.read_meanwhile(flushed, context)
        })
        .await?;
        Ok(())
    }

    /// Takes what has arrived while a message cannot go out.
    fn read_meanwhile<T>(
        &mut self,
        sending: Poll<Result<T, Error>>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Result<T, Error>> {
        if sending.is_pending() && self.reading == Reading::WhileSending {
            while let Poll::Ready(message) = self.stream.poll_next_unpin(context) {
                let message = message.ok_or(Error::ConnectionClosed)??;
                self.received.push_back(message);
            }
        }
        sending
    }

    async fn next(&mut self) -> anyhow::Result<Message> {
        match self.received.pop_front() {
            Some(message) => Ok(message),
            None => Ok(self
                .stream
                .next()
                .await
                .context("the connection has ended")??),
        }
    }

    pub(super) async fn receive(&mut self) -> anyhow::Result<Frame> {
        loop {
            match self.next().await? {
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
