//! Who is at a home, and what of it has been told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use libp2p_identity::PeerId;
use web_time::Instant;

/// A star tells everyone of everyone up to here (R-PEER-3).
const COMPLETE_PEERS: u32 = 128;

/// Announcements that a star makes in one interval (R-PEER-3).
const BUDGET: u32 = 20_000;

/// Fewest peers that a star tells everyone of in one interval (R-PEER-3).
const MIN_ANNOUNCEMENTS: u32 = 4;

/// Somebody came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Joined(PeerId),
    Left(PeerId),
}

/// The peers of one home.
///
/// A star of the legacy profile tells of joins and never of leaves: a peer has
/// left when it is not announced for as long as a star may take to tell of
/// everyone (R-TRANS-12). Changes wait to be taken, at most one for each peer:
/// who comes and goes meanwhile is not mentioned, and forgotten at once. So the set is
/// bounded however slowly changes are taken: by the peers that are here, and by those
/// that were told to be.
#[derive(Debug)]
pub(crate) struct Presence {
    peers: BTreeMap<PeerId, Entry>,
    /// The same peers by the time at which they were heard of last.
    by_time: BTreeSet<(Instant, PeerId)>,
    /// Peers of which there may be something to tell, in order.
    changes: BTreeMap<u64, PeerId>,
    n_changes: u64,
    max_peers: usize,
    interval: Duration,
}

#[derive(Debug)]
struct Entry {
    /// As announced: an original star compares the text.
    address: Box<str>,
    /// `None`: has left, and that is not told yet.
    heard: Option<Instant>,
    is_told: bool,
    /// Place in the changes.
    queued: Option<u64>,
}

impl Presence {
    pub(crate) fn new(max_peers: usize, interval: Duration) -> Self {
        Self {
            peers: BTreeMap::new(),
            by_time: BTreeSet::new(),
            changes: BTreeMap::new(),
            n_changes: 0,
            max_peers,
            interval,
        }
    }

    /// The star says that a peer is here. Ignored when the home knows as many as
    /// it may.
    pub(crate) fn announced(&mut self, peer: PeerId, address: &str, now: Instant) {
        if self.peers.len() >= self.max_peers && !self.peers.contains_key(&peer) {
            return;
        }
        let entry = self.peers.entry(peer).or_insert_with(|| Entry {
            address: address.into(),
            heard: None,
            is_told: false,
            queued: None,
        });
        if *entry.address != *address {
            entry.address = address.into();
        }
        if let Some(before) = entry.heard.replace(now) {
            self.by_time.remove(&(before, peer));
        } else {
            self.queue(peer);
        }
        self.by_time.insert((now, peer));
    }

    /// A native star says that a peer is here, until it says otherwise.
    pub(crate) fn joined(&mut self, peer: PeerId, now: Instant) {
        let entry = self.peers.entry(peer).or_insert_with(|| Entry {
            address: "".into(),
            heard: None,
            is_told: false,
            queued: None,
        });
        if let Some(before) = entry.heard.replace(now) {
            self.by_time.remove(&(before, peer));
        } else {
            self.queue(peer);
        }
    }

    /// A native star says that a peer has gone.
    pub(crate) fn gone(&mut self, peer: PeerId) {
        self.left(peer);
    }

    /// Returns the address of a peer as the star announced it.
    pub(crate) fn address_of(&self, peer: &PeerId) -> Option<&str> {
        let entry = self.peers.get(peer)?;
        entry
            .heard
            .map(|_| &*entry.address)
            .filter(|address| !address.is_empty())
    }

