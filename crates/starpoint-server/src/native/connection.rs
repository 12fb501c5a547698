//! The task of one native client: its WebSocket, and Engine.IO's part of it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Sink, Stream};
use libp2p_identity::Keypair;
use starpoint_broker::AckId;
use starpoint_wire::{
    Call, CallError, CallKind, legacy,
    names::STAR_HELLO,
    native::{self, Hello},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as SocketError, Message, Utf8Bytes,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    fragments::Fragments,
    metered::Metered,
    outgoing::{Frame, Outgoing},
    packet::{self, Malformed, Packet},
};
use crate::{outlet::Outlet, session::Session};
use starpoint_broker::Ending;

/// Time between two heartbeats.
const PING_INTERVAL: Duration = Duration::from_secs(25);
/// Time that a heartbeat may be late (R-NATIVE-11).
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Time that a client has to ask for the namespace.
const CONNECT_DEADLINE: Duration = Duration::from_secs(20);
/// Longest message of a native client: a chunk of a legacy stream and its head
/// (R-LIMIT-12).
pub(crate) const MAX_MESSAGE_BYTES: usize = 128 * 1024;
/// What is read at once; a connection keeps it.
const READ_BUFFER_BYTES: usize = 1024;
/// What may wait in the WebSocket: a frame of ours, what is not flushed before it, and
/// as many pongs as fit; of the rest only the last is kept.
const MAX_WRITE_BUFFER_BYTES: usize = 32 * 1024;
/// What may wait in the WebSocket before it is written.
const WRITE_BUFFER_BYTES: usize = 1024;
/// Turns of the loop in one poll, after which others have theirs.
const POLL_BUDGET: usize = 32;

/// Version of Engine.IO that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The client pings, and is connected unasked.
    V3,
    /// The star pings, and the client asks to be connected.
    V4,
}

/// Signs the hello of one connection.
#[derive(Debug)]
pub(crate) struct Greeter {
    identity: Arc<Keypair>,
    nonce: native::ClientNonce,
}

impl Greeter {
    pub(crate) fn new(identity: Arc<Keypair>, nonce: native::ClientNonce) -> Self {
        Self { identity, nonce }
    }

    /// Returns the event; `None` when the key cannot sign.
    fn sign(&self, hello: &Hello) -> Option<native::EncodedEvent> {
        match hello.sign(&self.identity, &self.nonce) {
            Ok(signed) => Some(native::Event::Hello(Box::new(signed)).encode()),
            Err(error) => {
                tracing::error!(%error, "The star's key cannot sign");
                None
            }
        }
    }
}

/// A future that serves one client until it is gone.
pub(crate) struct Connection<S> {
    socket: WebSocketStream<Metered<S>>,
    session: Arc<Session>,
    outgoing: Arc<Outgoing>,
    engine: Engine,
    greeter: Greeter,
    partial: Option<Box<Partial>>,
    /// The rest of the message that is being written.
    unwritten: Option<Fragments>,
    /// A frame that found the socket full of pongs.
    refused: Option<Box<Message>>,
    /// Packets that the socket has taken and not yet written.
    fed: u64,
    needs_flush: bool,
    is_closing: bool,
    /// Until when the client has to ask for the namespace, if it has not.
    connect_by: Option<Instant>,
    ping: Pin<Box<Sleep>>,
    /// When the client was last heard.
    heard: Instant,
    ending: Ending,
}

/// An event or answer whose attachments are not all here.
struct Partial {
    text: String,
    attachments: Vec<Bytes>,
    n_missing: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Takes over a WebSocket whose handshake is done.
    pub(crate) async fn new(
        io: S,
        session: Arc<Session>,
        engine: Engine,
        greeter: Greeter,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let role = tokio_tungstenite::tungstenite::protocol::Role::Server;
        let io = Metered::new(io, Arc::clone(&session));
        let socket = WebSocketStream::from_raw_socket(io, role, Some(config)).await;
        let now = Instant::now();
        let outgoing = Arc::new(Outgoing::default());
        outgoing.say(&open_packet());
        let connect_by = match engine {
            Engine::V3 => None,
            Engine::V4 => Some(now + CONNECT_DEADLINE),
        };
        let first = connect_by.unwrap_or(now + PING_INTERVAL);
        let mut connection = Self {
            socket,
            session,
            outgoing,
            engine,
            greeter,
            partial: None,
            unwritten: None,
            refused: None,
            fed: 0,
            needs_flush: false,
            is_closing: false,
            connect_by,
            ping: Box::pin(tokio::time::sleep_until(first)),
            heard: now,
            ending: Ending::Closed,
        };
        if engine == Engine::V3 {
            connection.outgoing.say("40");
            connection.connect();
        }
        connection
    }

