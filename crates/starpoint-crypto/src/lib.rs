//! Hashes, message authentication codes, the domains of signed bytes, and session
//! codes.
//!
//! This is the only crate of Starpoint that names cryptographic primitives. What
//! it does not do: keys and signatures of peers are those of libp2p-identity, and
//! the encryption of connections is libp2p's Noise and rustls. Everything here is
//! pure: random bytes are a parameter, so it runs in browsers, too.
//!
//! ```text
//!  starpoint-wire   Statement(Hello), Statement(Join) ─► signed by a keypair
//!  a tunnel's host  Secret + place ─► Code ─► text, handed over by people
//!  its client       text ─► Code ─► SessionId, CodeProof ─► sent to the host
//! ```
//!
//! # Rules
//!
//! 1. Bytes that are signed, hashed for a purpose, or keyed begin with a
//!    [`Domain`], so that a value made for one purpose is worth nothing for another.
//!    All domains are in one table, with a test vector each.
//! 2. Secrets are compared in constant time, wiped when they are dropped, and not
//!    shown by `Debug`.
//!
//! # Reading order
//!
//! 1. [`Domain`]: the table.
//! 2. [`Statement`]: bytes to be signed.
//! 3. [`sha256`]: the hash without a domain, for formats that others have defined.
//! 4. [`secret`]: the secret in a code, the session that it names, and the proof
//!    that its holder shows.
//! 5. [`code`]: the code as text.

#![deny(missing_docs)]

mod domain;
mod hash;
mod statement;

pub mod code;
pub mod secret;

/// Bodies of the fuzz targets, not part of the API.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "../../../fuzz/bodies/crypto.rs"]
pub mod fuzzing;

pub use code::Code;
pub use domain::{Domain, Purpose};
pub use hash::sha256;
pub use secret::{CodeProof, Secret, SessionId};
pub use statement::Statement;
