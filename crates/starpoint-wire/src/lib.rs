//! The messages between a star and its peers.
//!
//! Everything here is data: star addresses, the events and replies of the
//! profiles, the join challenge, and the closed list of refusals. Nothing
//! opens a socket, reads a clock or draws a random number, so every rule can be
//! tested byte for byte. The normative text is `spec/`.
//!
//! # Reading order
//!
//! 1. [`limits`]: every bound on what a peer may send, in one place.
//! 2. [`address`]: `/…/p2p-websocket-star/p2p/<id>` and its old spellings.
//! 3. [`stream`]: the names of the two streams of a dialed connection.
//! 4. [`names`]: the registry of event names.
//! 5. [`call`]: calls of both profiles, decoded from an untrusted packet.
//! 6. [`legacy`] and [`native`]: the two profiles, each with its `Call`, `Event` and
//!    `Reply`.
//! 7. [`refusal`]: the closed list of refusals.
//! 8. [`challenge`]: the proof that an address belongs to a peer.
//! 9. [`proof`]: signatures as work to be done elsewhere.
//! 10. [`pipe`]: the frames inside the WebSocket of a dialed connection.

#![deny(missing_docs)]

pub mod limits;

pub mod address;
pub mod stream;

pub mod call;
pub mod legacy;
pub mod names;
pub mod native;
pub mod reply;

pub mod challenge;
pub mod proof;
pub mod refusal;

pub mod pipe;

/// Bodies of the fuzz targets, not part of the API.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "../../../fuzz/bodies/wire.rs"]
pub mod fuzzing;

pub use address::{AddressError, AddressKey, AddressRule, PeerAddress, PeerSpelling, StarAddress};
pub use call::{Call, CallError, CallKind, EncodedCall};
pub use challenge::{KeyError, Nonce, VerifyError};
pub use proof::Proof;
pub use refusal::{Cut, Refusal, RemoteRefusal};
pub use reply::ReplyError;
pub use stream::{DialId, Direction, StreamEnd, StreamId};
