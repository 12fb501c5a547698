//! Identities and addresses, made from small numbers.

use libp2p_identity::{Keypair, PeerId};
use starpoint_wire::{
    challenge,
    native::{Hello, JoinCall, JoinTerms, Namespace, StarHost},
};

/// A peer that can prove who it is, and its addresses in both spellings.
#[derive(Debug)]
pub struct Identity {
    keypair: Keypair,
    /// Its public key as a join carries it.
    pub public_key: String,
    id: String,
}

impl Identity {
    /// Makes the identity of a number.
    ///
    /// # Panics
    ///
    /// Never: every 32 bytes are a key.
    pub fn new(number: u16) -> Self {
        let mut secret = [7; 32];
        secret[..2].copy_from_slice(&number.to_le_bytes());
        let keypair = Keypair::ed25519_from_bytes(secret).expect("32 bytes are a key");
        Self {
            public_key: challenge::encode_public_key(&keypair.public()),
            id: keypair.public().to_peer_id().to_base58(),
            keypair,
        }
    }

    /// Signs a nonce.
    ///
    /// # Panics
    ///
    /// Never: Ed25519 always signs.
    pub fn sign(&self, nonce: &str) -> String {
        challenge::sign(&self.keypair, nonce).expect("Ed25519 always signs")
    }

    /// Returns its id.
    pub fn peer(&self) -> PeerId {
        self.keypair.public().to_peer_id()
    }

    /// Returns its join into these namespaces, as an answer to a hello.
    ///
    /// # Panics
    ///
    /// Never: Ed25519 always signs.
    pub fn native_join(&self, hello: &Hello, namespaces: Vec<Namespace>) -> JoinCall {
        self.signed_join(hello, namespaces, Some(self.address(4000)))
    }

    /// Returns its join as a visitor.
    ///
    /// # Panics
    ///
    /// Never: Ed25519 always signs.
    pub fn visit(&self, hello: &Hello) -> JoinCall {
        self.signed_join(hello, Vec::new(), None)
    }

    fn signed_join(
        &self,
        hello: &Hello,
        namespaces: Vec<Namespace>,
        address: Option<String>,
    ) -> JoinCall {
        let terms = JoinTerms {
            star: hello.star,
            challenge: hello.challenge,
            expires: hello.expires,
        };
        let join = JoinCall {
            key: Vec::new(),
            signature: Vec::new(),
            host: StarHost::new("10.0.0.1", 4000).expect("a host"),
            address,
            namespaces,
            record: None,
        };
        let signed = join.sign(&terms, &self.keypair);
        signed.expect("Ed25519 always signs")
    }

    /// Returns its address at a port, as original peers spell it.
    pub fn address(&self, port: u16) -> String {
        format!(
            "/ip4/10.0.0.1/tcp/{port}/ws/p2p-websocket-star/ipfs/{}",
            self.id
        )
    }
}

/// Returns the address in today's spelling.
pub fn respelled(address: &str) -> String {
    address.replace("/ipfs/", "/p2p/")
}

/// Returns the address as the model keeps it.
pub fn canonical(address: &str) -> String {
    address.replace("/p2p/", "/ipfs/")
}

/// Returns what an address says about its peer: the part behind the last slash.
pub fn peer_of(address: &str) -> &str {
    address.rsplit('/').next().unwrap_or_default()
}
