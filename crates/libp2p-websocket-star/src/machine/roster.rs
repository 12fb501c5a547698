//! Who is in the namespaces of a native star, kept by what has changed.

use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::PeerId;
use starpoint_wire::native::{Namespace, Page, PresenceBatch, Sync};

use super::presence::Change;

/// The namespaces of one home.
///
/// ```text
///   first page ─► more pages ─► whole ─ batch in order ─► whole
///        ▲                        └─ gap, or told so ─► first page again
///        └────────────────────────────────┘
/// ```
#[derive(Debug)]
pub(crate) struct Roster {
    spaces: BTreeMap<Namespace, Space>,
    max_peers: usize,
}

#[derive(Debug, Default)]
struct Space {
    /// Number of the last batch.
    seq: u64,
    peers: BTreeSet<PeerId>,
    /// The snapshot that is being read.
    snapshot: Option<Snapshot>,
}

impl Space {
    /// Forgets peers until there are at most `max_peers`. While a snapshot is read, those
    /// from before are kept as well; a star that begins one after the other and ends none
    /// would add to them without bound.
    fn shrink_to(&mut self, max_peers: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        while self.peers.len() > max_peers
            && let Some(peer) = self.peers.pop_first()
        {
            changes.push(Change::Left(peer));
        }
        changes
    }
}

#[derive(Debug, Default)]
struct Snapshot {
    /// Who was in the pages so far.
    peers: BTreeSet<PeerId>,
    /// Behind whom the page begins that is awaited.
    after: Option<PeerId>,
}

/// A page to ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) namespace: Namespace,
    pub(crate) after: Option<PeerId>,
}

/// What a page or batch leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) changes: Vec<Change>,
    pub(crate) wanted: Option<Wanted>,
}

impl Roster {
    /// Creates an empty roster of these namespaces, of at most `max_peers` peers each, and
    /// twice as many while a snapshot replaces them.
    pub(crate) fn new(namespaces: &[Namespace], max_peers: usize) -> Self {
        let spaces = namespaces.iter().map(|n| (n.clone(), Space::default()));
        Self {
            spaces: spaces.collect(),
            max_peers,
        }
    }

    /// Takes the answer to a question for a page; `after` is what was asked for. The
    /// answer to a join has pages that nobody asked for.
    pub(crate) fn page(&mut self, page: &Page, after: Option<PeerId>) -> Outcome {
        let Some(space) = self.spaces.get_mut(&page.namespace) else {
            return Outcome::default();
        };
        let mut changes = Vec::new();
        if after.is_none() {
            space.seq = page.seq;
            space.snapshot = Some(Snapshot::default());
            changes = space.shrink_to(self.max_peers);
        }
        // A page of a snapshot that was begun anew is of no more use.
        let awaited = space.snapshot.as_mut().filter(|s| s.after == after);
        let Some(snapshot) = awaited else {
            return self.without_those_elsewhere(changes);
        };
        let room = self.max_peers.saturating_sub(snapshot.peers.len());
        snapshot.peers.extend(page.ids().take(room));
        snapshot.after = page.next;
        for peer in page.ids().take(room) {
            if space.peers.insert(peer) {
                changes.push(Change::Joined(peer));
            }
        }
        let is_progress = page.next.is_some() && page.next != after && room > page.peers.len();
        if let Some(next) = page.next.filter(|_| is_progress) {
            let wanted = Some(Wanted {
                namespace: page.namespace.clone(),
                after: Some(next),
            });
            let outcome = self.without_those_elsewhere(changes);
            return Outcome { wanted, ..outcome };
        }
        let fresh = space.snapshot.take().unwrap_or_default();
        let gone: Vec<_> = space.peers.difference(&fresh.peers).copied().collect();
        for peer in gone {
            space.peers.remove(&peer);
            changes.push(Change::Left(peer));
        }
        self.without_those_elsewhere(changes)
    }

    /// Takes a batch. One that does not go on from the last makes the roster ask for
    /// the whole (R-PRES-7).
    pub(crate) fn batch(&mut self, batch: &PresenceBatch) -> Outcome {
        let Some(space) = self.spaces.get_mut(&batch.namespace) else {
            return Outcome::default();
        };
        if batch.sync == Sync::InOrder && batch.seq <= space.seq {
            return Outcome::default();
        }
        let is_gap = batch.sync == Sync::Lost || batch.seq != space.seq + 1;
        space.seq = batch.seq;
        let mut changes = Vec::new();
        for peer in batch.joined.iter().filter_map(|id| id.parse().ok()) {
            if space.peers.len() >= self.max_peers {
                break;
            }
            if let Some(snapshot) = &mut space.snapshot {
                snapshot.peers.insert(peer);
            }
            if space.peers.insert(peer) {
                changes.push(Change::Joined(peer));
            }
        }
        for peer in batch.left.iter().filter_map(|id| id.parse().ok()) {
            if let Some(snapshot) = &mut space.snapshot {
                snapshot.peers.remove(&peer);
            }
            if space.peers.remove(&peer) {
                changes.push(Change::Left(peer));
            }
        }
        if is_gap {
            space.snapshot = None;
        }
        let mut outcome = self.without_those_elsewhere(changes);
        if is_gap {
            outcome.wanted = Some(Wanted {
                namespace: batch.namespace.clone(),
                after: None,
            });
        }
        outcome
    }

