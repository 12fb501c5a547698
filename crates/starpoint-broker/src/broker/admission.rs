//! Who gets a slot, and who makes room.

use std::time::Instant;

use rand_core::CryptoRng;
use starpoint_wire::{AddressKey, PeerAddress, Refusal};

use super::Broker;
use crate::{
    directory::{Listing, Owner, Registration, Seq},
    id::{ConnId, SourceId},
    quota,
};

impl<R: CryptoRng> Broker<R> {
    /// Charges the source of a connection for an attempt to join.
    pub(super) fn attempt(&mut self, conn: ConnId, now: Instant) -> Result<(), Refusal> {
        let source = self.owner(conn)?.source;
        self.admission.attempt(source, now)
    }

    /// Returns whether a connection may register an address, in place of those that
    /// [`make_room`](Self::make_room) evicts.
    pub(super) fn check_slot(&self, owner: Owner, address: &PeerAddress) -> Result<(), Refusal> {
        let leaving = self.in_the_way(address).map(|old| old.source);
        self.admission.check(owner.source, leaving)
    }

    /// Lets a connection join without an address, if there is room.
    pub(super) fn take_visitor(&mut self, owner: Owner, now: Instant) -> Result<(), Refusal> {
        self.admission.check(owner.source, None)?;
        self.take_slot(owner.source, now);
        Ok(())
    }

    /// Evicts the owner of an address (R-JOIN-8), or the oldest address of a peer that
    /// has as many as it may (R-LIMIT-27).
    pub(super) fn make_room(&mut self, address: &PeerAddress, now: Instant) {
        if let Some(old) = self.in_the_way(address) {
            let old = old.address.clone();
            self.evict(&old, now);
        }
    }

    fn in_the_way(&self, address: &PeerAddress) -> Option<&Registration> {
        self.directory.registration(address.key()).or_else(|| {
            let peer = address.peer()?;
            self.directory
                .oldest_of(&peer, quota::MAX_ADDRESSES_OF_PEER)
        })
    }

    /// Registers an address that is free.
    pub(super) fn enlist(
        &mut self,
        owner: Owner,
        address: PeerAddress,
        listing: Listing,
        now: Instant,
    ) -> Seq {
        self.take_slot(owner.source, now);
        if let Some(connection) = self.conns.get_mut(&owner.conn) {
            self.joined += usize::from(connection.addresses.is_empty());
            connection.addresses.insert(address.key().clone());
        }
        self.directory.insert(owner, address, listing)
    }

    /// Frees an address, and its slot.
    pub(super) fn delist(&mut self, key: &AddressKey) -> Option<Registration> {
        let old = self.directory.remove(key)?;
        self.admission.free(old.source);
        Some(old)
    }

    /// Takes a slot; peers in grace make room for it.
    fn take_slot(&mut self, source: SourceId, now: Instant) {
        self.admission.take(source, now);
        self.end_surplus_grace(source, now);
    }

    /// Ends the grace of those that there is no room for.
    pub(super) fn end_surplus_grace(&mut self, source: SourceId, now: Instant) {
        while let Some(peer) = self.admission.surplus(source) {
            self.end_grace(peer, now);
        }
    }

    /// Returns a connection as the owner of what it registers.
    pub(super) fn owner(&self, conn: ConnId) -> Result<Owner, Refusal> {
        let connection = self.conns.get(&conn).ok_or(Refusal::PeerGone)?;
        Ok(Owner {
            conn,
            source: connection.source,
        })
    }
}
