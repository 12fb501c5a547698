//! A peer that speaks the wire, as a test tells it to.
//!
//! A [`Client`] reads only when it is asked for something, so a test makes a
//! reader that has stopped by not asking. What arrives in between waits in the
//! client, in order, until it is expected.

mod native;
mod packet;
mod peer;
mod polling;
mod websocket;

use std::{collections::VecDeque, fmt, future::Future, net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::within;
use polling::Polling;
use websocket::WebSocket;

pub use native::{Hello, Incoming, NativeJoin, Page, code_of, pipe_token};
pub use packet::{Event, Packet};
pub use peer::{Identity, KeyKind, StreamItem, address_of, connect_peers};

/// Time between two pings of a client of version 3 that is receiving.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// Which version of Engine.IO a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Version 3, of socket.io-client 2: the client pings.
    V3,
    /// Version 4, of socket.io-client 3 and 4: the server pings.
    V4,
}

impl Engine {
    /// Returns the number in the query.
    pub fn number(self) -> u8 {
        match self {
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }
}

/// What a client offers to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Nothing but what the original speaks.
    Legacy,
    /// The native profile too, with `star=1` and a nonce in the query.
    Native,
}

/// When a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Only when the test asks for something: the default.
    WhenAsked,
    /// Also while it cannot send, as an honest client does that is busy in both
    /// directions. Over WebSocket only.
    WhileSending,
}

/// One Engine.IO packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Type digit and text.
    Text(String),
    /// An attachment, without the type byte of version 3.
    Attachment(Bytes),
}

/// What carries the frames.
#[derive(Debug)]
enum Wire {
    WebSocket(Box<WebSocket>),
    Polling(Box<Polling>),
}

/// One connection to a star.
///
/// Unless said otherwise, every method waits at most [`DEADLINE`](crate::DEADLINE)
/// and panics when the star has not done what was asked of it by then, or has
/// ended the connection.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    engine: Engine,
    port: u16,
    inbox: VecDeque<Packet>,
    partial: Option<Event>,
    next_ack_id: u64,
    next_ping: Instant,
}

impl Client {
    /// Connects over WebSocket and through the Socket.IO handshake.
    pub async fn connect(port: u16, engine: Engine) -> Self {
        within("handshake", Self::try_connect(port, engine))
            .await
            .expect("the star accepts")
    }

    /// Connects over long polling and through the Socket.IO handshake.
    pub async fn connect_polling(port: u16, engine: Engine) -> Self {
        let wire = within("handshake", Polling::connect(port, engine)).await;
        let wire = Wire::Polling(Box::new(wire.expect("the star accepts")));
        let mut client = Self::new(wire, port, engine);
        within("connect packet", client.handshake())
            .await
            .expect("the star accepts");
        client
    }

    /// Like [`connect`](Self::connect), for a star that may not be there.
    ///
    /// Has no deadline.
    ///
    /// # Errors
    ///
    /// What broke the handshake.
    pub async fn try_connect(port: u16, engine: Engine) -> anyhow::Result<Self> {
        Self::try_connect_as(port, engine, Profile::Legacy).await
    }

    /// Like [`try_connect`](Self::try_connect), with this offer.
    ///
    /// # Errors
    ///
    /// What broke the handshake.
    pub async fn try_connect_as(
        port: u16,
        engine: Engine,
        profile: Profile,
    ) -> anyhow::Result<Self> {
        Self::try_connect_from(Ipv4Addr::LOCALHOST, port, engine, profile).await
    }

    /// Like [`try_connect_as`](Self::try_connect_as), from this address of
    /// 127.0.0.0/8.
    ///
    /// # Errors
    ///
    /// What broke the handshake.
    pub async fn try_connect_from(
        from: Ipv4Addr,
        port: u16,
        engine: Engine,
        profile: Profile,
    ) -> anyhow::Result<Self> {
        let wire = WebSocket::connect(from, port, engine, profile).await?;
        let mut client = Self::new(Wire::WebSocket(Box::new(wire)), port, engine);
        client.handshake().await?;
        Ok(client)
    }