    /// Who has left one namespace and is in another is still here.
    fn without_those_elsewhere(&self, mut changes: Vec<Change>) -> Outcome {
        changes.retain(|change| match change {
            Change::Joined(_) => true,
            Change::Left(peer) => !self.spaces.values().any(|s| s.peers.contains(peer)),
        });
        Outcome {
            changes,
            wanted: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn roster(max_peers: usize) -> Roster {
        Roster::new(&[Namespace::default()], max_peers)
    }

    fn text(peer: &PeerId) -> Arc<str> {
        peer.to_base58().into()
    }

    fn page(seq: u64, peers: &[PeerId], next: Option<PeerId>) -> Page {
        Page {
            namespace: Namespace::default(),
            seq,
            total: peers.len(),
            peers: peers.iter().map(text).collect(),
            next,
        }
    }

    fn batch(seq: u64, joined: &[PeerId], left: &[PeerId]) -> PresenceBatch {
        PresenceBatch {
            namespace: Namespace::default(),
            seq,
            joined: joined.iter().map(text).collect(),
            left: left.iter().map(text).collect(),
            sync: Sync::InOrder,
        }
    }

    fn peers<const N: usize>() -> [PeerId; N] {
        std::array::from_fn(|_| PeerId::random())
    }

    #[test]
    fn r_pres_9_changes_in_order_are_applied_and_old_ones_ignored() {
        let [a, b] = peers();
        let mut roster = roster(10);
        assert_eq!(
            roster.page(&page(4, &[a], None), None).changes,
            [Change::Joined(a)]
        );
        assert_eq!(roster.batch(&batch(4, &[b], &[])), Outcome::default());
        let outcome = roster.batch(&batch(5, &[b], &[a]));
        assert_eq!(outcome.changes, [Change::Joined(b), Change::Left(a)]);
        assert_eq!(outcome.wanted, None);
    }

    #[test]
    fn r_pres_9_a_gap_leads_to_the_whole_and_to_what_was_missed() {
        let [a, b, c] = peers();
        let mut roster = roster(10);
        roster.page(&page(1, &[a, b], None), None);
        let outcome = roster.batch(&batch(3, &[c], &[]));
        let namespace = Namespace::default();
        let wanted = Wanted {
            namespace,
            after: None,
        };
        assert_eq!(outcome.changes, [Change::Joined(c)]);
        assert_eq!(outcome.wanted, Some(wanted));
        // The first of two pages; meanwhile one leaves.
        let outcome = roster.page(&page(3, &[b], Some(b)), None);
        assert_eq!(outcome.wanted.map(|wanted| wanted.after), Some(Some(b)));
        roster.batch(&batch(4, &[], &[b]));
        let outcome = roster.page(&page(4, &[c], None), Some(b));
        assert_eq!(outcome.changes, [Change::Left(a)]);
        assert_eq!(roster.batch(&batch(5, &[a], &[])).wanted, None);
    }

    #[test]
    fn r_pres_9_pages_of_a_snapshot_that_was_begun_anew_are_ignored() {
        let [a, b, c] = peers();
        let mut roster = roster(10);
        let outcome = roster.page(&page(1, &[a], Some(a)), None);
        assert_eq!(outcome.wanted.map(|wanted| wanted.after), Some(Some(a)));
        // A gap, while the second page is on its way.
        assert!(roster.batch(&batch(3, &[], &[])).wanted.is_some());
        assert_eq!(
            roster.page(&page(1, &[b], None), Some(a)),
            Outcome::default()
        );
        roster.page(&page(3, &[a, b], Some(b)), None);
        assert_eq!(
            roster.page(&page(1, &[], None), Some(a)),
            Outcome::default()
        );
        let outcome = roster.page(&page(3, &[c], None), Some(b));
        assert_eq!(outcome.changes, [Change::Joined(c)]);
    }

    #[test]
    fn r_pres_9_a_star_that_says_so_is_asked_again() {
        let [a] = peers();
        let mut roster = roster(10);
        roster.page(&page(7, &[a], None), None);
        let lost = PresenceBatch {
            sync: Sync::Lost,
            ..batch(7, &[], &[])
        };
        assert!(roster.batch(&lost).wanted.is_some());
    }

    #[test]
    fn r_trans_13_a_roster_is_bounded_whatever_the_star_says() {
        let all: [PeerId; 30] = peers();
        let mut roster = roster(10);
        let outcome = roster.page(&page(1, &all, Some(all[0])), None);
        assert_eq!((outcome.changes.len(), outcome.wanted), (10, None));
        assert_eq!(roster.batch(&batch(2, &all[10..], &[])).changes, []);
    }

    #[test]
    fn r_trans_13_snapshots_that_never_end_do_not_add_up() {
        let mut roster = roster(10);
        let mut here = BTreeSet::new();
        for seq in 1..50 {
            let nine: [PeerId; 9] = peers();
            let first = page(seq, &nine, Some(nine[0]));
            for change in roster.page(&first, None).changes {
                match change {
                    Change::Joined(peer) => assert!(here.insert(peer)),
                    Change::Left(peer) => assert!(here.remove(&peer)),
                }
            }
            assert!(here.len() <= 20, "{} peers", here.len());
        }
    }

    #[test]
    fn who_is_in_two_namespaces_leaves_with_the_last() {
        let [a] = peers();
        let other = Namespace::parse("other").unwrap();
        let mut roster = Roster::new(&[Namespace::default(), other.clone()], 10);
        roster.page(&page(0, &[a], None), None);
        let in_other = Page {
            namespace: other.clone(),
            ..page(0, &[a], None)
        };
        roster.page(&in_other, None);
        assert_eq!(roster.batch(&batch(1, &[], &[a])).changes, []);
        let left = PresenceBatch {
            namespace: other,
            ..batch(1, &[], &[a])
        };
        assert_eq!(roster.batch(&left).changes, [Change::Left(a)]);
    }
}
