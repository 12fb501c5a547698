//! What a host hands to a client: where it is, its id, and a secret.
//!
//! The types are those of [`starpoint_crypto`], which has the format and the
//! primitives.

pub use starpoint_crypto::{
    code::{Code, CodeError, MAX_CODE_CHARS},
    secret::{CodeProof, Secret, SessionId},
};
