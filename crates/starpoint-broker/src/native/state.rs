//! What a broker knows of a connection of the native profile.

use std::{collections::BTreeSet, time::Instant};

use libp2p_identity::PeerId;
use starpoint_wire::native::{Namespace, Nonce32, PeerRecord};

use crate::{id::SourceId, quota::Bucket};

/// The native half of a connection.
#[derive(Debug)]
pub(crate) struct Native {
    pub(crate) stage: Stage,
    /// Namespaces of which it has missed a batch.
    pub(crate) behind: BTreeSet<Namespace>,
    /// Bytes of pages that it has read.
    pub(crate) pages: Bucket,
}

/// ```text
///   Greeted ── one join ──► Proving ── valid ──► Joined ── left, or taken over ──► Left
///      └─────── refused ───────┴──────────────────────────────────────────────────▲
/// ```
#[derive(Debug)]
pub(crate) enum Stage {
    /// It may answer the challenge, once.
    Greeted(Greeting),
    /// The signature of its join is being verified.
    Proving,
    Joined(Joined),
    /// It may not join again on this connection.
    Left,
}

/// What the hello asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Greeting {
    pub(crate) challenge: Nonce32,
    /// As in the hello, in seconds of Unix time.
    pub(crate) expires: u64,
    pub(crate) deadline: Instant,
}

#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) peer: PeerId,
    pub(crate) record: Option<PeerRecord>,
    pub(crate) standing: Standing,
    /// Empty for a visitor.
    pub(crate) namespaces: Vec<Namespace>,
}

/// What a native peer has joined as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has an address and can be dialed.
    Resident,
    /// It has none (R-NATIVE-10).
    Visitor,
}

/// A native peer in its grace period.
#[derive(Debug)]
pub(crate) struct Away {
    pub(crate) until: Instant,
    /// Where its connection came from.
    pub(crate) source: SourceId,
    pub(crate) namespaces: Vec<Namespace>,
}

impl Native {
    pub(crate) fn new(greeting: Greeting) -> Self {
        Self {
            stage: Stage::Greeted(greeting),
            behind: BTreeSet::new(),
            pages: Bucket::default(),
        }
    }

    pub(crate) fn joined(&self) -> Option<&Joined> {
        match &self.stage {
            Stage::Joined(joined) => Some(joined),
            Stage::Greeted(_) | Stage::Proving | Stage::Left => None,
        }
    }
}
