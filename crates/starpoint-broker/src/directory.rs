//! Which connection has which address.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
};

use libp2p_identity::PeerId;
use rand_core::Rng;
use starpoint_wire::{AddressKey, PeerAddress, PeerSpelling};

use crate::{
    id::{ConnId, SourceId},
    legacy::sample::Roster,
};

/// Order in which addresses were registered; never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seq(pub(crate) u64);

/// Which profile a registration belongs to, and whether legacy peers hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// Of a legacy peer.
    Legacy,
    /// Of a native peer in the default namespace.
    Native,
    /// Of a native peer that is not: it can be dialed by whoever knows it.
    NativeUnlisted,
}

impl Listing {
    pub(crate) fn is_native(self) -> bool {
        match self {
            Self::Legacy => false,
            Self::Native | Self::NativeUnlisted => true,
        }
    }
}

/// A connection that registers an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) conn: ConnId,
    pub(crate) source: SourceId,
}

/// An address and the connection that has it.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) conn: ConnId,
    /// Where its connection comes from.
    pub(crate) source: SourceId,
    pub(crate) address: PeerAddress,
    pub(crate) listing: Listing,
    /// The address in both spellings: it is read far more often than written.
    ipfs: Box<str>,
    p2p: Box<str>,
    /// Its place in the roster, if it is the address by which its peer is named.
    place: Option<usize>,
}

impl Registration {
    fn new(owner: Owner, address: PeerAddress, listing: Listing) -> Self {
        Self {
            conn: owner.conn,
            source: owner.source,
            listing,
            ipfs: address.spelled(PeerSpelling::Ipfs).into(),
            p2p: address.spelled(PeerSpelling::P2p).into(),
            address,
            place: None,
        }
    }

    /// Returns whether legacy peers may be told of it.
    pub(crate) fn is_announceable(&self) -> bool {
        self.listing != Listing::NativeUnlisted && self.address.is_announceable()
    }

    /// Returns the address for a reader of `spelling`.
    pub(crate) fn spelled(&self, spelling: PeerSpelling) -> String {
        match spelling {
            PeerSpelling::Ipfs => self.ipfs.clone().into(),
            PeerSpelling::P2p => self.p2p.clone().into(),
        }
    }
}

/// All registered addresses.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    last_seq: Seq,
    by_seq: BTreeMap<Seq, Registration>,
    by_key: HashMap<AddressKey, Seq>,
    by_peer: HashMap<PeerId, BTreeSet<Seq>>,
    /// The newest address of each peer that others may be told of.
    roster: Roster,
    n_legacy: usize,
}

impl Directory {
    pub(crate) fn len(&self) -> usize {
        self.by_seq.len()
    }

    /// Returns how many addresses legacy peers have.
    pub(crate) fn n_legacy(&self) -> usize {
        self.n_legacy
    }

    /// Returns the newest number given out.
    pub(crate) fn last_seq(&self) -> Seq {
        self.last_seq
    }

    /// Registers an address. The key must be free.
    pub(crate) fn insert(&mut self, owner: Owner, address: PeerAddress, listing: Listing) -> Seq {
        self.last_seq.0 += 1;
        let seq = self.last_seq;
        if let Some(peer) = address.peer() {
            self.by_peer.entry(peer).or_default().insert(seq);
        }
        self.n_legacy += usize::from(listing == Listing::Legacy);
        self.by_key.insert(address.key().clone(), seq);
        let registration = Registration::new(owner, address, listing);
        let is_announceable = registration.is_announceable();
        let peer = registration.address.peer();
        self.by_seq.insert(seq, registration);
        if is_announceable {
            if let Some(before) = peer.and_then(|peer| self.newest_announceable(&peer, seq)) {
                self.leave_roster(before);
            }
            self.enter_roster(seq);
        }
        seq
    }

    /// Returns the newest address of a peer before `seq` that others may be told of.
    fn newest_announceable(&self, peer: &PeerId, seq: Seq) -> Option<Seq> {
        let older = self.by_peer.get(peer)?.range(..seq).rev();
        older.copied().find(|older| {
            self.by_seq
                .get(older)
                .is_some_and(Registration::is_announceable)
        })
    }

