//! Honest peers of the native profile.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::Value;
pub use starpoint_test_support::http::metric;
use starpoint_test_support::{
    Client, Engine, Identity, NativeJoin, Page, Pipe, PipeItem, PipeRequest, Star, pipe_token,
    within,
};

use crate::new_identity;

/// A client that has joined natively.
#[derive(Debug)]
pub struct NativePeer {
    /// The connection.
    pub client: Client,
    /// Who it is.
    pub identity: Identity,
    /// Whether the star still had it.
    pub is_resumed: bool,
    /// The first page of the default namespace.
    pub page: Page,
}

impl NativePeer {
    /// Joins the default namespace with a new key.
    ///
    /// # Panics
    ///
    /// When the star refuses.
    pub async fn join(star: &Star) -> Self {
        Self::join_as(star, Engine::V4, new_identity()).await
    }

    /// Joins the default namespace as this identity.
    ///
    /// # Panics
    ///
    /// When the star refuses.
    pub async fn join_as(star: &Star, engine: Engine, identity: Identity) -> Self {
        let (mut client, hello) = Client::connect_native(star.port(), engine).await;
        let join = NativeJoin::new(&identity, &hello, star.port());
        let (is_resumed, mut pages) = client.native_join(&join).await;
        Self {
            client,
            identity,
            is_resumed,
            page: pages.pop().expect("a page of the default namespace"),
        }
    }

    /// Returns its id.
    pub fn id(&self) -> String {
        self.identity.peer_id()
    }

    /// Dials another peer; returns the token of the own side and the id of the
    /// answer.
    pub async fn start_dial(&mut self, to: &Self) -> (String, u64) {
        let token = new_token();
        let dial = self.client.start_star_dial(&to.id(), &token).await;
        (token, dial)
    }

    /// Waits until the next batch of presence that it is sent.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub async fn expect_batch(&mut self) -> Batch {
        let event = self.client.expect_event("star-presence").await;
        Batch::read(&event.args[0])
    }
}

/// What has changed in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number.
    pub seq: u64,
    /// Who has come.
    pub joined: Vec<String>,
    /// Who has gone.
    pub left: Vec<String>,
}

impl Batch {
    /// Reads the argument of the event.
    ///
    /// # Panics
    ///
    /// When it is not as specified.
    pub fn read(batch: &Value) -> Self {
        let ids = |key: &str| -> Vec<String> {
            let ids = batch[key].as_array().cloned().unwrap_or_default();
            let text = |id: &Value| id.as_str().expect("an id is text").to_owned();
            ids.iter().map(text).collect()
        };
        Self {
            seq: batch["seq"].as_u64().expect("a number"),
            joined: ids("joined"),
            left: ids("left"),
        }
    }
}

/// Returns a token that no other call in this process returns.
pub fn new_token() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    pipe_token(bytes)
}

/// Connects two peers by a pipe; returns the dialer's side and the callee's.
///
/// # Panics
///
/// When the star does not connect them.
pub async fn open_pipe(star: &Star, dialer: &mut NativePeer, callee: &mut NativePeer) -> [Pipe; 2] {
    let (token, dial) = dialer.start_dial(callee).await;
    // From here on the star knows of the dial: the request for a pipe is on another
    // connection, and could overtake it.
    let incoming = callee.client.expect_incoming().await;
    assert_eq!(incoming.from, dialer.id());
    let ours = PipeRequest::send(star.port(), &token).await;
    let theirs = PipeRequest::send(star.port(), &incoming.token).await;
    let reply = dialer.client.expect_ack(dial).await;
    assert!(reply[0].is_null() && reply[1].is_object(), "{reply}");
    let answers = [ours.answer().await, theirs.answer().await];
    answers.map(|answer| answer.expect("both sides are there"))
}

/// Checks that a pipe carries bytes both ways.
///
/// # Panics
///
/// When it does not.
pub async fn assert_carries([a, b]: &mut [Pipe; 2], text: &str) {
    a.write(text.to_owned()).await;
    assert_eq!(b.read_exactly(text.len()).await, text.as_bytes());
    let text = text.to_uppercase();
    b.write(text.clone()).await;
    assert_eq!(a.read_exactly(text.len()).await, text.as_bytes());
}

/// Checks that both sides of a pipe can end it cleanly.
///
/// # Panics
///
/// When they cannot.
pub async fn assert_ends([mut a, mut b]: [Pipe; 2]) {
    a.end().await;
    assert_eq!(b.read().await, PipeItem::End);
    b.write("behind the end of the other direction").await;
    b.end().await;
    a.read_exactly(37).await;
    assert_eq!(a.read().await, PipeItem::End);
    assert_eq!(a.read().await, PipeItem::Closed(1000));
    assert_eq!(b.read().await, PipeItem::Closed(1000));
}

/// Checks that fresh native peers can join and be connected, and talk, and that
/// the star has logged no error.
///
/// # Panics
///
/// When they cannot.
pub async fn assert_serves_natively(star: &mut Star) {
    star.assert_healthy();
    let mut callee = NativePeer::join(star).await;
    let mut dialer = NativePeer::join_as(star, Engine::V3, new_identity()).await;
    let mut pipe = open_pipe(star, &mut dialer, &mut callee).await;
    assert_carries(&mut pipe, "still serves").await;
    assert_ends(pipe).await;
    dialer.client.disconnect().await;
    callee.client.disconnect().await;
    star.assert_healthy();
}

/// Waits until a number in `GET /metrics` is this one.
///
/// # Panics
///
/// When it does not get there.
pub async fn expect_metric(star: &Star, name: &str, wanted: u64) {
    let reached = async {
        while metric(star, name).await != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(&format!("{name} is {wanted}"), reached).await;
}
