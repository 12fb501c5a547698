//! Who is in which namespace, and who has not heard of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;
use starpoint_wire::native::{
    BATCH_CHANGES, EncodedEvent, Event, Namespace, Page, PresenceBatch, Sync,
};

use crate::{
    id::ConnId,
    quota::{MAX_BATCH_INTERVAL, MIN_BATCH_INTERVAL, PRESENCE_PER_SECOND},
};

/// All namespaces that somebody is in.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    spaces: BTreeMap<Namespace, Space>,
}

#[derive(Debug, Default)]
struct Space {
    peers: BTreeMap<PeerId, Entry>,
    readers: BTreeSet<ConnId>,
    /// Number of the last batch.
    seq: u64,
    /// Whom the next batch is about.
    changes: BTreeMap<PeerId, Change>,
    flush_at: Option<Instant>,
    flushed: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    text: Arc<str>,
    /// Connections and addresses that say that it is here.
    n_claims: usize,
}

#[derive(Debug)]
struct Change {
    text: Arc<str>,
    /// Whether the last batch left it here.
    was_here: bool,
    is_here: bool,
    /// A page told of it ahead of the batch: its reader has to hear what comes of
    /// it, even if that is what was before.
    is_told: bool,
}

/// What a namespace has to say.
#[derive(Debug)]
pub(crate) struct Flush {
    /// The batches, in order.
    pub(crate) batches: Vec<EncodedEvent>,
    pub(crate) readers: Vec<ConnId>,
}

impl Spaces {
    /// One more claims that the peer is here; returns when to flush, if that has to
    /// be set.
    pub(crate) fn add(
        &mut self,
        namespace: &Namespace,
        peer: PeerId,
        now: Instant,
    ) -> Option<Instant> {
        let space = self.spaces.entry(namespace.clone()).or_default();
        let entry = space.peers.entry(peer).or_insert_with(|| Entry {
            text: peer.to_base58().into(),
            n_claims: 0,
        });
        entry.n_claims += 1;
        if entry.n_claims > 1 {
            return None;
        }
        let text = Arc::clone(&entry.text);
        space.changed(peer, text, true, now)
    }

    /// One claims no longer that the peer is here; the last one makes it leave.
    pub(crate) fn remove(
        &mut self,
        namespace: &Namespace,
        peer: PeerId,
        now: Instant,
    ) -> Option<Instant> {
        let space = self.spaces.get_mut(namespace)?;
        let entry = space.peers.get_mut(&peer)?;
        entry.n_claims -= 1;
        if entry.n_claims > 0 {
            return None;
        }
        let text = Arc::clone(&entry.text);
        space.peers.remove(&peer);
        let flush_at = space.changed(peer, text, false, now);
        self.forget_if_empty(namespace);
        flush_at
    }

    pub(crate) fn subscribe(&mut self, namespace: &Namespace, conn: ConnId) {
        let space = self.spaces.entry(namespace.clone()).or_default();
        space.readers.insert(conn);
    }

    pub(crate) fn unsubscribe(&mut self, namespace: &Namespace, conn: ConnId) {
        if let Some(space) = self.spaces.get_mut(namespace) {
            space.readers.remove(&conn);
        }
        self.forget_if_empty(namespace);
    }

    fn forget_if_empty(&mut self, namespace: &Namespace) {
        let is_empty = |space: &Space| space.peers.is_empty() && space.readers.is_empty();
        if self.spaces.get(namespace).is_some_and(is_empty) {
            self.spaces.remove(namespace);
        }
    }

    /// Returns peers behind `after`, at most `limit`. What waits for the next batch
    /// is in the page already; hearing of it again changes nothing.
    pub(crate) fn page(
        &mut self,
        namespace: &Namespace,
        after: Option<PeerId>,
        limit: usize,
    ) -> Page {
        let mut page = Page {
            namespace: namespace.clone(),
            seq: 0,
            total: 0,
            peers: Vec::new(),
            next: None,
        };
        let Some(space) = self.spaces.get_mut(namespace) else {
            return page;
        };
        page.seq = space.seq;
        page.total = space.peers.len();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        for (peer, entry) in space.peers.range((from, Bound::Unbounded)) {
            if page.peers.len() == limit {
                page.next = last;
                break;
            }
            page.peers.push(Arc::clone(&entry.text));
            last = Some(*peer);
        }
        let to = page.next.map_or(Bound::Unbounded, Bound::Included);
        for (_, change) in space.changes.range_mut((from, to)) {
            change.is_told = true;
        }
        page
    }

    /// Returns what the readers of a namespace have not heard, if its time has come.
    pub(crate) fn flush(&mut self, namespace: &Namespace, now: Instant) -> Option<Flush> {
        let space = self.spaces.get_mut(namespace)?;
        if space.flush_at.is_none_or(|at| at > now) {
            return None;
        }
        space.flush_at = None;
        space.flushed = Some(now);
        let batches = space.take_batches(namespace);
        let readers = space.readers.iter().copied().collect();
        Some(Flush { batches, readers })
    }

    /// Returns the arguments that tell a reader that it has missed something.
    pub(crate) fn lost(&self, namespace: &Namespace) -> EncodedEvent {
        let seq = self.spaces.get(namespace).map_or(0, |space| space.seq);
        let batch = PresenceBatch {
            namespace: namespace.clone(),
            seq,
            joined: Vec::new(),
            left: Vec::new(),
            sync: Sync::Lost,
        };
        Event::Presence(batch).encode()
    }

    /// Returns how many namespaces there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.spaces.len()
    }
}

impl Space {
    fn changed(
        &mut self,
        peer: PeerId,
        text: Arc<str>,
        is_here: bool,
        now: Instant,
    ) -> Option<Instant> {
        if self.readers.is_empty() {
            return None;
        }
        if let Some(change) = self.changes.get_mut(&peer) {
            change.is_here = is_here;
            if change.was_here == is_here && !change.is_told {
                self.changes.remove(&peer);
            }
            return None;
        }
        let change = Change {
            text,
            was_here: !is_here,
            is_here,
            is_told: false,
        };
        self.changes.insert(peer, change);
        if self.flush_at.is_some() {
            return None;
        }
        let at = self
            .flushed
            .map_or(now, |flushed| now.max(flushed + self.interval()));
        self.flush_at = Some(at);
        Some(at)
    }

    /// Time between two batches: longer the more hear of them (R-PRES-5).
    fn interval(&self) -> Duration {
        let n_readers = u32::try_from(self.readers.len()).unwrap_or(u32::MAX);
        let fair = Duration::from_secs(1) * n_readers / PRESENCE_PER_SECOND;
        fair.clamp(MIN_BATCH_INTERVAL, MAX_BATCH_INTERVAL)
    }

    fn take_batches(&mut self, namespace: &Namespace) -> Vec<EncodedEvent> {
        let changes: Vec<Change> = std::mem::take(&mut self.changes).into_values().collect();
        if self.readers.is_empty() {
            return Vec::new();
        }
        let mut batches = Vec::with_capacity(changes.len().div_ceil(BATCH_CHANGES));
        for part in changes.chunks(BATCH_CHANGES) {
            self.seq += 1;
            let texts = |is_here: bool| {
                let of_kind = part.iter().filter(|change| change.is_here == is_here);
                of_kind.map(|change| Arc::clone(&change.text)).collect()
            };
            let batch = PresenceBatch {
                namespace: namespace.clone(),
                seq: self.seq,
                joined: texts(true),
                left: texts(false),
                sync: Sync::InOrder,
            };
            batches.push(Event::Presence(batch).encode());
        }
        batches
    }
}
