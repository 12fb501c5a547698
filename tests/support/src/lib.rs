//! What the cross-crate tests share: a running star, and a peer that speaks
//! the wire.
//!
//! * [`star`] builds the program, runs it on a free port and looks at it from
//!   outside: its address, its memory, its log, how it ends.
//! * [`client`] is a peer of either profile made for tests: it can say anything,
//!   at any time, and stop at any point.
//! * [`pipe`] opens pipes and speaks their frames.
//! * [`relay`] is a star that passes for another one.
//! * [`http`] is an HTTP/1.1 client of a few lines, for long polling and for
//!   requests that no honest client makes.
//!
//! Everything here panics with a description when the star does not do what the
//! test expects; a test that wants to see a failure asks for it by name.
//! No function sleeps to let something happen: each waits for it, up to
//! [`DEADLINE`].

#![deny(missing_docs)]

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::net::{TcpSocket, TcpStream};

pub mod client;
pub mod http;
pub mod pipe;
pub mod relay;
pub mod star;

pub use client::{
    Client, Engine, Event, Hello, Identity, Incoming, KeyKind, NativeJoin, Packet, Page, Profile,
    Reading, StreamItem, address_of, code_of, connect_peers, pipe_token,
};
pub use pipe::{Pipe, PipeItem, PipeRefusal, PipeRequest};
pub use relay::{EvilStar, Relaying};
pub use star::{Signal, Star, StarOptions};

/// How long a test waits for something that has to happen.
///
/// Far longer than anything takes, so that a loaded machine fails no test; it
/// exceeds the star's dial deadline.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// Waits for `future`, at most [`DEADLINE`].
///
/// # Panics
///
/// When the deadline passes; `what` says what did not happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

/// Connects to a port of this machine, from this address of it: all of 127.0.0.0/8
/// are.
///
/// # Errors
///
/// Nobody accepts, or the address is no address of this machine.
pub(crate) async fn connect_from(from: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.connect(to).await
}
