//! Who should be in which namespace.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;
use starpoint_broker::ConnId;
use starpoint_wire::native::{Namespace, Page};

/// Every peer that is here, or counts as such.
#[derive(Debug)]
pub struct Model {
    grace: Duration,
    peers: BTreeMap<PeerId, Here>,
}

#[derive(Debug)]
struct Here {
    /// Its id as it goes over the wire.
    text: Arc<str>,
    namespaces: BTreeSet<Namespace>,
    by: By,
}

/// Why a peer is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Connection(ConnId),
    /// Its connection broke; until when that is forgiven.
    Grace(Instant),
}

impl Model {
    /// Creates a model of an empty star with this grace period.
    pub fn new(grace: Duration) -> Self {
        Self {
            grace,
            peers: BTreeMap::new(),
        }
    }

    /// A peer joins; returns whether it was away, and which connection it takes
    /// over from.
    pub fn join(
        &mut self,
        peer: PeerId,
        conn: ConnId,
        namespaces: &[Namespace],
    ) -> (bool, Option<ConnId>) {
        let here = Here {
            text: peer.to_base58().into(),
            namespaces: namespaces.iter().cloned().collect(),
            by: By::Connection(conn),
        };
        match self.peers.insert(peer, here).map(|before| before.by) {
            Some(By::Connection(old)) => (false, Some(old)),
            Some(By::Grace(_)) => (true, None),
            None => (false, None),
        }
    }

    /// Returns whether a peer is here by this connection.
    pub fn is_here(&self, peer: &PeerId, conn: ConnId) -> bool {
        let here = self.peers.get(peer);
        here.is_some_and(|here| here.by == By::Connection(conn))
    }

    /// A peer leaves, and says so, or is silent for too long.
    pub fn leave(&mut self, peer: &PeerId, conn: ConnId) {
        if self.is_here(peer, conn) {
            self.peers.remove(peer);
        }
    }

    /// The connection of a peer breaks.
    pub fn lose(&mut self, peer: &PeerId, conn: ConnId, now: Instant) {
        let until = now + self.grace;
        if let Some(here) = self.peers.get_mut(peer)
            && here.by == By::Connection(conn)
        {
            here.by = By::Grace(until);
        }
    }

    /// Lets time pass.
    pub fn pass_time(&mut self, now: Instant) {
        self.peers.retain(|_, here| match here.by {
            By::Connection(_) => true,
            By::Grace(until) => until > now,
        });
    }

    /// Returns whether nobody is in a namespace.
    pub fn is_empty(&self, namespace: &Namespace) -> bool {
        self.in_order(namespace).next().is_none()
    }

    /// Returns the ids of who is in a namespace.
    pub fn members(&self, namespace: &Namespace) -> BTreeSet<Arc<str>> {
        let members = self.in_order(namespace);
        members.map(|(_, text)| Arc::clone(text)).collect()
    }

    fn in_order(&self, namespace: &Namespace) -> impl Iterator<Item = (PeerId, &Arc<str>)> {
        let members = self.peers.iter();
        members
            .filter(|(_, here)| here.namespaces.contains(namespace))
            .map(|(peer, here)| (*peer, &here.text))
    }

    /// Checks a page against what is.
    ///
    /// # Panics
    ///
    /// When it is not exactly that.
    pub fn check_page(&self, page: &Page, after: Option<PeerId>, limit: usize) {
        let members: Vec<_> = self.in_order(&page.namespace).collect();
        assert_eq!(page.total, members.len(), "{}", page.namespace);
        let from = members.partition_point(|(peer, _)| Some(*peer) <= after);
        let (listed, rest) = members[from..].split_at(limit.min(members.len() - from));
        let is_same = listed.iter().map(|(_, text)| *text).eq(&page.peers);
        assert!(is_same, "{} after {after:?}: {page:?}", page.namespace);
        let last = listed.last().map(|(peer, _)| *peer);
        let next = last.filter(|_| !rest.is_empty());
        assert_eq!(page.next, next, "{}", page.namespace);
    }
}
