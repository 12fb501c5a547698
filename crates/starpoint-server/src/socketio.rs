//! The part of Socket.IO that the star uses, bent to its needs.
//!
//! - Handlers are registered in a connect *middleware*: in the connect handler a
//!   client's first event may come before them.
//! - The one handler is a type of our own: it is called in the read loop and in
//!   order, where closures are spawned and overtake each other.
//! - Names of events are looked at in the packet itself; one handler takes all.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use socketioxide::{
    AckError, ParserConfig, SendError, SocketIo,
    adapter::LocalAdapter,
    extract::SocketRef,
    handler::{ConnectHandler, MessageHandler, Value},
    service::SocketIoService,
    socket::Socket,
};
use starpoint_broker::{AckId, quota};
use starpoint_wire::{Call, CallError, CallKind, legacy};

use crate::session::Session;

/// Socket.IO, which finds nothing at any other path than its own.
pub(crate) type Service = SocketIoService<axum::Router>;

/// Path that Socket.IO clients ask for.
pub(crate) const PATH: &str = "/socket.io";

/// Packets that one event may consist of, apart from the event itself. The star
/// understands events with one attachment; more are read and ignored.
const MAX_ATTACHMENTS: usize = 8;
/// Groups of packets that a transport's queue holds: what the broker's window lets
/// through, and as much again for what Socket.IO says by itself.
const QUEUE_GROUPS: usize = quota::WINDOW_PACKETS * 2;
/// Time that a client has to connect to the namespace.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Time between a packet's head and its attachments. The star pauses clients
/// between the two, so this is no bound on their behavior.
const ATTACHMENT_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// What a WebSocket reads at once.
const READ_BUFFER_BYTES: usize = 4096;
/// Room for the head of a message beside its payload.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;

/// What an Engine.IO packet is to Socket.IO, as far as limits are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A packet that has no attachments, or none of Socket.IO's.
    Whole,
    /// An event or answer with this many attachments, which follow it. More than nine
    /// are refused by the library.
    Head(u8),
    /// One of these.
    Attachment,
    /// Asks to be connected to another namespace than the one there is. The library
    /// would send its name back, whatever its length.
    OtherNamespace,
}

impl Kind {
    /// Tells a text packet by its first four bytes.
    pub(crate) fn of_text(packet: &[u8]) -> Self {
        match packet {
            [b'4', b'5' | b'6', digit @ b'1'..=b'9', b'-', ..] => Self::Head(digit - b'0'),
            [b'4', b'5' | b'6', b'0'..=b'9', b'0'..=b'9', ..] => Self::Head(9),
            [b'4', b'0', b'/', ..] => Self::OtherNamespace,
            _ => Self::Whole,
        }
    }
}

/// Largest long-polling payload for a largest message: base64 and some.
pub(crate) fn max_payload_bytes(max_message_bytes: usize) -> u64 {
    let bytes = max_message_bytes + quota::WINDOW_BYTES + HEAD_BYTES;
    bytes as u64 * 4 / 3
}

/// Creates the Socket.IO service with its one namespace.
pub(crate) fn service(max_message_bytes: usize) -> Service {
    let parser = ParserConfig::common()
        .max_incoming_binaries(MAX_ATTACHMENTS)
        .max_incoming_binary_buf_size(max_message_bytes + HEAD_BYTES)
        .packet_completion_timeout(ATTACHMENT_TIMEOUT);
    let (service, io) = SocketIo::builder()
        .req_path(PATH)
        .with_parser(parser)
        .connect_timeout(CONNECT_TIMEOUT)
        .max_buffer_size(QUEUE_GROUPS)
        .max_payload(max_payload_bytes(max_message_bytes))
        .ws_read_buffer_size(READ_BUFFER_BYTES)
        .ws_max_message_size(max_message_bytes + HEAD_BYTES)
        .ws_max_frame_size(max_message_bytes + HEAD_BYTES)
        .build_with_inner_svc(axum::Router::new());
    io.ns("/", (async || {}).with(prepare));
    service
}

/// Gives a new socket its handlers, before its first event can come.
async fn prepare(socket: SocketRef) -> Result<(), &'static str> {
    let Some(session) = socket.req_parts().extensions.get::<Arc<Session>>().cloned() else {
        return Err("no session");
    };
    socket.on_fallback(CallHandler {
        session: session.clone(),
    });
    socket.on_disconnect(async move || session.disconnected());
    Ok(())
}

/// Takes every event of one client, in order.
struct CallHandler {
    session: Arc<Session>,
}

impl MessageHandler<LocalAdapter, ()> for CallHandler {
    fn call(&self, socket: Arc<Socket>, value: Value, ack: Option<i64>) {
        let call = match value {
            Value::Str(json, attachments) => {
                let attachments: Vec<_> = attachments.into_iter().flatten().collect();
                Call::decode(json.as_str(), &attachments)
            }
            Value::Bytes(_) => Err(CallError {
                kind: CallKind::Unknown,
            }),
        };
        self.session.call(&socket, call, ack.map(AckId));
    }
}

/// Sends an event and returns its acknowledgement to come: `None` when there is none in
/// time.
pub(crate) fn ask(
    socket: &Socket,
    event: &legacy::Event,
    timeout: Duration,
) -> Result<BoxFuture<'static, Option<legacy::CalleeAnswer>>, SendError> {
    let answer = socket
        .timeout(timeout)
        .emit_with_ack::<_, legacy::CalleeAnswer>(event.name(), event)?;
    let read = |answer| match answer {
        Ok(answer) => Some(answer),
        Err(AckError::Decode(_)) => Some(legacy::CalleeAnswer::unreadable()),
        Err(AckError::Timeout | AckError::Socket(_)) => None,
    };
    Ok(answer.map(read).boxed())
}