    /// Tells the star that the client is here; its hello follows.
    fn connect(&mut self) {
        let outlet = Outlet::Native(Arc::clone(&self.outgoing));
        self.session.connected(outlet);
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        loop {
            ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            let Some(message) = self.next_message() else {
                break;
            };
            self.needs_flush = true;
            match Pin::new(&mut self.socket).start_send(message) {
                Err(SocketError::WriteBufferFull(message)) => {
                    self.refused = Some(message);
                    ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
                }
                outcome => outcome?,
            }
        }
        if self.needs_flush {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.needs_flush = false;
            self.session.wrote(std::mem::take(&mut self.fed), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Returns the frame that goes out next.
    fn next_message(&mut self) -> Option<Message> {
        if let Some(refused) = self.refused.take() {
            return Some(*refused);
        }
        let mut message = match self.unwritten.take() {
            Some(message) => message,
            None => {
                let frame = self.outgoing.pop()?;
                self.message(frame)
            }
        };
        let frame = message.next_frame();
        self.unwritten = message.has_more().then_some(message);
        Some(Message::Frame(frame))
    }

    /// Puts a message together, and counts it.
    fn message(&mut self, frame: Frame) -> Fragments {
        match frame {
            Frame::Text(text) => {
                self.fed += u64::from(is_counted(&text));
                Fragments::text(text)
            }
            Frame::Hello(hello) => {
                self.fed += 1;
                let hello = self.greeter.sign(&hello);
                let args = hello.map_or_else(|| "[]".into(), |hello| hello.args);
                Fragments::text(packet::event(STAR_HELLO, &args, None, 0))
            }
            Frame::Event(event) => {
                self.fed += 1;
                Fragments::text(packet::event(event.name, &event.args, None, 0))
            }
            Frame::Attachment(bytes) => {
                self.fed += 1;
                Fragments::binary(self.attachment_frame(bytes))
            }
        }
    }

    fn attachment_frame(&self, bytes: Bytes) -> Bytes {
        match self.engine {
            Engine::V4 => bytes,
            Engine::V3 => {
                let mut frame = BytesMut::with_capacity(bytes.len() + 1);
                frame.put_u8(4);
                frame.put(bytes);
                frame.freeze()
            }
        }
    }

    /// Reads one message. `Break` when the client is gone or talks nonsense.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::ops::ControlFlow<()>> {
        use std::ops::ControlFlow::{Break, Continue};
        let polled = Pin::new(&mut self.socket).poll_next(cx);
        if polled.is_pending() {
            self.socket.get_mut().starved();
        }
        let message = match ready!(polled) {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                tracing::debug!(conn = self.session.conn.0, %error, "Connection lost");
                return Poll::Ready(Break(()));
            }
            None => return Poll::Ready(Break(())),
        };
        self.heard = Instant::now();
        let result = match message {
            Message::Text(text) => self.text(&text),
            Message::Binary(bytes) => self.attachment(bytes),
            Message::Ping(payload) => {
                self.session.tally().pinged();
                return self.control_frame(payload.len());
            }
            Message::Pong(payload) => return self.control_frame(payload.len()),
            Message::Frame(_) => Ok(Continue(())),
            Message::Close(_) => Ok(Break(())),
        };
        if self.partial.is_none() {
            self.socket.get_mut().taken();
        }
        Poll::Ready(result.unwrap_or_else(|Malformed| {
            tracing::debug!(conn = self.session.conn.0, "Malformed packet");
            Break(())
        }))
    }

    /// Notes a frame that may stand within a message.
    fn control_frame(&mut self, len: usize) -> Poll<std::ops::ControlFlow<()>> {
        self.socket.get_mut().taken_between(len);
        Poll::Ready(std::ops::ControlFlow::Continue(()))
    }

    fn text(&mut self, text: &Utf8Bytes) -> Result<std::ops::ControlFlow<()>, Malformed> {
        use std::ops::ControlFlow::{Break, Continue};
        if self.partial.is_some() {
            return Err(Malformed);
        }
        match Packet::parse(text)? {
            Packet::Ping if self.engine == Engine::V3 => self.outgoing.say("3"),
            Packet::Ping | Packet::Pong | Packet::Noop => {}
            Packet::Close => return Ok(Break(())),
            Packet::Connect => match self.engine {
                Engine::V4 if self.connect_by.take().is_some() => {
                    self.ping.as_mut().reset(Instant::now() + PING_INTERVAL);
                    let sid = session_id();
                    self.outgoing.say(&format!("40{{\"sid\":\"{sid}\"}}"));
                    self.connect();
                }
                Engine::V3 | Engine::V4 => {}
            },
            Packet::Event { n_attachments, .. } | Packet::Ack { n_attachments, .. }
                if n_attachments > 0 =>
            {
                self.partial = Some(Box::new(Partial {
                    text: text.as_str().to_owned(),
                    attachments: Vec::new(),
                    n_missing: n_attachments,
                }));
            }
            Packet::Event { json, ack, .. } => self.event(json, ack, &[]),
            Packet::Ack { id, args, .. } => self.answer(id, args),
        }
        Ok(Continue(()))
    }

    fn attachment(&mut self, bytes: Bytes) -> Result<std::ops::ControlFlow<()>, Malformed> {
        let bytes = match self.engine {
            Engine::V4 => bytes,
            Engine::V3 if bytes.first() == Some(&4) => bytes.slice(1..),
            Engine::V3 => return Err(Malformed),
        };
        let partial = self.partial.as_mut().ok_or(Malformed)?;
        partial.attachments.push(bytes);
        partial.n_missing -= 1;
        let n_bytes: usize = partial.attachments.iter().map(Bytes::len).sum();
        if n_bytes > MAX_MESSAGE_BYTES {
            return Err(Malformed);
        }
        if partial.n_missing == 0
            && let Some(partial) = self.partial.take()
        {
            match Packet::parse(&partial.text)? {
                Packet::Event { json, ack, .. } => self.event(json, ack, &partial.attachments),
                Packet::Ack { id, args, .. } => self.answer(id, args),
                Packet::Ping | Packet::Pong | Packet::Close | Packet::Connect | Packet::Noop => {}
            }
        }
        Ok(std::ops::ControlFlow::Continue(()))
    }

    fn event(&self, json: &str, ack: Option<i64>, attachments: &[Bytes]) {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok();
        let call = if is_json {
            Call::decode(json, attachments)
        } else {
            Err(CallError {
                kind: CallKind::Unknown,
            })
        };
        self.session.native_call(call, ack.map(AckId));
    }

    fn answer(&self, id: u64, args: &str) {
        if let Some(link) = self.outgoing.take_asked(id) {
            let answer = serde_json::from_str::<legacy::CalleeAnswer>(args);
            let answer = answer.unwrap_or_else(|_| legacy::CalleeAnswer::unreadable());
            self.session.answered(link, answer);
        }
    }

    /// Watches the heartbeat; `Break` when the client has been silent for too long,
    /// or has not asked for the namespace in time.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> std::ops::ControlFlow<()> {
        while self.ping.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.connect_by.is_some() {
                return std::ops::ControlFlow::Break(());
            }
            // Who is not read cannot be heard.
            if self.session.is_held() {
                self.heard = now;
            }
            if now.duration_since(self.heard) >= PING_INTERVAL + PING_TIMEOUT {
                self.ending = Ending::Silent;
                return std::ops::ControlFlow::Break(());
            }
            if self.engine == Engine::V4 {
                self.outgoing.say("2");
            }
            let next = (self.heard + PING_INTERVAL + PING_TIMEOUT).min(now + PING_INTERVAL);
            self.ping
                .as_mut()
                .reset(next.max(now + Duration::from_secs(1)));
        }
        std::ops::ControlFlow::Continue(())
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.is_closing, true) {
            let close = Message::Close(Some(CloseFrame {
                code: CloseCode::Away,
                reason: Utf8Bytes::from_static(""),
            }));
            // What cannot be said any more is not said.
            let _ = ready!(Pin::new(&mut self.socket).poll_ready(cx))
                .and_then(|()| Pin::new(&mut self.socket).start_send(close));
        }
        Pin::new(&mut self.socket).poll_close(cx).map(|_| ())
    }
}

