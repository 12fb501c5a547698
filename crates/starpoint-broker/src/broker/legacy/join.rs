//! Joining with and without a challenge, leaving, taking over.

use std::time::Instant;

use rand_core::CryptoRng;
use starpoint_wire::{
    AddressError, AddressKey, Nonce, PeerAddress, Proof, Refusal, challenge, legacy,
    limits::NONCE_LIFETIME, native::Namespace,
};

use crate::broker::{Broker, proof::Verdict};
use crate::{
    command::CloseReason,
    config::Challenge,
    connection::{Claim, OpenChallenge},
    directory::{Listing, Registration},
    id::{AckId, ConnId},
    message::Message,
    quota::{self, JOIN_RATE},
};

/// How a join goes on.
enum Step {
    /// With this answer.
    Answer(legacy::Reply),
    /// With the verdict about a signature, for this address.
    Verify(PeerAddress, Box<Proof>),
}

impl<R: CryptoRng> Broker<R> {
    /// Handles `ss-join` (R-JOIN-1 to R-JOIN-12).
    pub(in crate::broker) fn join(
        &mut self,
        conn: ConnId,
        address: &str,
        proof: &str,
        ack: AckId,
        now: Instant,
    ) {
        let address = PeerAddress::parse(address, self.config.address_rule);
        let is_answer = address
            .as_ref()
            .is_ok_and(|address| self.has_challenge(conn, address));
        if !is_answer {
            self.counters.joins += 1;
        }
        match self.try_join(conn, address, proof, now) {
            Ok(Step::Verify(address, proof)) => {
                self.verify(conn, ack, Claim::Legacy(address), proof);
            }
            Ok(Step::Answer(reply)) => self.join_done(conn, ack, Ok(reply)),
            Err(refusal) => self.join_done(conn, ack, Err(refusal)),
        }
    }

    /// Answers a step of a join.
    pub(in crate::broker) fn join_done(
        &mut self,
        conn: ConnId,
        ack: AckId,
        result: Result<legacy::Reply, Refusal>,
    ) {
        match result {
            Ok(reply) => {
                if matches!(reply, legacy::Reply::Joined(_)) {
                    self.counters.joins_succeeded += 1;
                }
                self.reply(conn, ack, reply);
            }
            Err(refusal) => {
                self.counters.joins_failed += 1;
                self.refuse(conn, ack, refusal);
                if refusal == Refusal::TooManyAttempts {
                    self.close(conn, CloseReason::TooManyAttempts);
                }
            }
        }
    }

    fn has_challenge(&self, conn: ConnId, address: &PeerAddress) -> bool {
        self.conns
            .get(&conn)
            .is_some_and(|c| c.challenges.contains_key(address.key()))
    }

    fn try_join(
        &mut self,
        conn: ConnId,
        address: Result<PeerAddress, AddressError>,
        proof: &str,
        now: Instant,
    ) -> Result<Step, Refusal> {
        let is_proving = self.is_proving(conn);
        let Some(connection) = self.conns.get_mut(&conn) else {
            return Err(Refusal::PeerGone);
        };
        if is_proving || !connection.joins.take(JOIN_RATE, now) {
            return Err(Refusal::TooManyRequests);
        }
        if self.is_draining {
            return Err(Refusal::ShuttingDown);
        }
        let address = address?;
        if self.config.challenge == Challenge::Off {
            self.attempt(conn, now)?;
            return self.register(conn, address, now).map(Step::Answer);
        }
        // Whatever comes of it, this was the challenge's one answer (R-JOIN-4).
        match connection.challenges.remove(address.key()) {
            Some(open) => self.answer_challenge(conn, address, proof, &open, now),
            None => {
                let challenge = self.open_challenge(conn, address, proof, now);
                challenge.map(Step::Answer)
            }
        }
    }

    fn open_challenge(
        &mut self,
        conn: ConnId,
        address: PeerAddress,
        proof: &str,
        now: Instant,
    ) -> Result<legacy::Reply, Refusal> {
        if proof.is_empty() {
            return Err(Refusal::KeyMissing);
        }
        let key = challenge::decode_public_key(proof)?;
        let is_own = address
            .peer()
            .is_some_and(|peer| challenge::key_belongs_to(&key, &peer));
        if !is_own {
            return Err(Refusal::IdMismatch);
        }
        let mut random = [0; 32];
        self.rng.fill_bytes(&mut random);
        let nonce = Nonce::from_random(random);
        let Some(connection) = self.conns.get_mut(&conn) else {
            return Err(Refusal::PeerGone);
        };
        connection.challenges.retain(|_, open| open.expires > now);
        if connection.challenges.len() >= quota::MAX_CHALLENGES {
            return Err(Refusal::TooManyRequests);
        }
        // A challenge is worth one signature to verify.
        self.attempt(conn, now)?;
        let Some(connection) = self.conns.get_mut(&conn) else {
            return Err(Refusal::PeerGone);
        };
        let open = OpenChallenge {
            nonce: nonce.clone(),
            key,
            expires: now + NONCE_LIFETIME,
        };
        connection.challenges.insert(address.key().clone(), open);
        Ok(legacy::Reply::Challenge(nonce))
    }

