//! The native profile: one-round-trip joins, presence by change, pipes.
//!
//! It runs on the same Socket.IO connection as the legacy profile, with events of
//! its own, `star-…`, and objects for arguments. A client offers it with
//! [`OFFER`] in the handshake query; a star that speaks it says so in its open
//! packet, with [`OPEN_KEY`], and sends a [`Hello`] before anything else. The
//! normative text is `spec/13-native.md`.

mod call;
mod hello;
mod join;
mod namespace;
mod notice;
mod page;
mod record;
mod reply;
mod token;
mod wire;

pub use call::{JoinCall, StarCall};
pub use hello::{Hello, Nonce32, Openness};
pub use join::{JoinStatement, ProofError};
pub use namespace::Namespace;
pub use notice::{NativeNotice, PresenceBatch, StarEvent, Sync};
pub use page::Page;
pub use record::PeerRecord;
pub use reply::{DialAnswer, JoinAnswer, PageAnswer, StarReply};
pub use token::PipeToken;

/// Name and value that a client adds to the handshake query to offer the profile
/// (R-NATIVE-1).
pub const OFFER: (&str, &str) = ("star", "1");
/// Key of the open packet of a star that takes the offer; its value is
/// [`VERSION`].
pub const OPEN_KEY: &str = "star";
/// Version of the profile.
pub const VERSION: u32 = 1;

/// Path of the pipes of a star; the token follows (R-DIAL-10).
pub const PIPE_PATH: &str = "/star/pipe/";

/// Most namespaces of one connection (R-NATIVE-6).
pub const MAX_NAMESPACES: usize = 16;
/// Longest name of a namespace, in bytes.
pub const MAX_NAMESPACE_BYTES: usize = 64;
/// Longest signed peer record, in bytes (R-NATIVE-7).
pub const MAX_RECORD_BYTES: usize = 2048;
/// Longest public key, in bytes; an RSA key of 8192 bits has 1 062.
pub const MAX_KEY_BYTES: usize = 2048;
/// Longest signature, in bytes; one of RSA with 8192 bits has 1 024.
pub const MAX_SIGNATURE_BYTES: usize = 1024;
/// Most peers of the first page, in the answer to a join (R-PRES-2).
pub const FIRST_PAGE_PEERS: usize = 64;
/// Most peers of a page that is asked for.
pub const PAGE_PEERS: usize = 512;
/// Most changes in one batch (R-PRES-4).
pub const BATCH_CHANGES: usize = 1024;
/// Most entries that a client takes in a page or a batch.
pub const MAX_ENTRIES: usize = 4096;

#[cfg(test)]
mod tests;
