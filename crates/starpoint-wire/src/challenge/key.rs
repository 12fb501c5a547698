//! Public keys as they are sent, and whom they belong to.

use data_encoding::{BASE64_NOPAD, HEXLOWER};
use libp2p_identity::{KeyType, PeerId, PublicKey};
use starpoint_crypto::sha256;

use super::{der, hex};
use crate::{limits::MAX_PROOF_BYTES, refusal::Refusal};

/// Codes of the two hash functions that make a peer id of a key.
const IDENTITY: u64 = 0x00;
const SHA2_256: u64 = 0x12;

/// Largest RSA modulus: 8192 bits, the most that can be verified.
const MAX_RSA_MODULUS_BYTES: usize = 1024;

/// Why a text is no public key: its sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Longer than [`MAX_PROOF_BYTES`].
    #[error("public key too long")]
    TooLong,
    /// Neither hex nor base64 of a public key in libp2p's encoding.
    #[error("malformed public key")]
    Malformed,
    /// An RSA key of less than 2048 or more than 8192 bits, or one that is not a
    /// modulus and an exponent.
    #[error("unusable RSA key")]
    UnusableRsa,
}

impl From<KeyError> for Refusal {
    fn from(_: KeyError) -> Self {
        Self::InvalidKey
    }
}

/// Decodes a public key (R-CHAL-2).
///
/// The bytes are libp2p's protobuf message, of an RSA, Ed25519, secp256k1 or
/// ECDSA key. The text is their hex, read like the original up to the first
/// character that is none; if that is no key, base64 of the standard alphabet,
/// with padding or without.
///
/// # Errors
///
/// [`KeyError`] when neither is a key that a signature can be verified with.
pub fn decode_public_key(text: &str) -> Result<PublicKey, KeyError> {
    if text.len() > MAX_PROOF_BYTES {
        return Err(KeyError::TooLong);
    }
    let from_hex = parse(&hex::decode_prefix(text));
    from_hex.or_else(|error| {
        let unpadded = text.trim_end_matches('=');
        let bytes = BASE64_NOPAD
            .decode(unpadded.as_bytes())
            .map_err(|_| error)?;
        parse(&bytes)
    })
}

/// Encodes a public key as the original client sends it: lower-case hex
/// (R-CHAL-2).
pub fn encode_public_key(key: &PublicKey) -> String {
    HEXLOWER.encode(&key.encode_protobuf())
}

/// Returns whether `peer` is the id of `key`, by either derivation: the hash
/// `Qm…`, which every key had once, or the key itself, for keys of up to 42 bytes
/// (R-CHAL-3).
pub fn key_belongs_to(key: &PublicKey, peer: &PeerId) -> bool {
    let encoded = key.encode_protobuf();
    let id = peer.as_ref();
    match id.code() {
        IDENTITY => id.digest() == encoded,
        SHA2_256 => id.digest() == sha256(&encoded),
        _ => false,
    }
}

fn parse(bytes: &[u8]) -> Result<PublicKey, KeyError> {
    let key = PublicKey::try_decode_protobuf(bytes).map_err(|_| KeyError::Malformed)?;
    match key.key_type() {
        KeyType::RSA if !is_usable_rsa(&key, MAX_RSA_MODULUS_BYTES) => Err(KeyError::UnusableRsa),
        KeyType::RSA | KeyType::Ed25519 | KeyType::Secp256k1 | KeyType::Ecdsa => Ok(key),
    }
}

/// Returns whether an RSA key can be verified with, and has a modulus of at most so
/// many bytes. The library takes any bytes for a key and fails when it verifies.
pub(crate) fn is_usable_rsa(key: &PublicKey, max_modulus_bytes: usize) -> bool {
    key.clone()
        .try_into_rsa()
        .is_ok_and(|rsa| der::is_usable_rsa_key(&rsa.encode_pkcs1(), max_modulus_bytes))
}