    /// Connects over WebSocket and stops there: nothing was read or sent yet.
    pub async fn connect_without_handshake(port: u16, engine: Engine) -> Self {
        Self::connect_without_handshake_as(port, engine, Profile::Legacy).await
    }

    /// Like [`connect_without_handshake`](Self::connect_without_handshake), with
    /// this offer.
    pub async fn connect_without_handshake_as(port: u16, engine: Engine, profile: Profile) -> Self {
        let connecting = WebSocket::connect(Ipv4Addr::LOCALHOST, port, engine, profile);
        let wire = within("upgrade", connecting).await;
        let wire = Wire::WebSocket(Box::new(wire.expect("the star accepts")));
        Self::new(wire, port, engine)
    }

    fn new(wire: Wire, port: u16, engine: Engine) -> Self {
        Self {
            wire,
            engine,
            port,
            inbox: VecDeque::new(),
            partial: None,
            next_ack_id: 0,
            next_ping: Instant::now() + PING_INTERVAL,
        }
    }

    async fn handshake(&mut self) -> anyhow::Result<()> {
        let packet = self.receive().await?;
        ensure!(
            matches!(packet, Packet::Open(_)),
            "expected the open packet, got {packet:?}"
        );
        if self.engine == Engine::V4 {
            self.wire.send(Frame::Text("40".into())).await?;
        }
        let packet = self.receive().await?;
        ensure!(
            matches!(packet, Packet::Connect(_)),
            "expected the connect packet, got {packet:?}"
        );
        Ok(())
    }

    /// Decides when it reads.
    ///
    /// # Panics
    ///
    /// Over long polling.
    pub fn set_reading(&mut self, reading: Reading) {
        match &mut self.wire {
            Wire::WebSocket(socket) => socket.set_reading(reading),
            Wire::Polling(_) => panic!("long polling reads when it is asked"),
        }
    }

