//! The secret of a session code, and what it proves.

use std::fmt;

use libp2p_identity::PeerId;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    domain::Domain,
    hash::{hash, mac},
};

/// What a client has to prove that it has: 128 bits.
///
/// Compared in constant time, wiped when it is dropped, not shown by `Debug`.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; Self::BYTES]>);

impl Secret {
    /// Its length, in bytes.
    pub const BYTES: usize = 16;

    /// Makes a secret of random bytes, which have to come from a cryptographically
    /// secure generator.
    pub fn new(random: [u8; Self::BYTES]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// Returns the public name of the session (R-TUNNEL-2). Without the secret,
    /// nobody can name the session, and so nobody can use up its attempts.
    pub fn session(&self) -> SessionId {
        let digest = hash(Domain::CodeSession, &*self.0);
        SessionId(*digest.first_chunk().expect("a digest is longer"))
    }

    /// Returns what `client` shows to `host` (R-TUNNEL-2). Worthless to any other
    /// pair, because the connection proves both ids.
    pub fn proof(&self, client: &PeerId, host: &PeerId) -> CodeProof {
        let [client, host] = [client.to_bytes(), host.to_bytes()];
        let length = |id: &[u8]| [u8::try_from(id.len()).expect("an id is short")];
        let parts: [&[u8]; 4] = [&length(&client), &client, &length(&host), &host];
        CodeProof(mac(Domain::CodeProof, &*self.0, &parts))
    }

    /// Checks a proof, in constant time.
    pub fn verifies(&self, proof: &CodeProof, client: &PeerId, host: &PeerId) -> bool {
        self.proof(client, host).0.ct_eq(&proof.0).into()
    }

    pub(crate) fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The public name of a session: a hash of its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId([u8; Self::BYTES]);

impl SessionId {
    /// Its length on the wire, in bytes.
    pub const BYTES: usize = 8;

    /// Takes the bytes that a client has sent.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to send.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

/// What a client shows to prove that it has the secret. Not shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeProof([u8; Self::BYTES]);

impl CodeProof {
    /// Its length on the wire, in bytes.
    pub const BYTES: usize = 32;

    /// Takes the bytes that a client has sent. Proves nothing before
    /// [`Secret::verifies`].
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to send.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for CodeProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeProof")
    }
}

#[cfg(test)]
mod tests;
