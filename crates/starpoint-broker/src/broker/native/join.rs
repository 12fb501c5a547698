//! The native profile: hello, join, leave, grace.

use std::time::Instant;

use libp2p_identity::PeerId;
use rand_core::CryptoRng;
use starpoint_wire::{
    PeerAddress, Proof, Refusal,
    limits::NONCE_LIFETIME,
    native::{self, FIRST_PAGE_PEERS, Hello, JoinCall, JoinTerms, Nonce32, Openness, Page},
};

use crate::broker::{Broker, proof::Verdict};
use crate::{
    config::Challenge,
    connection::{Claim, Connection, Profile},
    deadline::Deadline,
    directory::Listing,
    id::{AckId, ConnId, SourceId},
    message::Message,
    native::{Away, Greeting, Joined, Native, Stage, Standing},
    quota::JOIN_RATE,
};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The transport closed or broke. Its peer may come back in a moment.
    Closed,
    /// Nothing was heard of it for longer than a heartbeat may take: what could be
    /// waited for has been.
    Silent,
}

impl<R: CryptoRng> Broker<R> {
    /// A connection that has offered the native profile has come up.
    pub(in crate::broker) fn connected_native(
        &mut self,
        conn: ConnId,
        source: SourceId,
        unix_now: u64,
        now: Instant,
    ) {
        let mut challenge = [0; 32];
        self.rng.fill_bytes(&mut challenge);
        let greeting = Greeting {
            challenge: Nonce32(challenge),
            expires: unix_now.saturating_add(NONCE_LIFETIME.as_secs()),
            deadline: now + NONCE_LIFETIME,
        };
        let profile = Profile::Native(Box::new(Native::new(greeting)));
        self.conns.insert(conn, Connection::new(source, profile));
        let openness = match self.config.challenge {
            Challenge::Required => Openness::Proven,
            Challenge::Off => Openness::Open,
        };
        let hello = Hello {
            star: self.config.star,
            challenge: greeting.challenge,
            expires: greeting.expires,
            openness,
            grace: self.config.grace,
            hosts: self.config.hosts.clone(),
        };
        self.send(conn, Message::Hello(Box::new(hello)));
        if self.is_draining {
            self.close(conn, crate::CloseReason::ShuttingDown);
        }
    }

    /// Handles `star-join` (R-NATIVE-4 to R-NATIVE-9).
    pub(in crate::broker) fn star_join(
        &mut self,
        conn: ConnId,
        join: JoinCall,
        ack: AckId,
        now: Instant,
    ) {
        self.counters.joins += 1;
        match self.claim(conn, &join, now) {
            Ok((peer, proof)) => {
                let claim = Claim::Native(peer, Box::new(join));
                self.verify(conn, ack, claim, Box::new(proof));
            }
            Err(refusal) => self.star_join_done(conn, ack, Err(refusal)),
        }
    }

    /// Answers a join.
    pub(in crate::broker) fn star_join_done(
        &mut self,
        conn: ConnId,
        ack: AckId,
        result: Result<native::Reply, Refusal>,
    ) {
        match result {
            Ok(reply) => {
                self.counters.joins_succeeded += 1;
                self.reply_star(conn, ack, reply);
            }
            Err(refusal) => {
                self.counters.joins_failed += 1;
                self.refuse_star(conn, ack, refusal);
            }
        }
    }

    /// The signature of a join is verified: lets the peer in if it is valid.
    pub(in crate::broker) fn star_join_proved(
        &mut self,
        conn: ConnId,
        peer: PeerId,
        join: JoinCall,
        verdict: Verdict,
        now: Instant,
    ) -> Result<native::Reply, Refusal> {
        let is_draining = self.is_draining;
        let native = self.native_mut(conn).ok_or(Refusal::PeerGone)?;
        match std::mem::replace(&mut native.stage, Stage::Left) {
            Stage::Proving => {}
            Stage::Greeted(_) | Stage::Joined(_) | Stage::Left => {
                return Err(Refusal::AlreadyJoined);
            }
        }
        verdict.check()?;
        if is_draining {
            return Err(Refusal::ShuttingDown);
        }
        self.admit(conn, peer, join, now)
    }

    fn admit(
        &mut self,
        conn: ConnId,
        peer: PeerId,
        join: JoinCall,
        now: Instant,
    ) -> Result<native::Reply, Refusal> {
        let address = match &join.address {
            Some(address) => Some(self.own_address(address, peer)?),
            None => None,
        };
        let owner = self.owner(conn)?;
        let namespaces = match address {
            Some(_) => join.namespaces,
            None => Vec::new(),
        };
        if let Some(address) = &address {
            self.check_slot(owner, address)?;
            for namespace in &namespaces {
                self.add_to_space(namespace, peer, now);
                self.spaces.subscribe(namespace, conn);
            }
        }
        let standing = match address {
            Some(_) => Standing::Resident,
            None => {
                self.take_visitor(owner, now)?;
                Standing::Visitor
            }
        };
        let is_resumed = self.end_grace(peer, now);
        if let Some(address) = address {
            let is_listed = namespaces
                .iter()
                .any(|n| n.as_str() == native::Namespace::DEFAULT);
            let listing = if is_listed {
                Listing::Native
            } else {
                Listing::NativeUnlisted
            };
            self.make_room(&address, now);
            let seq = self.enlist(owner, address, listing, now);
            if is_listed {
                self.announce_now(seq, now);
            }
        }
        let pages: Vec<_> = namespaces
            .iter()
            .map(|namespace| self.spaces.page(namespace, None, FIRST_PAGE_PEERS))
            .collect();
        let n_bytes = pages.iter().map(Page::weight).sum();
        self.charge_pages(owner, n_bytes, now);
        if let Some(native) = self.native_mut(conn) {
            native.stage = Stage::Joined(Joined {
                peer,
                record: join.record,
                standing,
                namespaces,
            });
        }
        Ok(native::Reply::Joined { is_resumed, pages })
    }

