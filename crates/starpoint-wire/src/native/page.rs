//! A part of a namespace.

use std::sync::Arc;

use libp2p_identity::PeerId;

use super::{
    MAX_ENTRIES, Namespace,
    wire::{self, PageWire},
};

/// Peers of a namespace in the order of their ids' bytes, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Which namespace.
    pub namespace: Namespace,
    /// Number of the last batch that is in the page.
    pub seq: u64,
    /// How many are in the namespace, the reader of the page included.
    pub total: usize,
    /// Ids in base58, as they go over the wire.
    pub peers: Vec<Arc<str>>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<PeerId>,
}

impl Page {
    pub(super) fn to_wire(&self) -> PageWire<'_> {
        PageWire {
            ns: self.namespace.as_str().into(),
            seq: self.seq,
            total: self.total,
            peers: self.peers.iter().map(|peer| (&**peer).into()).collect(),
            next: self.next.map(|peer| peer.to_base58().into()),
        }
    }

    pub(super) fn from_wire(page: PageWire<'_>) -> Option<Self> {
        if page.peers.len() > MAX_ENTRIES {
            return None;
        }
        let next = match page.next {
            Some(next) => Some(next.parse().ok()?),
            None => None,
        };
        Some(Self {
            namespace: Namespace::parse(&page.ns)?,
            seq: page.seq,
            total: page.total,
            peers: page.peers.iter().map(|peer| (&**peer).into()).collect(),
            next,
        })
    }

    /// Returns about how many bytes the page takes on the wire.
    pub fn weight(&self) -> usize {
        96 + self.peers.iter().map(|peer| peer.len() + 3).sum::<usize>()
    }

    /// Returns the peers whose ids parse; others are the star's fault and left out.
    pub fn ids(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.iter().filter_map(|peer| peer.parse().ok())
    }

    /// Returns the answer to `star-peers`.
    pub(super) fn encode(&self) -> String {
        wire::to_text(&((), self.to_wire()))
    }
}
