//! A Socket.IO client over WebSocket, for Engine.IO 3 and 4.
//!
//! ```text
//!  caller ── emit, call, acknowledge ──▶ Connection ──▶ Session ──▶ Socket ──▶ server
//!         ◀──────── poll_event ─────────            ◀──         ◀──
//! ```
//!
//! * [`session::Session`] is the protocol: frames and time in, frames and events
//!   out. It has no socket, clock or randomness.
//! * [`Connection`] carries its input and output over a [`Socket`], and keeps the
//!   deadlines. It is polled by the task that owns it, and spawns nothing:
//!   dropping it ends everything it did.
//! * `tokio` has a [`Connector`] and [`Timers`] for programs, behind the
//!   feature of that name. A browser brings its own.
//!
//! Only WebSocket, only the default namespace: that is what a star needs. A
//! [`Pipe`] is a WebSocket beside it, without Socket.IO, for one dialed connection.
//!
//! # Bounds
//!
//! | what waits | bound | beyond it |
//! |---|---|---|
//! | a message from the server | [`Config::max_message_bytes`] | the connection ends |
//! | attachments of one packet | [`MAX_ATTACHMENTS`], and the same bytes together | the connection ends |
//! | packets to the server | [`Config::max_queued_bytes`] | [`Connection::poll_ready`] is pending |
//! | answers that the server asked for | [`MAX_QUEUED_ANSWERS`] | the connection ends |
//! | heartbeats | one ping, one pong | they merge |
//! | calls without an answer | [`MAX_PENDING_CALLS`] | the oldest is forgotten |
//! | events | one | the next message is read after it was taken |
//!
//! # What is reused, and what is not
//!
//! The packet types of `engineioxide-core` 0.2.3, made for servers, do not fit a
//! client: its parser takes no open packet, its open packet insists on a session
//! id of exactly 16 characters and on `maxPayload`, which the original star does
//! not send, and it has no binary messages of Engine.IO 3 over WebSocket. What
//! would be left is a match over seven digits, for a random generator, base64
//! and HTTP among the dependencies. The Socket.IO parser of the same project
//! panics on packets with attachments in a browser. So the framing is written
//! here, in `packet`.

#![deny(missing_docs)]

mod config;
mod error;
mod io;
mod packet;

pub mod session;

mod connection;

/// Bodies of the fuzz targets, not part of the API.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "../../../fuzz/bodies/sio.rs"]
pub mod fuzzing;

#[cfg(feature = "tokio")]
pub mod tokio;

pub use config::{Config, EngineVersion};
pub use connection::Connection;
pub use error::{
    Cause, Closed, ConnectError, OpenError, PipeError, SocketError, UrlError, Violation,
};
pub use io::{Connector, Frame, Pipe, Socket, SocketLimits, Timers};
pub use packet::MAX_ATTACHMENTS;
pub use session::{AckId, Event, MAX_PENDING_CALLS, MAX_QUEUED_ANSWERS};
#[cfg(feature = "tokio")]
pub use tokio::{TokioConnector, TokioTimers};
/// The clock's type: `std`'s, or in a browser one that works there.
pub use web_time::Instant;