    /// Checks all of a join but its signature; returns the peer that it is from, and
    /// what proves that. Whatever comes of it, this was the challenge's one answer.
    fn claim(
        &mut self,
        conn: ConnId,
        join: &JoinCall,
        now: Instant,
    ) -> Result<(PeerId, Proof), Refusal> {
        let is_draining = self.is_draining;
        let star = self.config.star;
        let connection = self.conns.get_mut(&conn).ok_or(Refusal::PeerGone)?;
        if !connection.joins.take(JOIN_RATE, now) {
            return Err(Refusal::TooManyRequests);
        }
        if is_draining {
            return Err(Refusal::ShuttingDown);
        }
        let native = connection.native_mut().ok_or(Refusal::PeerGone)?;
        let greeting = match &native.stage {
            Stage::Greeted(greeting) => *greeting,
            Stage::Proving | Stage::Joined(_) | Stage::Left => return Err(Refusal::AlreadyJoined),
        };
        native.stage = Stage::Left;
        if greeting.deadline <= now {
            return Err(Refusal::ChallengeExpired);
        }
        let hosts = &self.config.hosts;
        if !hosts.is_empty() && !hosts.iter().any(|pattern| pattern.matches(&join.host)) {
            return Err(Refusal::WrongHost);
        }
        let terms = JoinTerms {
            star,
            challenge: greeting.challenge,
            expires: greeting.expires,
        };
        let claim = join.proof(&terms).map_err(|_| Refusal::InvalidKey)?;
        self.attempt(conn, now)?;
        let native = self.native_mut(conn).ok_or(Refusal::PeerGone)?;
        native.stage = Stage::Proving;
        Ok(claim)
    }

    fn own_address(&self, address: &str, peer: PeerId) -> Result<PeerAddress, Refusal> {
        let address = PeerAddress::parse(address, self.config.address_rule)?;
        if address.peer() != Some(peer) {
            return Err(Refusal::IdMismatch);
        }
        Ok(address)
    }

    fn native_mut(&mut self, conn: ConnId) -> Option<&mut Native> {
        self.conns.get_mut(&conn)?.native_mut()
    }

    /// Handles `star-leave`: the peer is gone at once, its streams and pipes go on.
    pub(in crate::broker) fn star_leave(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.conns.get(&conn) else {
            return;
        };
        let addresses: Vec<_> = connection.addresses.iter().cloned().collect();
        for key in addresses {
            if let Some(registration) = self.delist(&key) {
                self.forget_address(conn, &registration.address);
            }
        }
        self.retire(conn, now);
    }

    /// Takes a connection out of its namespaces. It has no part in them any more.
    pub(in crate::broker) fn retire(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        let source = connection.source;
        let Some(native) = connection.native_mut() else {
            return;
        };
        native.behind.clear();
        if let Stage::Joined(joined) = std::mem::replace(&mut native.stage, Stage::Left) {
            if joined.standing == Standing::Visitor {
                self.admission.free(source);
            }
            for namespace in &joined.namespaces {
                self.spaces.unsubscribe(namespace, conn);
                self.remove_from_space(namespace, joined.peer, now);
            }
        }
    }

    /// A native connection is gone. Unless it was silent or the star drains, its
    /// peer counts as being here for the grace period (R-PRES-6).
    pub(in crate::broker) fn native_gone(
        &mut self,
        conn: ConnId,
        source: SourceId,
        native: Native,
        ending: Ending,
        now: Instant,
    ) {
        let Stage::Joined(joined) = native.stage else {
            return;
        };
        if joined.standing == Standing::Visitor {
            self.admission.free(source);
        }
        for namespace in &joined.namespaces {
            self.spaces.unsubscribe(namespace, conn);
        }
        let has_grace = ending == Ending::Closed
            && !self.is_draining
            && !self.config.grace.is_zero()
            && !joined.namespaces.is_empty();
        if !has_grace {
            for namespace in &joined.namespaces {
                self.remove_from_space(namespace, joined.peer, now);
            }
            return;
        }
        let away = Away {
            until: now + self.config.grace,
            source,
            namespaces: joined.namespaces,
        };
        self.begin_grace(joined.peer, away, now);
    }

    fn begin_grace(&mut self, peer: PeerId, away: Away, now: Instant) {
        let (source, until) = (away.source, away.until);
        self.end_grace(peer, now);
        self.away.insert(peer, away);
        self.admission.begin_grace(source, peer, until, now);
        self.deadlines.add(until, Deadline::Grace(peer));
        self.end_surplus_grace(source, now);
    }

    /// A peer is back, or its time is over; returns whether it was away.
    pub(in crate::broker) fn end_grace(&mut self, peer: PeerId, now: Instant) -> bool {
        let Some(away) = self.away.remove(&peer) else {
            return false;
        };
        self.admission.end_grace(away.source, peer, away.until);
        for namespace in &away.namespaces {
            self.remove_from_space(namespace, peer, now);
        }
        true
    }

    pub(in crate::broker) fn grace_expired(&mut self, peer: PeerId, now: Instant) {
        if self.away.get(&peer).is_some_and(|away| away.until <= now) {
            self.end_grace(peer, now);
        }
    }
}