    fn enter_roster(&mut self, seq: Seq) {
        if let Some(registration) = self.by_seq.get_mut(&seq) {
            registration.place = Some(self.roster.add(registration.source, seq));
        }
    }

    fn leave_roster(&mut self, seq: Seq) {
        if let Some(registration) = self.by_seq.get_mut(&seq)
            && let Some(place) = registration.place.take()
        {
            let source = registration.source;
            self.vacate(source, place);
        }
    }

    fn vacate(&mut self, source: SourceId, place: usize) {
        let moved = self.roster.remove(source, place);
        if let Some(moved) = moved.and_then(|moved| self.by_seq.get_mut(&moved)) {
            moved.place = Some(place);
        }
    }

    /// Removes an address.
    pub(crate) fn remove(&mut self, key: &AddressKey) -> Option<Registration> {
        let seq = self.by_key.remove(key)?;
        let registration = self.by_seq.remove(&seq)?;
        self.n_legacy -= usize::from(registration.listing == Listing::Legacy);
        if let Some(peer) = registration.address.peer()
            && let Some(seqs) = self.by_peer.get_mut(&peer)
        {
            seqs.remove(&seq);
            if seqs.is_empty() {
                self.by_peer.remove(&peer);
            }
        }
        if let Some(place) = registration.place {
            self.vacate(registration.source, place);
            let peer = registration.address.peer();
            if let Some(before) = peer.and_then(|peer| self.newest_announceable(&peer, seq)) {
                self.enter_roster(before);
            }
        }
        Some(registration)
    }

    /// Returns who has exactly this address.
    pub(crate) fn registration(&self, key: &AddressKey) -> Option<&Registration> {
        let seq = self.by_key.get(key)?;
        self.by_seq.get(seq)
    }

    /// Returns the oldest address of a peer that has at least so many.
    pub(crate) fn oldest_of(&self, peer: &PeerId, at_least: usize) -> Option<&Registration> {
        let seqs = self.by_peer.get(peer)?;
        let oldest = seqs.first().filter(|_| seqs.len() >= at_least)?;
        self.by_seq.get(oldest)
    }

    /// Returns who has joined last with an address of this peer.
    pub(crate) fn newest_of(&self, peer: &PeerId) -> Option<&Registration> {
        let seq = self.by_peer.get(peer)?.last()?;
        self.by_seq.get(seq)
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&Registration> {
        self.by_seq.get(&seq)
    }

    /// Finds whom a dialed address means: who has it, or else who has joined last
    /// with another address of the same peer (R-DIAL-2).
    pub(crate) fn find(&self, address: &PeerAddress) -> Option<&Registration> {
        let seq = self.by_key.get(address.key()).or_else(|| {
            let peer = address.peer()?;
            self.by_peer.get(&peer)?.last()
        })?;
        self.by_seq.get(seq)
    }

    /// Returns registrations after `seq`, oldest first.
    pub(crate) fn after(&self, seq: Seq) -> impl Iterator<Item = (Seq, &Registration)> {
        self.by_seq
            .range((Bound::Excluded(seq), Bound::Unbounded))
            .map(|(seq, registration)| (*seq, registration))
    }

    /// Returns registrations after `seq` that others may be told of, oldest first.
    pub(crate) fn news(&self, seq: Seq) -> impl Iterator<Item = (Seq, &Registration)> {
        self.after(seq)
            .filter(|(_, registration)| registration.is_announceable())
    }

    /// Draws addresses that other connections have, one of a peer and every source in
    /// turn. Returns them oldest first, in the given spelling.
    pub(crate) fn sample_of_others<R: Rng>(
        &self,
        than: ConnId,
        spelling: PeerSpelling,
        limit: usize,
        rng: &mut R,
    ) -> Vec<String> {
        let drawn = self.roster.draw(rng);
        let drawn = drawn.filter_map(|seq| Some((seq, self.get(seq)?)));
        let others = drawn.filter(|(_, registration)| registration.conn != than);
        let mut others: Vec<_> = others.take(limit).collect();
        others.sort_unstable_by_key(|(seq, _)| *seq);
        others.iter().map(|(_, r)| r.spelled(spelling)).collect()
    }
}
