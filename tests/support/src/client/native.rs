//! What a peer of the native profile does.

use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use libp2p_identity::{PeerId, PublicKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Client, Engine, Event, Identity, Profile};
use crate::within;

/// First of the bytes that a join signs.
const DOMAIN: &[u8] = b"/starpoint/join/1";

/// First of the bytes that a hello signs.
const HELLO_DOMAIN: &[u8] = b"/starpoint/hello/1";

/// The nonce of every client here, in the query and as bytes. Honest clients draw
/// another one for each connection.
pub(super) const NONCE: (&str, [u8; 16]) = ("BQUFBQUFBQUFBQUFBQUFBQ", [5; 16]);

fn push_counted(bytes: &mut Vec<u8>, field: &[u8]) {
    let len = u16::try_from(field.len()).expect("a field is short");
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(field);
}

fn push_list(bytes: &mut Vec<u8>, texts: &[String]) {
    let len = u16::try_from(texts.len()).expect("a list is short");
    bytes.extend_from_slice(&len.to_be_bytes());
    for text in texts {
        push_counted(bytes, text.as_bytes());
    }
}

/// What a star says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Id of the star, in base58.
    pub star: String,
    /// What to sign.
    pub challenge: Vec<u8>,
    /// Until when, in seconds of Unix time.
    pub expires: u64,
    /// Whether legacy peers are not challenged.
    pub open: bool,
    /// How long a peer whose connection breaks is kept as being here.
    pub grace: Duration,
    /// Hosts that the operator has named.
    pub hosts: Vec<String>,
}

impl Hello {
    /// Reads the event, and verifies its signature.
    ///
    /// # Panics
    ///
    /// When it is not as specified.
    pub fn read(event: &Event) -> Self {
        let hello = &event.args[0];
        assert_eq!(hello["v"], 1, "{hello}");
        let text = |key: &str| hello[key].as_str().expect("a text").to_owned();
        let number = |key: &str| hello[key].as_u64().expect("a number");
        let challenge = BASE64.decode(text("challenge").as_bytes());
        let hosts = hello["hosts"].as_array().cloned().unwrap_or_default();
        let host = |host: &Value| host.as_str().expect("a text").to_owned();
        let read = Self {
            star: text("star"),
            challenge: challenge.expect("base64"),
            expires: number("expires"),
            open: hello["open"].as_bool().expect("a truth value"),
            grace: Duration::from_millis(number("grace_ms")),
            hosts: hosts.iter().map(host).collect(),
        };
        let key = BASE64.decode(text("key").as_bytes()).expect("base64");
        let key = PublicKey::try_decode_protobuf(&key).expect("a public key");
        assert_eq!(key.to_peer_id().to_base58(), read.star, "the key of the id");
        let signature = BASE64.decode(text("signature").as_bytes()).expect("base64");
        assert!(key.verify(&read.signed_bytes(), &signature), "{hello}");
        read
    }

    /// Returns the bytes that the star signs.
    ///
    /// # Panics
    ///
    /// When the star's id is none.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let star: PeerId = self.star.parse().expect("the star has an id");
        let mut bytes = HELLO_DOMAIN.to_vec();
        push_counted(&mut bytes, &star.to_bytes());
        bytes.extend_from_slice(&NONCE.1);
        bytes.extend_from_slice(&self.challenge);
        bytes.extend_from_slice(&self.expires.to_be_bytes());
        bytes.push(u8::from(self.open));
        let grace = u64::try_from(self.grace.as_millis()).expect("a grace period is short");
        bytes.extend_from_slice(&grace.to_be_bytes());
        push_list(&mut bytes, &self.hosts);
        bytes
    }
}

