//! Addresses: `/…/p2p-websocket-star/p2p/<id>` and its old spellings.
//!
//! Two views of the same kind of text. A [`PeerAddress`] is what a peer sends to
//! the star: kept byte for byte, because old peers compare text, and matched by
//! its [`AddressKey`]. A [`StarAddress`] is what a client dials or listens on:
//! taken apart, so that a server URL can be made of it. `spec/02-addresses.md`
//! has the rules.

mod parts;
mod peer;
mod star;

use std::{fmt, sync::Arc};

use multiaddr::Multiaddr;

use crate::refusal::Refusal;

pub use peer::{PeerAddress, PeerSpelling};
pub use star::StarAddress;
pub(crate) use star::is_dns_name;

/// Which addresses a star lets peers join with (R-ADDR-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressRule {
    /// Every address that the original star can parse.
    AnyMultiaddr,
    /// Only `/<host>[/tcp/<port>]/ws|wss/p2p-websocket-star[/p2p/<id>]`, where
    /// `tcp` may be missing behind a name.
    StarOnly,
}

/// Why a text is no address for the purpose at hand: its sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Longer than [`MAX_ADDRESS_BYTES`](crate::limits::MAX_ADDRESS_BYTES).
    #[error("address too long")]
    TooLong,
    /// No text, or nothing but slashes.
    #[error("empty address")]
    Empty,
    /// Not a multiaddr: no slash in front, an unknown protocol, or a value that
    /// is missing or wrong.
    #[error("malformed address")]
    Malformed,
    /// A multiaddr, but not that of a star.
    #[error("not a star address")]
    NotStar,
    /// The host of a star address cannot be part of a URL.
    #[error("invalid host name in star address")]
    InvalidHost,
}

impl From<AddressError> for Refusal {
    fn from(_: AddressError) -> Self {
        Self::InvalidAddress
    }
}

/// What addresses are compared by: their parsed form (R-ADDR-2).
///
/// Two texts with the same key differ in spelling alone: `/ipfs/` for `/p2p/`,
/// additional slashes, zeros in front of a port, the short forms of an IPv6
/// address. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey(Arc<[u8]>);

impl AddressKey {
    fn of(address: &Multiaddr) -> Self {
        Self(address.as_ref().into())
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Multiaddr::try_from(self.0.to_vec()) {
            Ok(address) => write!(f, "AddressKey({address})"),
            Err(_) => write!(f, "AddressKey({:02x?})", self.0),
        }
    }
}
