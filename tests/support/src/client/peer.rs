//! What a peer does: join, dial, stream.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use libp2p_identity::Keypair;
use serde_json::{Value, json};

use super::{Client, Packet};

/// Kind of a peer's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Ed25519.
    Ed25519,
    /// ECDSA over secp256k1.
    Secp256k1,
}

/// A peer's key pair, and what is made of it.
#[derive(Clone, Debug)]
pub struct Identity {
    keypair: Keypair,
}

impl Identity {
    /// Returns the Ed25519 identity of this number; the same for the same number.
    pub fn new(number: u64) -> Self {
        Self::of_kind(KeyKind::Ed25519, number)
    }

    /// Returns the identity of this kind and number.
    pub fn of_kind(kind: KeyKind, number: u64) -> Self {
        let mut secret = [1; 32];
        secret[..8].copy_from_slice(&number.to_le_bytes());
        let keypair = match kind {
            KeyKind::Ed25519 => {
                Keypair::ed25519_from_bytes(secret).expect("any 32 bytes are a secret")
            }
            KeyKind::Secp256k1 => {
                let secret = libp2p_identity::secp256k1::SecretKey::try_from_bytes(secret)
                    .expect("a small number is a secret");
                libp2p_identity::secp256k1::Keypair::from(secret).into()
            }
        };
        Self { keypair }
    }

    /// Returns the public key as the wire has it: protobuf in hex.
    pub fn key(&self) -> String {
        HEXLOWER.encode(&self.keypair.public().encode_protobuf())
    }

    /// Returns the answer to a challenge: the signature in hex.
    ///
    /// # Panics
    ///
    /// When the key cannot sign.
    pub fn sign(&self, nonce: &str) -> String {
        let signature = self.keypair.sign(nonce.as_bytes());
        HEXLOWER.encode(&signature.expect("these keys sign without fail"))
    }

    #[cfg(test)]
    pub(super) fn from_keypair(keypair: Keypair) -> Self {
        Self { keypair }
    }

    pub(super) fn keypair(&self) -> &Keypair {
        &self.keypair
    }

    /// Returns the peer id in base58.
    pub fn peer_id(&self) -> String {
        self.keypair.public().to_peer_id().to_base58()
    }

    /// Returns the address of this peer at a star, in the old spelling.
    pub fn address(&self, port: u16) -> String {
        address_of(port, &self.peer_id())
    }
}

/// Returns an address at a star that ends with this peer id.
pub fn address_of(port: u16, peer_id: &str) -> String {
    format!("/ip4/127.0.0.1/tcp/{port}/ws/p2p-websocket-star/ipfs/{peer_id}")
}

/// What comes out of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamItem {
    /// A chunk.
    Chunk(Bytes),
    /// The end: arguments of the event, `[true]` for a clean one.
    End(Vec<Value>),
}

impl Client {
    /// Asks to join and returns the nonce of the challenge.
    ///
    /// # Panics
    ///
    /// When the star answers anything else.
    pub async fn ask_challenge(&mut self, identity: &Identity, address: &str) -> String {
        let reply = self.call("ss-join", [address, &identity.key()]).await;
        match reply.as_array().map(Vec::as_slice) {
            Some([Value::Null, Value::String(nonce)]) => nonce.clone(),
            _ => panic!("no challenge: {reply}"),
        }
    }

    /// Joins through the challenge; returns the addresses of the others.
    ///
    /// # Panics
    ///
    /// When the star refuses.
    pub async fn join(&mut self, identity: &Identity, address: &str) -> Vec<String> {
        let nonce = self.ask_challenge(identity, address).await;
        let reply = self
            .call("ss-join", [address, &identity.sign(&nonce)])
            .await;
        joined(&reply)
    }

    /// Joins a star that does not challenge; returns the addresses of the others.
    ///
    /// # Panics
    ///
    /// When the star refuses, or challenges.
    pub async fn join_unchallenged(&mut self, address: &str) -> Vec<String> {
        joined(&self.call("ss-join", [address, ""]).await)
    }

    /// Starts a dial; returns the id of the acknowledgement that ends it.
    pub async fn start_dial(&mut self, from: &str, to: &str, dial_id: &str) -> u64 {
        self.start_call("ss-dial", [from, to, dial_id]).await
    }