/// Returns whether a packet is one of those that the broker counts.
fn is_counted(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first() == Some(&b'4') && matches!(bytes.get(1), Some(b'2' | b'3' | b'5' | b'6'))
}

/// Returns the name of a session, with 128 random bits: it says nothing of the others.
fn session_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn open_packet() -> String {
    let (key, version) = (native::OPEN_KEY, native::VERSION);
    let (interval, timeout) = (PING_INTERVAL.as_millis(), PING_TIMEOUT.as_millis());
    let sid = session_id();
    format!(
        "0{{\"sid\":\"{sid}\",\"upgrades\":[],\"pingInterval\":{interval},\
         \"pingTimeout\":{timeout},\"maxPayload\":{MAX_MESSAGE_BYTES},\"{key}\":{version}}}"
    )
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Connection<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.outgoing.register(cx);
        this.session.register_reader(cx);
        if this.poll_heartbeat(cx).is_break() {
            return Poll::Ready(());
        }
        for _ in 0..POLL_BUDGET {
            if this.session.is_broken() {
                return Poll::Ready(());
            }
            if this.session.is_closing() || this.is_closing {
                return this.poll_close(cx);
            }
            if let Poll::Ready(Err(error)) = this.poll_write(cx) {
                tracing::debug!(conn = this.session.conn.0, %error, "Connection lost");
                return Poll::Ready(());
            }
            if this.session.is_closing() {
                continue;
            }
            if this.session.is_held() {
                return Poll::Pending;
            }
            match this.poll_read(cx) {
                Poll::Ready(std::ops::ControlFlow::Continue(())) => {}
                Poll::Ready(std::ops::ControlFlow::Break(())) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.session.disconnected_as(self.ending);
    }
}

#[cfg(test)]
mod tests;
