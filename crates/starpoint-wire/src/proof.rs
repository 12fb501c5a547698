//! Signatures as work to be done elsewhere.
//!
//! A signature takes up to a millisecond to verify, which is too long for the task
//! that every peer waits for. Whatever needs one verified makes a [`Proof`]; the
//! answer comes back later.

use std::fmt;

use libp2p_identity::{KeyType, PublicKey};

use crate::challenge::is_usable_rsa;

/// Largest RSA modulus of the native profile, in bytes: 4096 bits. Above it, a
/// verification costs more than a join is worth (R-NATIVE-16).
const MAX_RSA_MODULUS_BYTES: usize = 512;

/// Why a proof proves nothing. The signer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The public key does not parse, is of a kind that is refused, or does not
    /// belong to the id.
    #[error("unusable key")]
    Key,
    /// The signature does not verify.
    #[error("signature does not verify")]
    Signature,
}

/// A signature that somebody has to verify. `Debug` shows the kind of key only.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof {
    key: PublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Proof {
    /// Creates a proof that the holder of `key` has signed `message`. The key has
    /// to be of a size that is checked already.
    pub(crate) fn new(key: PublicKey, message: Vec<u8>, signature: Vec<u8>) -> Self {
        Self {
            key,
            message,
            signature,
        }
    }

    /// Verifies the signature. Takes 0.05 to 1 ms of computing.
    pub fn verify(&self) -> bool {
        self.key.verify(&self.message, &self.signature)
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof({:?})", self.key.key_type())
    }
}

/// Reads a public key of the native profile.
///
/// # Errors
///
/// [`ProofError::Key`] when it does not parse, or is an RSA key of less than 2048
/// or more than 4096 bits.
pub(crate) fn read_key(bytes: &[u8]) -> Result<PublicKey, ProofError> {
    let key = PublicKey::try_decode_protobuf(bytes).map_err(|_| ProofError::Key)?;
    match key.key_type() {
        KeyType::RSA if !is_usable_rsa(&key, MAX_RSA_MODULUS_BYTES) => Err(ProofError::Key),
        KeyType::RSA | KeyType::Ed25519 | KeyType::Secp256k1 | KeyType::Ecdsa => Ok(key),
    }
}
