//! The proof of a join.

use libp2p_identity::{Keypair, PeerId, PublicKey, SigningError};

use super::Nonce32;

/// First of the signed bytes, so that a signature for a star is one for nothing
/// else (R-NATIVE-4).
const DOMAIN: &[u8] = b"/starpoint/join/1";

/// What a joining peer signs: which star, who it is itself, and when.
#[derive(Clone, Copy, Debug)]
pub struct JoinStatement {
    /// The star that it joins.
    pub star: PeerId,
    /// Who joins.
    pub peer: PeerId,
    /// The star's challenge.
    pub challenge: Nonce32,
    /// The challenge's expiry, as the star wrote it.
    pub expires: u64,
}

/// Why a proof proves nothing. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The public key does not parse or is of a kind that is refused.
    #[error("malformed key")]
    Key,
    /// The signature does not verify.
    #[error("signature does not verify")]
    Signature,
}

impl JoinStatement {
    /// Returns the bytes to sign: the domain, the two ids behind their lengths in
    /// two bytes, the challenge, and the expiry in eight, big end first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = DOMAIN.to_vec();
        for id in [self.star, self.peer] {
            let id = id.to_bytes();
            let len = u16::try_from(id.len()).expect("an id is a multihash of at most 64 bytes");
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(&id);
        }
        bytes.extend_from_slice(&self.challenge.0);
        bytes.extend_from_slice(&self.expires.to_be_bytes());
        bytes
    }

    /// Signs it.
    ///
    /// # Errors
    ///
    /// When the key cannot sign.
    pub fn sign(&self, keypair: &Keypair) -> Result<Vec<u8>, SigningError> {
        keypair.sign(&self.to_bytes())
    }

    /// Checks a signature.
    ///
    /// # Errors
    ///
    /// [`ProofError::Signature`].
    pub fn verify(&self, key: &PublicKey, signature: &[u8]) -> Result<(), ProofError> {
        if key.verify(&self.to_bytes(), signature) {
            Ok(())
        } else {
            Err(ProofError::Signature)
        }
    }
}
