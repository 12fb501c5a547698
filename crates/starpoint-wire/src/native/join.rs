//! The proof of a join.

use libp2p_identity::{Keypair, PeerId, SigningError};
use starpoint_crypto::{Domain, Statement, sha256};

use super::{JoinCall, Nonce32};
use crate::proof::{Proof, ProofError, read_key};

/// The hello that a join answers: the star, and the one challenge that it may use.
#[derive(Clone, Copy, Debug)]
pub struct JoinTerms {
    /// The star that is joined.
    pub star: PeerId,
    /// The star's challenge.
    pub challenge: Nonce32,
    /// The challenge's expiry, as the star wrote it.
    pub expires: u64,
}

impl JoinCall {
    /// Returns the bytes that `peer` has to sign for this call: everything in it
    /// but key and signature, and the terms.
    pub fn to_bytes(&self, terms: &JoinTerms, peer: PeerId) -> Vec<u8> {
        let mut statement = Statement::begin(Domain::Join);
        statement
            .counted(&terms.star.to_bytes())
            .counted(&peer.to_bytes())
            .fixed(&terms.challenge.0)
            .fixed(&terms.expires.to_be_bytes())
            .counted(self.host.to_string().as_bytes());
        match &self.address {
            Some(address) => statement.fixed(&[1]).counted(address.as_bytes()),
            None => statement.fixed(&[0]),
        };
        let record = self.record.as_ref().map_or(&[][..], |r| r.as_bytes());
        statement
            .list(self.namespaces.iter().map(|name| name.to_string()))
            .fixed(&sha256(record));
        statement.into_bytes()
    }

    /// Puts the key and the signature of a peer into the call.
    ///
    /// # Errors
    ///
    /// When the key cannot sign.
    pub fn sign(mut self, terms: &JoinTerms, keypair: &Keypair) -> Result<Self, SigningError> {
        let key = keypair.public();
        self.signature = keypair.sign(&self.to_bytes(terms, key.to_peer_id()))?;
        self.key = key.encode_protobuf();
        Ok(self)
    }

    /// Returns the peer that the call says it is from, and what proves it.
    ///
    /// # Errors
    ///
    /// [`ProofError::Key`] when the key does not parse or is too expensive.
    pub fn proof(&self, terms: &JoinTerms) -> Result<(PeerId, Proof), ProofError> {
        let key = read_key(&self.key)?;
        let peer = key.to_peer_id();
        let message = self.to_bytes(terms, peer);
        Ok((peer, Proof::new(key, message, self.signature.clone())))
    }
}
