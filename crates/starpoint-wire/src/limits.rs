//! Bounds on what the star accepts from a peer, and the times it waits.
//!
//! `spec/04-limits.md` lists the same numbers with the reasons for them.

use std::time::Duration;

/// Longest address accepted in a call, in bytes (R-LIMIT-1).
///
/// A DNS name has at most 253 bytes and a peer id at most 64; the rest is room
/// for spelling.
pub const MAX_ADDRESS_BYTES: usize = 1024;

/// Longest dial id, in bytes (R-LIMIT-2). The original client sends a UUID of 36.
pub const MAX_DIAL_ID_BYTES: usize = 256;

/// Longest second argument of a join, in bytes: a key or a signature, in hex or
/// base64 (R-LIMIT-3). An RSA key of 8192 bits in hex has 2 108.
pub const MAX_PROOF_BYTES: usize = 8 * 1024;

/// Longest error text that the star passes on from one peer to another, in
/// bytes; a longer one is cut at a character border (R-LIMIT-4).
pub const MAX_ERROR_TEXT_BYTES: usize = 1024;

/// Longest event name that is looked at, in bytes; a longer one is unknown.
pub const MAX_EVENT_NAME_BYTES: usize = MAX_DIAL_ID_BYTES + 64;

/// Most arguments of an event that are looked at; the rest are ignored, as the
/// original does.
pub const MAX_ARGUMENTS: usize = 4;

/// How long a challenge can be answered (R-JOIN-5).
pub const NONCE_LIFETIME: Duration = Duration::from_secs(60);

/// Time that a callee has to answer a dial (R-DIAL-6).
pub const DIAL_DEADLINE: Duration = Duration::from_secs(10);

/// Default time between two announcements of one peer to another (R-PEER-2).
pub const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(10);

/// Default for the largest message that a peer may send, in bytes of payload.
///
/// The original's client sends chunks of any size; 16 MiB is the largest that
/// the reference tests send.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
