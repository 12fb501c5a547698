//! What a star and its peers say to each other.
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
//! 4. [`event`]: the registry of event names.
//! 5. [`call`]: what a peer asks, decoded from a hostile packet.
//! 6. [`reply`] and [`notice`]: what the star answers and announces.
//! 7. [`refusal`]: every way in which the star says no.
//! 8. [`challenge`]: how a peer proves that an address is its own.
//! 9. [`proof`]: signatures as work to be done elsewhere.
//! 10. [`client`]: the same calls, notices and replies from the client's side.
//! 11. [`native`]: the native profile.
//! 12. [`pipe`]: what goes through the WebSocket of a dialed connection.

#![deny(missing_docs)]

pub mod limits;

pub mod address;
pub mod stream;

pub mod call;
pub mod event;
pub mod notice;
pub mod reply;

pub mod challenge;
pub mod proof;
pub mod refusal;

pub mod client;

pub mod native;
pub mod pipe;

/// Bodies of the fuzz targets, not part of the API.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "../../../fuzz/bodies/wire.rs"]
pub mod fuzzing;

pub use address::{AddressError, AddressKey, AddressRule, PeerAddress, PeerSpelling, StarAddress};
pub use call::{CallError, CallKind, CalleeAnswer, ClientCall};
pub use challenge::{KeyError, Nonce, VerifyError};
pub use client::{
    DialReply, EncodedCall, JoinReply, NoticeError, ReplyError, ServerNotice, StarRefusal,
};
pub use event::EventName;
pub use notice::ServerEvent;
pub use proof::Proof;
pub use refusal::{Cut, Refusal};
pub use reply::Reply;
pub use stream::{DialId, Direction, StreamEnd, StreamId};
