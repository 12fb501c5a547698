//! The join challenge: how a peer proves that an address is its own.
//!
//! The peer shows its public key, the star sends a [`Nonce`], the peer returns
//! a signature over the nonce's text. `spec/05-challenge.md` has the rules.
//!
//! The signed bytes carry no domain string: the original profile signs whatever
//! 72 characters the star sends, and so must everyone who speaks it.

mod der;
mod hex;
mod key;
mod nonce;
mod signature;

pub(crate) use key::is_usable_rsa;
pub use key::{KeyError, decode_public_key, encode_public_key, key_belongs_to};
pub use nonce::Nonce;
pub use signature::{VerifyError, proof, sign, verify};
