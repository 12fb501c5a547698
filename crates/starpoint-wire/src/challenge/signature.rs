//! Answers to a challenge.

use data_encoding::HEXLOWER;
use libp2p_identity::{KeyType, Keypair, PublicKey, SigningError};

use super::{Nonce, der, hex};
use crate::{proof::Proof, refusal::Refusal};

const ED25519_SIGNATURE_BYTES: usize = 64;

/// Why an answer proves nothing: its sender's fault (R-CHAL-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// An Ed25519 signature that has not 64 bytes, or one of an elliptic curve
    /// that is not DER.
    #[error("malformed signature")]
    Malformed,
    /// Not the signature of this key over this nonce.
    #[error("invalid signature")]
    Invalid,
}

impl From<VerifyError> for Refusal {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Malformed => Self::SignatureMalformed,
            VerifyError::Invalid => Self::SignatureInvalid,
        }
    }
}

/// Signs a nonce and returns the signature in lower-case hex.
///
/// The bytes signed are those of the text, whatever it says; a caller that talks
/// to stars it does not trust has to check that it looks like a [`Nonce`].
///
/// # Errors
///
/// [`SigningError`] when an RSA key cannot sign; other keys always can.
pub fn sign(key: &Keypair, nonce: &str) -> Result<String, SigningError> {
    Ok(HEXLOWER.encode(&key.sign(nonce.as_bytes())?))
}

/// Returns what proves that `key` has signed `nonce`: a signature in hex, read like
/// the original up to the first character that is none (R-CHAL-4).
///
/// # Errors
///
/// [`VerifyError::Malformed`] when it has not even the form of a signature.
pub fn proof(key: &PublicKey, nonce: &Nonce, signature: &str) -> Result<Proof, VerifyError> {
    let signature = hex::decode_prefix(signature);
    let is_well_formed = match key.key_type() {
        KeyType::Ed25519 => signature.len() == ED25519_SIGNATURE_BYTES,
        KeyType::Secp256k1 | KeyType::Ecdsa => der::is_ecdsa_signature(&signature),
        KeyType::RSA => true,
    };
    if !is_well_formed {
        return Err(VerifyError::Malformed);
    }
    let message = nonce.as_str().as_bytes().to_vec();
    Ok(Proof::new(key.clone(), message, signature))
}

/// Verifies a signature; see [`proof`].
///
/// # Errors
///
/// [`VerifyError`] when the signature is not that of `key` over the text of
/// `nonce`.
pub fn verify(key: &PublicKey, nonce: &Nonce, signature: &str) -> Result<(), VerifyError> {
    if proof(key, nonce, signature)?.verify() {
        Ok(())
    } else {
        Err(VerifyError::Invalid)
    }
}