/// The object of a `star-join`, to be sent as it is or with something wrong in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeJoin {
    /// Public key, protobuf.
    pub key: Vec<u8>,
    /// Signature.
    pub signature: Vec<u8>,
    /// Host at which the star was dialed.
    pub host: String,
    /// Where legacy peers dial; `None` for a visitor.
    pub address: Option<String>,
    /// Names of the namespaces.
    pub namespaces: Vec<String>,
    /// Signed peer record.
    pub record: Option<Vec<u8>>,
}

impl NativeJoin {
    /// Returns a good join into the default namespace, as an answer to this hello.
    ///
    /// # Panics
    ///
    /// When the key cannot sign.
    pub fn new(identity: &Identity, hello: &Hello, port: u16) -> Self {
        Self {
            key: identity.keypair().public().encode_protobuf(),
            signature: Vec::new(),
            host: format!("127.0.0.1:{port}"),
            address: Some(identity.address(port)),
            namespaces: vec!["default".to_owned()],
            record: None,
        }
        .signed(identity, hello)
    }

    /// Returns the join with the signature for what is in it now.
    ///
    /// # Panics
    ///
    /// When the key cannot sign.
    #[must_use]
    pub fn signed(mut self, identity: &Identity, hello: &Hello) -> Self {
        let signature = identity.keypair().sign(&self.statement(identity, hello));
        self.signature = signature.expect("these keys sign without fail");
        self
    }

    /// Returns the bytes that a join of this peer signs.
    ///
    /// # Panics
    ///
    /// When the star's id is none.
    pub fn statement(&self, identity: &Identity, hello: &Hello) -> Vec<u8> {
        let star: PeerId = hello.star.parse().expect("the star has an id");
        let mut bytes = DOMAIN.to_vec();
        push_counted(&mut bytes, &star.to_bytes());
        let peer = identity.keypair().public().to_peer_id();
        push_counted(&mut bytes, &peer.to_bytes());
        bytes.extend_from_slice(&hello.challenge);
        bytes.extend_from_slice(&hello.expires.to_be_bytes());
        push_counted(&mut bytes, self.host.as_bytes());
        match &self.address {
            Some(address) => {
                bytes.push(1);
                push_counted(&mut bytes, address.as_bytes());
            }
            None => bytes.push(0),
        }
        push_list(&mut bytes, &self.namespaces);
        let record = self.record.as_deref().unwrap_or_default();
        bytes.extend_from_slice(&Sha256::digest(record));
        bytes
    }

    /// Returns the arguments of the call.
    pub fn args(&self) -> Value {
        let mut join = json!({
            "key": BASE64.encode(&self.key),
            "signature": BASE64.encode(&self.signature),
            "host": self.host,
            "namespaces": self.namespaces,
        });
        if let Some(address) = &self.address {
            join["address"] = json!(address);
        }
        if let Some(record) = &self.record {
            join["record"] = json!(BASE64.encode(record));
        }
        json!([join])
    }
}

/// A page of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Which namespace.
    pub ns: String,
    /// Number of the last batch that is in it.
    pub seq: u64,
    /// How many there are.
    pub total: u64,
    /// Ids.
    pub peers: Vec<String>,
    /// Where the next page begins.
    pub next: Option<String>,
}

impl Page {
    fn read(page: &Value) -> Self {
        let peers = page["peers"].as_array().expect("a list");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Self {
            ns: text(&page["ns"]),
            seq: page["seq"].as_u64().expect("a number"),
            total: page["total"].as_u64().expect("a number"),
            peers: peers.iter().map(text).collect(),
            next: page["next"].as_str().map(str::to_owned),
        }
    }
}

/// A dial by pipe, as its callee hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Id of the dialer.
    pub from: String,
    /// What opens the callee's side.
    pub token: String,
    /// The dialer's record, in base64.
    pub record: Option<String>,
}

/// Returns the text of a token.
pub fn pipe_token(bytes: [u8; 32]) -> String {
    BASE64URL_NOPAD.encode(&bytes)
}