    fn answer_challenge(
        &mut self,
        conn: ConnId,
        address: PeerAddress,
        proof: &str,
        open: &OpenChallenge,
        now: Instant,
    ) -> Result<Step, Refusal> {
        // The key again: the client has begun anew and gets a fresh nonce.
        if challenge::decode_public_key(proof).is_ok_and(|key| key == open.key) {
            let challenge = self.open_challenge(conn, address, proof, now);
            return challenge.map(Step::Answer);
        }
        if open.expires <= now {
            return Err(Refusal::ChallengeExpired);
        }
        match challenge::proof(&open.key, &open.nonce, proof) {
            Ok(proof) => Ok(Step::Verify(address, Box::new(proof))),
            Err(error) => Err(self.failed_answer(conn, error.into())),
        }
    }

    /// The signature of an answer is verified.
    pub(in crate::broker) fn challenge_answered(
        &mut self,
        conn: ConnId,
        address: PeerAddress,
        verdict: Verdict,
        now: Instant,
    ) -> Result<legacy::Reply, Refusal> {
        match verdict.check() {
            Ok(()) if self.is_draining => Err(Refusal::ShuttingDown),
            Ok(()) => self.register(conn, address, now),
            Err(Refusal::SignatureInvalid) => {
                Err(self.failed_answer(conn, Refusal::SignatureInvalid))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Counts an answer that proves nothing; returns how to refuse it.
    fn failed_answer(&mut self, conn: ConnId, refusal: Refusal) -> Refusal {
        // The original counts a failed signature as a join of its own.
        self.counters.joins += 1;
        let Some(connection) = self.conns.get_mut(&conn) else {
            return Refusal::PeerGone;
        };
        connection.failed_answers += 1;
        if connection.failed_answers >= quota::MAX_FAILED_ANSWERS {
            return Refusal::TooManyAttempts;
        }
        refusal
    }

    /// Gives the address to the connection, whoever had it (R-JOIN-8).
    fn register(
        &mut self,
        conn: ConnId,
        address: PeerAddress,
        now: Instant,
    ) -> Result<legacy::Reply, Refusal> {
        let Some(connection) = self.conns.get(&conn) else {
            return Err(Refusal::PeerGone);
        };
        let spelling = address.spelling();
        if !connection.addresses.contains(address.key()) {
            if connection.addresses.len() >= quota::MAX_ADDRESSES {
                return Err(Refusal::TooManyAddresses);
            }
            let owner = self.owner(conn)?;
            self.check_slot(owner, &address)?;
            self.make_room(&address, now);
            if let Some(peer) = address.peer() {
                self.add_to_space(&Namespace::default(), peer, now);
            }
            let seq = self.enlist(owner, address, Listing::Legacy, now);
            self.begin_announcing(conn, seq, now);
            self.announce_now(seq, now);
        }
        if let Some(connection) = self.conns.get_mut(&conn) {
            connection.spelling = spelling;
        }
        let others =
            self.directory
                .sample_of_others(conn, spelling, quota::MAX_JOIN_LIST, &mut self.rng);
        Ok(legacy::Reply::Joined(others))
    }

    /// Takes the address from the connection that has it and tells it.
    pub(in crate::broker) fn evict(&mut self, address: &PeerAddress, now: Instant) {
        let Some(old) = self.unregister(address.key(), now) else {
            return;
        };
        self.counters.takeovers += 1;
        self.forget_address(old.conn, address);
        let event = legacy::Event::Evicted {
            address: old.address.as_str().to_owned(),
        };
        self.send(old.conn, Message::Event(event));
        if self
            .conns
            .get(&old.conn)
            .is_some_and(|c| c.addresses.is_empty())
        {
            self.retire(old.conn, now);
        }
    }

    /// Frees an address. A legacy peer leaves the default namespace with it.
    pub(in crate::broker) fn unregister(
        &mut self,
        key: &AddressKey,
        now: Instant,
    ) -> Option<Registration> {
        let old = self.delist(key)?;
        if let (Listing::Legacy, Some(peer)) = (old.listing, old.address.peer()) {
            self.remove_from_space(&Namespace::default(), peer, now);
        }
        Some(old)
    }

    pub(in crate::broker) fn forget_address(&mut self, conn: ConnId, address: &PeerAddress) {
        if let Some(connection) = self.conns.get_mut(&conn)
            && connection.addresses.remove(address.key())
            && connection.addresses.is_empty()
        {
            self.joined -= 1;
        }
    }

    /// Handles `ss-leave` (R-LEAVE-1). Streams that are open go on.
    pub(in crate::broker) fn leave(
        &mut self,
        conn: ConnId,
        address: &str,
        ack: Option<AckId>,
        now: Instant,
    ) {
        let result = self.try_leave(conn, address, now);
        match (result, ack) {
            (Ok(()), Some(ack)) => self.reply(conn, ack, legacy::Reply::Done),
            (Err(refusal), Some(ack)) => self.refuse(conn, ack, refusal),
            (Ok(()) | Err(_), None) => {}
        }
    }

    fn try_leave(&mut self, conn: ConnId, address: &str, now: Instant) -> Result<(), Refusal> {
        let rule = self.config.address_rule;
        let Some(connection) = self.conns.get_mut(&conn) else {
            return Err(Refusal::PeerGone);
        };
        if !connection.joins.take(JOIN_RATE, now) {
            return Err(Refusal::TooManyRequests);
        }
        let address = PeerAddress::parse(address, rule)?;
        connection.challenges.remove(address.key());
        if !connection.addresses.contains(address.key()) {
            return Err(Refusal::NotAuthorized);
        }
        self.unregister(address.key(), now);
        self.forget_address(conn, &address);
        Ok(())
    }
}