    /// Returns how many are here.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_time.len()
    }

    /// Returns how many are kept, those included whose leaving is not told yet.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn n_known(&self) -> usize {
        let n_known = self.peers.len().max(self.changes.len());
        n_known.max(self.by_time.len())
    }

    /// Returns when to call [`expire`](Self::expire), if anybody is here.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let (oldest, _) = self.by_time.first()?;
        Some(*oldest + self.lifetime())
    }

    /// Forgets who was not announced for too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((heard, peer)) = self.by_time.first().copied() {
            if heard + self.lifetime() > now {
                return;
            }
            self.by_time.pop_first();
            self.left(peer);
        }
    }

    /// Takes the next change.
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        while let Some((_, peer)) = self.changes.pop_first() {
            let Some(entry) = self.peers.get_mut(&peer) else {
                continue;
            };
            entry.queued = None;
            let is_here = entry.heard.is_some();
            let was_told = std::mem::replace(&mut entry.is_told, is_here);
            if !is_here {
                self.peers.remove(&peer);
            }
            match (was_told, is_here) {
                (false, true) => return Some(Change::Joined(peer)),
                (true, false) => return Some(Change::Left(peer)),
                (true, true) | (false, false) => {}
            }
        }
        None
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    fn left(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if let Some(heard) = entry.heard.take() {
            self.by_time.remove(&(heard, peer));
        }
        if entry.is_told {
            return self.queue(peer);
        }
        if let Some(place) = entry.queued {
            self.changes.remove(&place);
        }
        self.peers.remove(&peer);
    }

    fn queue(&mut self, peer: PeerId) {
        if let Some(entry) = self.peers.get_mut(&peer)
            && entry.queued.is_none()
        {
            entry.queued = Some(self.n_changes);
            self.changes.insert(self.n_changes, peer);
            self.n_changes += 1;
        }
    }

    /// Twice the intervals that a star of this size takes to tell of everyone,
    /// because new peers may take half of each, and one and a half for delays.
    fn lifetime(&self) -> Duration {
        let n_peers = u32::try_from(self.by_time.len()).unwrap_or(u32::MAX).max(1);
        let announced = (BUDGET / n_peers).clamp(MIN_ANNOUNCEMENTS, COMPLETE_PEERS);
        let rounds = n_peers.div_ceil(announced);
        self.interval.saturating_mul(2 * rounds) + self.interval * 3 / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn changes(presence: &mut Presence) -> Vec<Change> {
        std::iter::from_fn(|| presence.next_change()).collect()
    }

    #[test]
    fn r_trans_12_a_peer_leaves_when_it_is_not_announced_for_three_and_a_half_intervals() {
        let start = Instant::now();
        let mut presence = Presence::new(10, INTERVAL);
        let (stays, goes) = (PeerId::random(), PeerId::random());
        presence.announced(stays, "/a", start);
        presence.announced(goes, "/b", start);
        assert_eq!(
            changes(&mut presence),
            [Change::Joined(stays), Change::Joined(goes)]
        );
        presence.announced(stays, "/a", start + 3 * INTERVAL);
        presence.expire(start + 3 * INTERVAL);
        assert_eq!(changes(&mut presence), []);
        assert_eq!(presence.next_expiry(), Some(start + 7 * INTERVAL / 2));
        presence.expire(start + 7 * INTERVAL / 2);
        assert_eq!(changes(&mut presence), [Change::Left(goes)]);
        assert_eq!(presence.address_of(&goes), None);
        assert_eq!(presence.address_of(&stays), Some("/a"));
    }

    #[test]
    fn r_trans_12_in_a_large_star_a_peer_has_more_time() {
        let start = Instant::now();
        let mut presence = Presence::new(5_000, INTERVAL);
        for _ in 0..1_000 {
            presence.announced(PeerId::random(), "/a", start);
        }
        // 1 000 peers, 20 each interval: 50 intervals, twice, and a margin.
        let expected = start + 100 * INTERVAL + INTERVAL * 3 / 2;
        assert_eq!(presence.next_expiry(), Some(expected));
    }

    #[test]
    fn r_trans_13_the_set_is_bounded_and_has_room_again() {
        let start = Instant::now();
        let mut presence = Presence::new(2, INTERVAL);
        for _ in 0..10_000 {
            presence.announced(PeerId::random(), "/a", start);
        }
        assert_eq!(presence.len(), 2);
        assert_eq!(changes(&mut presence).len(), 2);
        presence.expire(start + 10 * INTERVAL);
        assert_eq!(changes(&mut presence).len(), 2, "both have left");
        let late = PeerId::random();
        presence.announced(late, "/a", start);
        assert_eq!(changes(&mut presence), [Change::Joined(late)]);
    }

    #[test]
    fn r_trans_13_changes_that_nobody_takes_merge() {
        let mut now = Instant::now();
        let mut presence = Presence::new(2, INTERVAL);
        let peer = PeerId::random();
        for _ in 0..1_000 {
            presence.announced(peer, "/a", now);
            now += 10 * INTERVAL;
            presence.expire(now);
        }
        assert_eq!(changes(&mut presence), [], "came and went");
        assert!(!presence.has_changes());
    }

    #[test]
    fn r_trans_13_peers_that_come_and_go_untold_are_not_kept() {
        let now = Instant::now();
        let mut presence = Presence::new(2, INTERVAL);
        let told = PeerId::random();
        presence.joined(told, now);
        assert_eq!(changes(&mut presence), [Change::Joined(told)]);
        presence.gone(told);
        for _ in 0..1_000 {
            let peer = PeerId::random();
            presence.joined(peer, now);
            presence.announced(peer, "/a", now);
            presence.gone(peer);
            assert!(presence.n_known() <= 2, "{}", presence.n_known());
        }
        assert_eq!(changes(&mut presence), [Change::Left(told)]);
        assert_eq!(presence.next_expiry(), None);
    }
}
