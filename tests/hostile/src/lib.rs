//! What the tests with hostile peers share: honest peers to compare with.
//!
//! Every test runs a star of its own, does something to it that no honest peer
//! does, and then calls [`assert_still_serves`].

#![deny(missing_docs)]

pub mod attack;
pub mod middle;
pub mod native;

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};
use starpoint_test_support::{Client, Engine, Identity, Profile, Star, connect_peers, within};

/// How far above its baseline the memory of a star may end, in bytes.
///
/// The allocator keeps some pages of a peak, and peaks differ by what happens to
/// be open at the same time. The tests that use this end thousands of connections,
/// so a leak of five kilobytes per connection passes the mark.
pub const MEMORY_TOLERANCE_BYTES: u64 = 12 * 1024 * 1024;

/// A client that has joined, and its address.
#[derive(Debug)]
pub struct Peer {
    /// The connection.
    pub client: Client,
    /// The address that it has joined with.
    pub address: String,
}

impl Peer {
    /// Joins with a new key, whether the star challenges or not.
    ///
    /// # Panics
    ///
    /// When the star refuses.
    pub async fn join(star: &Star) -> Self {
        Self::join_with(star, Engine::V3).await
    }

    /// Like [`join`](Self::join), with this version of Engine.IO.
    ///
    /// # Panics
    ///
    /// When the star refuses.
    pub async fn join_with(star: &Star, engine: Engine) -> Self {
        let client = Client::connect(star.port(), engine).await;
        Self::join_as(client, &new_identity()).await
    }

    /// Like [`join`](Self::join), from this address of 127.0.0.0/8.
    ///
    /// # Panics
    ///
    /// When the star refuses.
    pub async fn join_from(star: &Star, from: Ipv4Addr) -> Self {
        let connecting = Client::try_connect_from(from, star.port(), Engine::V4, Profile::Legacy);
        let client = within("handshake", connecting).await;
        Self::join_as(client.expect("the star accepts"), &new_identity()).await
    }

    /// Joins as this identity, whether the star challenges or not.
    ///
    /// # Panics
    ///
    /// When the star refuses.
    pub async fn join_as(mut client: Client, identity: &Identity) -> Self {
        let address = identity.address(client.port());
        let reply = client
            .call("ss-join", [address.as_str(), &identity.key()])
            .await;
        match reply.as_array().map(Vec::as_slice) {
            Some([Value::Null, Value::String(nonce)]) => {
                let signature = identity.sign(nonce);
                let reply = client.call("ss-join", [address.as_str(), &signature]).await;
                assert_joined(&reply);
            }
            _ => assert_joined(&reply),
        }
        Self { client, address }
    }

    /// Dials another peer and is connected to it.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub async fn connect(&mut self, callee: &mut Self, dial_id: &str) {
        connect_peers(
            &mut self.client,
            &self.address,
            &mut callee.client,
            &callee.address,
            dial_id,
        )
        .await;
    }

    /// Dials an address; returns the arguments of the answer.
    pub async fn dial(&mut self, to: &str, dial_id: &str) -> Value {
        self.client
            .call("ss-dial", [self.address.as_str(), to, dial_id])
            .await
    }

    /// Dials an address and does not wait; returns the id of the answer.
    pub async fn start_dial(&mut self, to: &str, dial_id: &str) -> u64 {
        self.client.start_dial(&self.address, to, dial_id).await
    }
}

/// Two peers that are connected by the dial `x`.
///
/// # Panics
///
/// When the star does not connect them.
pub async fn connected_pair(star: &Star) -> (Peer, Peer) {
    let mut dialer = Peer::join(star).await;
    let mut callee = Peer::join_with(star, Engine::V4).await;
    dialer.connect(&mut callee, "x").await;
    (dialer, callee)
}

/// Returns an identity that no other call in this process returns.
pub fn new_identity() -> Identity {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Identity::new(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Checks that an answer is of a join that succeeded.
///
/// # Panics
///
/// When it is not.
pub fn assert_joined(reply: &Value) {
    let is_joined = matches!(
        reply.as_array().map(Vec::as_slice),
        Some([Value::Null, Value::Null, Value::Array(_)])
    );
    assert!(is_joined, "not joined: {reply}");
}

/// Checks that an answer is a refusal, and returns its text.
///
/// # Panics
///
/// When it is not exactly one text.
pub fn refusal(reply: &Value) -> &str {
    match reply.as_array().map(Vec::as_slice) {
        Some([Value::String(text)]) => text,
        _ => panic!("not refused: {reply}"),
    }
}

/// Checks that fresh peers can join, find and dial each other, and talk, in both
/// versions of Engine.IO, and that the star has logged no error.
///
/// # Panics
///
/// When they cannot.
pub async fn assert_still_serves(star: &mut Star) {
    star.assert_healthy();
    let mut callee = Peer::join_with(star, Engine::V4).await;
    let mut dialer = Peer::join(star).await;
    assert_talk(&mut dialer, &mut callee, "still serves").await;
    dialer.client.disconnect().await;
    callee.client.disconnect().await;
    star.assert_healthy();
}

/// Checks that two joined peers can be connected and hear each other to the end.
///
/// # Panics
///
/// When they cannot.
pub async fn assert_talk(dialer: &mut Peer, callee: &mut Peer, dial_id: &str) {
    dialer.connect(callee, dial_id).await;
    assert_hear(dialer, callee, dial_id).await;
}

/// Checks that two peers that are connected by a dial hear each other to the end.
///
/// # Panics
///
/// When they do not.
pub async fn assert_hear(dialer: &mut Peer, callee: &mut Peer, dial_id: &str) {
    let (there, back) = (format!("{dial_id}.dialer"), format!("{dial_id}.listener"));
    dialer.client.write(&there, "a question").await;
    dialer.client.end(&there, json!([true])).await;
    let question = callee.client.read_to_end(&there).await;
    assert_eq!(question, (b"a question".to_vec(), json!([true])));
    callee.client.write(&back, "an answer").await;
    callee.client.end(&back, json!([true])).await;
    let answer = dialer.client.read_to_end(&back).await;
    assert_eq!(answer, (b"an answer".to_vec(), json!([true])));
}

/// Waits until the memory of a star is back near a baseline that was taken after
/// a warm-up; see [`MEMORY_TOLERANCE_BYTES`].
///
/// # Panics
///
/// When it does not come back.
pub async fn assert_memory_returns(star: &Star, baseline_bytes: u64) {
    let limit = baseline_bytes + MEMORY_TOLERANCE_BYTES;
    let returned = async {
        while star.rss_bytes() > limit {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let mib = |bytes: u64| bytes >> 20;
    let what = format!(
        "memory below {} MiB, from {} MiB",
        mib(limit),
        mib(baseline_bytes)
    );
    within(&what, returned).await;
    eprintln!(
        "memory: {} MiB, from {} MiB",
        mib(star.rss_bytes()),
        mib(baseline_bytes)
    );
}
