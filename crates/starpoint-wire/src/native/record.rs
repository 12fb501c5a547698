//! Signed peer records, as a star carries them.

use std::{fmt, sync::Arc};

use super::MAX_RECORD_BYTES;

/// A libp2p signed envelope with a peer record (libp2p RFC 0003), unread.
///
/// The star hands it on and does not look into it: who reads it trusts no star and
/// checks the signature anyway. At most [`MAX_RECORD_BYTES`]. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerRecord(Arc<[u8]>);

impl PeerRecord {
    /// Takes an envelope; `None` when it is empty or too long.
    pub fn new(envelope: &[u8]) -> Option<Self> {
        (1..=MAX_RECORD_BYTES)
            .contains(&envelope.len())
            .then(|| Self(envelope.into()))
    }

    /// Returns the envelope.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PeerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerRecord({} bytes)", self.0.len())
    }
}