    /// Takes the next dial, as the original client does: ready to read, then the
    /// acknowledgement. Returns its id.
    ///
    /// # Panics
    ///
    /// When none comes, or it is not as recorded.
    pub async fn accept_dial(&mut self) -> String {
        let incoming = self.expect_event("ss-incomming").await;
        let dial_id = incoming.args[0]
            .as_str()
            .expect("a dial id is text")
            .to_owned();
        self.accept_stream(&format!("{dial_id}.dialer")).await;
        self.acknowledge(&incoming, json!([])).await;
        dial_id
    }

    /// Says that it is ready to read a stream.
    pub async fn accept_stream(&mut self, stream: &str) {
        self.emit(&format!("socket.io-pull-stream.accept.{stream}"), json!([]))
            .await;
    }

    /// Writes a chunk into a stream.
    pub async fn write(&mut self, stream: &str, bytes: impl Into<Bytes>) {
        self.emit_bytes(&format!("socket.io-pull-stream.queue.{stream}"), bytes)
            .await;
    }

    /// Like [`write`](Self::write), for a star that may not read. No deadline.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub async fn try_write(&mut self, stream: &str, bytes: Bytes) -> anyhow::Result<()> {
        self.try_emit_bytes(&format!("socket.io-pull-stream.queue.{stream}"), bytes)
            .await
    }

    /// Ends a stream with these arguments; `[true]` is a clean end.
    pub async fn end(&mut self, stream: &str, args: Value) {
        self.emit(&format!("socket.io-pull-stream.error.{stream}"), args)
            .await;
    }

    /// Waits for the next chunk of a stream, or its end.
    ///
    /// # Panics
    ///
    /// When a chunk has not exactly one attachment.
    pub async fn read(&mut self, stream: &str) -> StreamItem {
        let queue = format!("socket.io-pull-stream.queue.{stream}");
        let error = format!("socket.io-pull-stream.error.{stream}");
        let wanted = |packet: &Packet| matches!(packet, Packet::Event(event) if event.name == queue || event.name == error);
        let packet = self.expect(&format!("stream {stream}"), wanted).await;
        let Packet::Event(mut event) = packet else {
            unreachable!("{packet:?} is no event");
        };
        if event.name == error {
            return StreamItem::End(event.args);
        }
        assert_eq!(event.attachments.len(), 1, "a chunk is one attachment");
        StreamItem::Chunk(event.attachments.remove(0))
    }

    /// Reads a stream to its end; returns its bytes and the arguments of the end.
    pub async fn read_to_end(&mut self, stream: &str) -> (Vec<u8>, Value) {
        let mut bytes = Vec::new();
        loop {
            match self.read(stream).await {
                StreamItem::Chunk(chunk) => bytes.extend_from_slice(&chunk),
                StreamItem::End(args) => return (bytes, Value::from(args)),
            }
        }
    }

    /// Reads as many bytes of a stream.
    ///
    /// # Panics
    ///
    /// When it ends before, or a chunk goes beyond them.
    pub async fn read_exactly(&mut self, stream: &str, n_bytes: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(n_bytes);
        while bytes.len() < n_bytes {
            match self.read(stream).await {
                StreamItem::Chunk(chunk) => bytes.extend_from_slice(&chunk),
                StreamItem::End(args) => panic!("{stream} ends early: {args:?}"),
            }
        }
        assert_eq!(
            bytes.len(),
            n_bytes,
            "{stream} has a chunk that goes too far"
        );
        bytes
    }
}

fn joined(reply: &Value) -> Vec<String> {
    match reply.as_array().map(Vec::as_slice) {
        Some([Value::Null, Value::Null, Value::Array(addresses)]) => {
            let texts = addresses
                .iter()
                .map(|address| address.as_str().map(str::to_owned));
            texts
                .map(|text| text.expect("an address is text"))
                .collect()
        }
        _ => panic!("not joined: {reply}"),
    }
}

/// Connects two joined peers: dial, acceptance and the answers to both.
///
/// # Panics
///
/// When the star does not connect them.
pub async fn connect_peers(
    dialer: &mut Client,
    from: &str,
    callee: &mut Client,
    to: &str,
    id: &str,
) {
    let dial = dialer.start_dial(from, to, id).await;
    assert_eq!(callee.accept_dial().await, id, "another dial came first");
    assert_eq!(dialer.expect_ack(dial).await, json!([]), "the dial fails");
    dialer.accept_stream(&format!("{id}.listener")).await;
}