    /// Returns the port of the star.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends one Engine.IO text packet as it is: a text message over WebSocket.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.try_send_text(text).await.expect("the star reads");
    }

    /// Like [`send_text`](Self::send_text), for a star that may end the connection.
    ///
    /// # Errors
    ///
    /// The connection is broken, or the star does not read.
    pub async fn try_send_text(&mut self, text: impl Into<String>) -> anyhow::Result<()> {
        within("send", self.wire.send(Frame::Text(text.into()))).await
    }

    /// Sends bytes as one WebSocket message, without the type byte of version 3.
    ///
    /// # Errors
    ///
    /// The connection is broken, or the star does not read.
    pub async fn try_send_raw_binary(&mut self, bytes: Bytes) -> anyhow::Result<()> {
        match &mut self.wire {
            Wire::WebSocket(socket) => within("send", socket.send_binary(bytes)).await,
            Wire::Polling(_) => bail!("long polling has no binary messages"),
        }
    }

    /// Sends an event without an acknowledgement.
    pub async fn emit(&mut self, name: &str, args: impl Into<Args>) {
        self.send_text(packet::encode_event(name, &args.into().0, None))
            .await;
    }

    /// Sends an event whose only argument is binary.
    pub async fn emit_bytes(&mut self, name: &str, bytes: impl Into<Bytes>) {
        self.try_emit_bytes(name, bytes)
            .await
            .expect("the star reads");
    }

    /// Like [`emit_bytes`](Self::emit_bytes), for a star that may not read.
    ///
    /// Has no deadline.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub async fn try_emit_bytes(
        &mut self,
        name: &str,
        bytes: impl Into<Bytes>,
    ) -> anyhow::Result<()> {
        let placeholder = json!([name, {"_placeholder": true, "num": 0}]);
        self.wire
            .send(Frame::Text(format!("451-{placeholder}")))
            .await?;
        self.wire.send(Frame::Attachment(bytes.into())).await
    }

    /// Sends an event that asks for an acknowledgement; returns its id.
    pub async fn start_call(&mut self, name: &str, args: impl Into<Args>) -> u64 {
        let ack_id = self.next_ack_id;
        self.next_ack_id += 1;
        self.send_text(packet::encode_event(name, &args.into().0, Some(ack_id)))
            .await;
        ack_id
    }

    /// Sends an event and waits for its acknowledgement.
    pub async fn call(&mut self, name: &str, args: impl Into<Args>) -> Value {
        let ack_id = self.start_call(name, args).await;
        self.expect_ack(ack_id).await
    }

    /// Waits for the acknowledgement of an event; returns its arguments, an array.
    pub async fn expect_ack(&mut self, ack_id: u64) -> Value {
        let wanted = |packet: &Packet| matches!(packet, Packet::Ack { id, .. } if *id == ack_id);
        let what = format!("acknowledgement {ack_id}");
        let packet = self.expect(&what, wanted).await;
        let Packet::Ack { args, .. } = packet else {
            unreachable!("{packet:?} is no acknowledgement");
        };
        args
    }

    /// Waits for an event of this name.
    pub async fn expect_event(&mut self, name: &str) -> Event {
        let wanted = |packet: &Packet| matches!(packet, Packet::Event(event) if event.name == name);
        let packet = self.expect(name, wanted).await;
        let Packet::Event(event) = packet else {
            unreachable!("{packet:?} is no event");
        };
        event
    }

    /// Acknowledges an event.
    pub async fn acknowledge(&mut self, event: &Event, args: impl Into<Args>) {
        let ack_id = event.ack_id.expect("the event asks for an acknowledgement");
        self.send_text(format!("43{ack_id}{}", args.into().0)).await;
    }

    /// Waits for a packet; others stay for later, in order.
    ///
    /// # Panics
    ///
    /// As all methods do; the message has `what` and the packets that came instead.
    pub async fn expect(&mut self, what: &str, wanted: impl Fn(&Packet) -> bool) -> Packet {
        if let Some(index) = self.inbox.iter().position(&wanted) {
            return self.inbox.remove(index).expect("the index was found");
        }
        loop {
            let packet = within(what, self.receive()).await;
            match packet {
                Ok(packet) if wanted(&packet) => return packet,
                Ok(packet) => self.inbox.push_back(packet),
                Err(error) => panic!("{what}: {error:#}; before that: {:#?}", self.inbox),
            }
        }
    }

    /// Takes a packet if it has arrived; does not wait.
    ///
    /// # Errors
    ///
    /// The connection has ended without it.
    pub fn take_arrived(
        &mut self,
        wanted: impl Fn(&Packet) -> bool,
    ) -> anyhow::Result<Option<Packet>> {
        while !self.inbox.iter().any(&wanted) {
            match self.receive().now_or_never() {
                Some(packet) => self.inbox.push_back(packet?),
                None => return Ok(None),
            }
        }
        let index = self.inbox.iter().position(wanted);
        Ok(index.and_then(|index| self.inbox.remove(index)))
    }

    /// Takes everything that has arrived before the answer to a call made now.
    ///
    /// The star answers the calls of one connection in order, so what it had to
    /// say about earlier ones is in the result, and what is not there was not
    /// said.
    pub async fn take_all(&mut self) -> Vec<Packet> {
        // A join without arguments is refused and changes nothing.
        self.call("ss-join", Args::none()).await;
        self.inbox.drain(..).collect()
    }

    /// Waits for the star to end the connection; returns what came before.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn expect_closed(mut self) -> Vec<Packet> {
        loop {
            match within("end of the connection", self.receive()).await {
                Ok(packet) => self.inbox.push_back(packet),
                Err(_) => return self.inbox.into(),
            }
        }
    }

    /// Does some other work, and meanwhile receives and keeps what comes, with the
    /// heartbeats that keep the connection alive.
    ///
    /// # Panics
    ///
    /// When the star ends the connection.
    pub async fn idle_during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let idle = async {
            loop {
                match self.receive().await {
                    Ok(packet) => self.inbox.push_back(packet),
                    Err(error) => return error,
                }
            }
        };
        tokio::select! {
            done = work => done,
            error = idle => panic!("the star ends an idle connection: {error:#}"),
        }
    }

    /// Disconnects in good order: the Socket.IO packet, then the connection.
    pub async fn disconnect(mut self) {
        self.send_text("41").await;
        match self.wire {
            Wire::WebSocket(socket) => within("close", socket.close()).await,
            Wire::Polling(_) => {}
        }
    }

    /// Cuts the connection with a reset, as a machine does that loses power and
    /// comes back.
    pub fn abort(self) {
        match self.wire {
            Wire::WebSocket(socket) => socket.abort(),
            Wire::Polling(polling) => polling.abort(),
        }
    }

    /// Receives the next packet that is no heartbeat.
    ///
    /// Has no deadline; cancel safe.
    ///
    /// # Errors
    ///
    /// The connection ended, or what came is no packet.
    pub async fn receive(&mut self) -> anyhow::Result<Packet> {
        loop {
            let packet = match self.receive_frame().await? {
                Frame::Text(text) if text == "2" => {
                    self.wire.send(Frame::Text("3".into())).await?;
                    continue;
                }
                Frame::Text(text) => packet::decode(&text).with_context(|| shorten(&text))?,
                Frame::Attachment(bytes) => self.attach(bytes)?,
            };
            if matches!(packet, Packet::Pong | Packet::Noop) {
                continue;
            }
            if let Packet::Event(event) = &packet
                && event.n_missing > 0
            {
                self.partial = Some(event.clone());
                continue;
            }
            return Ok(packet);
        }
    }

    /// Receives a frame; pings when it is time to, as version 3 asks of a client.
    async fn receive_frame(&mut self) -> anyhow::Result<Frame> {
        loop {
            match timeout_at(self.next_ping, self.wire.receive()).await {
                Ok(frame) => return frame,
                Err(_) => {
                    self.next_ping = Instant::now() + PING_INTERVAL;
                    if self.engine == Engine::V3 {
                        self.wire.send(Frame::Text("2".into())).await?;
                    }
                }
            }
        }
    }

    fn attach(&mut self, bytes: Bytes) -> anyhow::Result<Packet> {
        let mut event = self
            .partial
            .take()
            .context("an attachment that nobody announced")?;
        event.attachments.push(bytes);
        event.n_missing -= 1;
        Ok(Packet::Event(event))
    }
}

impl Wire {
    async fn send(&mut self, frame: Frame) -> anyhow::Result<()> {
        match self {
            Self::WebSocket(socket) => socket.send(frame).await,
            Self::Polling(polling) => polling.send(frame).await,
        }
    }

    async fn receive(&mut self) -> anyhow::Result<Frame> {
        match self {
            Self::WebSocket(socket) => socket.receive().await,
            Self::Polling(polling) => polling.receive().await,
        }
    }
}

/// Arguments of an event or an acknowledgement: a JSON array.
#[derive(Clone, Debug)]
pub struct Args(Value);

impl Args {
    /// No arguments.
    pub fn none() -> Self {
        Self(json!([]))
    }
}

impl From<Value> for Args {
    fn from(value: Value) -> Self {
        assert!(value.is_array(), "arguments are an array, not {value}");
        Self(value)
    }
}

impl<const N: usize> From<[&str; N]> for Args {
    fn from(texts: [&str; N]) -> Self {
        Self(json!(texts.as_slice()))
    }
}

/// Shortens a text from the wire for a message.
fn shorten(text: &str) -> impl fmt::Display + Send + Sync + 'static {
    let start: String = text.chars().take(200).collect();
    format!("packet {start:?} of {} bytes", text.len())
}
