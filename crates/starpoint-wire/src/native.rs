//! The native profile: one-round-trip joins, presence by change, pipes.
//!
//! It runs on the same Socket.IO connection as the legacy profile, with events of
//! its own, `star-…`, and objects for arguments. A client offers it with
//! [`OFFER`] and a nonce in the handshake query; a star that speaks it says so in its open
//! packet, with [`OPEN_KEY`], and sends a signed [`Hello`] before anything else. The
//! normative text is `spec/13-native.md`.

mod call;
mod event;
mod hello;
mod host;
mod join;
mod namespace;
mod page;
mod record;
mod reply;
mod token;
mod wire;

pub use call::{Call, JoinCall};
pub use event::{EncodedEvent, Event, PresenceBatch, Sync};
pub use hello::{ClientNonce, Hello, Nonce32, Openness, SignedHello};
pub use host::{HostPattern, StarHost};
pub use join::JoinTerms;
pub use namespace::Namespace;
pub use page::Page;
pub use record::PeerRecord;
pub use reply::{DialReply, JoinReply, PageReply, Reply};
pub use token::PipeToken;

pub use crate::proof::ProofError;

/// Name and value that a client adds to the handshake query to offer the profile
/// (R-NATIVE-1).
pub const OFFER: (&str, &str) = ("star", "1");
/// Name of the client's nonce in the handshake query; its value is the text of a
/// [`ClientNonce`] (R-NATIVE-12).
pub const NONCE_KEY: &str = "nonce";
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
/// Longest public key, in bytes; an RSA key of 4096 bits has 550.
pub const MAX_KEY_BYTES: usize = 2048;
/// Longest signature, in bytes; one of RSA with 4096 bits has 512.
pub const MAX_SIGNATURE_BYTES: usize = 1024;
/// Most hosts that an operator names (R-NATIVE-14).
pub const MAX_HOSTS: usize = 16;
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