/// Returns the code of a refusal.
///
/// # Panics
///
/// When the answer is none.
pub fn code_of(reply: &Value) -> &str {
    let code = match reply.as_array().map(Vec::as_slice) {
        Some([refusal]) => refusal["code"].as_str(),
        _ => None,
    };
    code.unwrap_or_else(|| panic!("not refused: {reply}"))
}

impl Client {
    /// Connects with the offer of the native profile, and reads the hello.
    ///
    /// # Panics
    ///
    /// When the star does not take the offer.
    pub async fn connect_native(port: u16, engine: Engine) -> (Self, Hello) {
        let connecting = Self::try_connect_as(port, engine, Profile::Native);
        let connected = within("handshake", connecting).await;
        let mut client = connected.expect("the star accepts");
        let hello = Hello::read(&client.expect_event("star-hello").await);
        (client, hello)
    }

    /// Joins natively; returns whether the star still had the peer, and the first
    /// pages.
    ///
    /// # Panics
    ///
    /// When the star refuses.
    pub async fn native_join(&mut self, join: &NativeJoin) -> (bool, Vec<Page>) {
        let reply = self.call("star-join", join.args()).await;
        let joined = reply.get(1).filter(|_| reply[0].is_null());
        let joined = joined.unwrap_or_else(|| panic!("not joined: {reply}"));
        let pages = joined["pages"].as_array().expect("a list");
        let is_resumed = joined["resumed"].as_bool().expect("a truth value");
        (is_resumed, pages.iter().map(Page::read).collect())
    }

    /// Starts a dial by pipe; returns the id of the acknowledgement that ends it.
    pub async fn start_star_dial(&mut self, to: &str, token: &str) -> u64 {
        self.start_call("star-dial", json!([{"to": to, "token": token}]))
            .await
    }

    /// Waits for the next dial by pipe.
    ///
    /// # Panics
    ///
    /// When none comes, or it is not as specified.
    pub async fn expect_incoming(&mut self) -> Incoming {
        let event = self.expect_event("star-incoming").await;
        let text = |key: &str| event.args[0][key].as_str().map(str::to_owned);
        Incoming {
            from: text("from").expect("a dial has a dialer"),
            token: text("token").expect("a dial has a token"),
            record: text("record"),
        }
    }

    /// Refuses a dial by pipe.
    pub async fn star_refuse(&mut self, token: &str) {
        self.emit("star-refuse", json!([{"token": token}])).await;
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// The vectors that the specification names.
    const JOIN: &str = include_str!("../../../../spec/vectors/native-join.hex");
    const HELLO: &str = include_str!("../../../../spec/vectors/native-hello.hex");

    fn identity() -> Identity {
        let keypair = libp2p_identity::Keypair::ed25519_from_bytes([7; 32]);
        Identity::from_keypair(keypair.expect("32 bytes are a key"))
    }

    fn hello() -> Hello {
        Hello {
            star: identity().peer_id(),
            challenge: vec![9; 32],
            expires: 1_800_000_000,
            open: false,
            grace: Duration::from_secs(15),
            hosts: vec!["star.example".to_owned(), "[::1]:9090".to_owned()],
        }
    }

    #[test]
    fn r_native_12_the_hello_is_that_of_the_vector() {
        assert_eq!(HEXLOWER.encode(&hello().signed_bytes()), HELLO.trim());
    }

    #[test]
    fn r_native_4_the_statement_is_that_of_the_vector() {
        let join = NativeJoin {
            key: Vec::new(),
            signature: Vec::new(),
            host: "star.example:443".to_owned(),
            address: Some("/ip4/127.0.0.1/tcp/1/ws/p2p-websocket-star/ipfs/x".to_owned()),
            namespaces: vec!["default".to_owned(), "a/b".to_owned()],
            record: Some(b"record".to_vec()),
        };
        let statement = join.statement(&identity(), &hello());
        assert_eq!(HEXLOWER.encode(&statement), JOIN.trim());
    }
}
