//! The native profile: hello, join, leave, grace.

use std::time::{Duration, Instant};

use libp2p_identity::PeerId;
use rand_core::CryptoRng;
use starpoint_wire::{
    PeerAddress, Proof, Refusal,
    limits::NONCE_LIFETIME,
    native::{self, FIRST_PAGE_PEERS, Hello, JoinCall, JoinTerms, Nonce32, Openness, Page},
};

use super::{Broker, proof::Verdict};
use crate::{
    config::Challenge,
    connection::{Claim, Connection},
    deadline::Deadline,
    directory::Listing,
    id::{AckId, ConnId, SourceId},
    message::Message,
    native::{Away, Greeting, Joined, Native, Stage, Standing},
    quota::{self, JOIN_RATE},
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
    /// A connection that has offered the native profile has come up. `unix_now` is
    /// the time of day, in seconds of Unix time; it goes into the challenge.
    pub fn connected_native(
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
        let mut connection = Connection::new(source);
        // It hears of others by presence.
        connection.announcer.news = crate::directory::Seq(u64::MAX);
        connection.native = Some(Box::new(Native::new(greeting)));
        self.conns.insert(conn, connection);
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

    pub(super) fn emit_star(&mut self, conn: ConnId, event: native::EncodedEvent) {
        self.send(conn, Message::NativeEvent(event));
    }

    pub(super) fn reply_star(&mut self, conn: ConnId, ack: AckId, reply: native::Reply) {
        self.send(conn, Message::NativeReply(ack, reply));
    }

    pub(super) fn refuse_star(&mut self, conn: ConnId, ack: AckId, refusal: Refusal) {
        *self.counters.refusals.entry(refusal).or_default() += 1;
        let retry = retry_hint(refusal);
        self.reply_star(conn, ack, native::Reply::Refused { refusal, retry });
    }

    /// Handles a call of the native profile. One of a connection that has not
    /// offered it is an event that nobody knows (R-NATIVE-2).
    pub(super) fn star_call(
        &mut self,
        conn: ConnId,
        call: native::Call,
        ack: Option<AckId>,
        now: Instant,
    ) {
        let is_native = self.conns.get(&conn).is_some_and(|c| c.native.is_some());
        if !is_native {
            return self.malformed(conn, starpoint_wire::CallKind::Unknown, None);
        }
        match (call, ack) {
            (native::Call::Join(join), Some(ack)) => self.star_join(conn, *join, ack, now),
            (native::Call::Peers { namespace, after }, Some(ack)) => {
                self.star_peers(conn, &namespace, after, ack, now);
            }
            (native::Call::Dial { to, token }, Some(ack)) => {
                self.star_dial(conn, to, token, ack, now)
            }
            (native::Call::Refuse { token }, _) => self.star_refuse(conn, &token),
            (native::Call::Leave, ack) => {
                self.star_leave(conn, now);
                if let Some(ack) = ack {
                    self.reply_star(conn, ack, native::Reply::Done);
                }
            }
            (
                call @ (native::Call::Join(_)
                | native::Call::Peers { .. }
                | native::Call::Dial { .. }),
                None,
            ) => self.malformed(conn, call.kind(), None),
        }
    }

    /// Handles `star-join` (R-NATIVE-4 to R-NATIVE-9).
    fn star_join(&mut self, conn: ConnId, join: JoinCall, ack: AckId, now: Instant) {
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
    pub(super) fn star_join_done(
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
    pub(super) fn star_join_proved(
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
        let native = connection.native.as_mut().ok_or(Refusal::PeerGone)?;
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
        self.conns.get_mut(&conn)?.native.as_deref_mut()
    }

    /// Handles `star-leave`: the peer is gone at once, its streams and pipes go on.
    fn star_leave(&mut self, conn: ConnId, now: Instant) {
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
    pub(super) fn retire(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        let source = connection.source;
        let Some(native) = connection.native.as_deref_mut() else {
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
    pub(super) fn native_gone(
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
        self.admission.haunt(source, peer, until, now);
        self.deadlines.add(until, Deadline::Grace(peer));
        self.end_surplus_grace(source, now);
    }

    /// A peer is back, or its time is over; returns whether it was away.
    pub(super) fn end_grace(&mut self, peer: PeerId, now: Instant) -> bool {
        let Some(away) = self.away.remove(&peer) else {
            return false;
        };
        self.admission.lay(away.source, peer, away.until);
        for namespace in &away.namespaces {
            self.remove_from_space(namespace, peer, now);
        }
        true
    }

    pub(super) fn grace_expired(&mut self, peer: PeerId, now: Instant) {
        if self.away.get(&peer).is_some_and(|away| away.until <= now) {
            self.end_grace(peer, now);
        }
    }
}

/// When a refused call may succeed (R-NATIVE-8).
pub(super) fn retry_hint(refusal: Refusal) -> Option<Duration> {
    match refusal {
        Refusal::TooManyRequests | Refusal::TooManyDials | Refusal::DialTimeout => {
            Some(Duration::from_secs(1))
        }
        Refusal::PeerGone => Some(Duration::from_secs(2)),
        Refusal::StarFull | Refusal::SourceFull | Refusal::ShuttingDown => Some(quota::BUSY_RETRY),
        Refusal::InvalidArguments
        | Refusal::InvalidAddress
        | Refusal::KeyMissing
        | Refusal::InvalidKey
        | Refusal::IdMismatch
        | Refusal::SignatureInvalid
        | Refusal::SignatureMalformed
        | Refusal::ChallengeExpired
        | Refusal::TooManyAttempts
        | Refusal::TooManyAddresses
        | Refusal::NotAuthorized
        | Refusal::PeerNotFound
        | Refusal::DialSelf
        | Refusal::InvalidDialId
        | Refusal::DuplicateDialId
        | Refusal::PeerRefused
        | Refusal::LegacyPeer
        | Refusal::AlreadyJoined
        | Refusal::PipeUnknown
        | Refusal::WrongHost => None,
    }
}
