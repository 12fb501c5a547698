//! Who is in, who may come in, and with which codes. No clock, no IO.
//!
//! ```text
//!           join                    decide(Accept)
//!  unknown ──────► waiting for a ────────────────► here ◄────┐ join again
//!     ▲            decision                         │ lost   │
//!     │   decline, timeout, gone ◄─┘                ▼        │
//!     └──────────────────────────────────────────  away ─────┘
//!              leave, drop, away for too long
//! ```
//!
//! A peer that is dropped is banned: none of this is open to it until that is
//! lifted.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZero,
    time::{Duration, Instant},
};

use starpoint_node::PeerId;

use crate::{
    code::{CodeProof, Secret, SessionId},
    refusal::Refusal,
};

/// Codes that are remembered, those that are of no use any more included.
pub(crate) const MAX_INVITES: usize = 256;
/// Clients that wait for a decision; more are told that the host is busy.
const MAX_WAITING: usize = 16;
/// Wrong proofs after which a code is of no use any more.
const MAX_WRONG_PROOFS: u32 = 5;
/// Wrong attempts after which a peer is not listened to for [`LOCKOUT`].
const MAX_FAILURES: u32 = 5;
const LOCKOUT: Duration = Duration::from_secs(60);
/// Peers whose wrong attempts are remembered; the oldest is forgotten first.
const MAX_FAILED_PEERS: usize = 1_024;

/// Peers that are banned; the one that was banned first is forgotten first.
const MAX_BANNED: usize = 4_096;

/// No time that can be set is longer: some clocks do not reach further.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 3_600);

/// What happens to clients that are not on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// Each is asked about.
    Ask,
    /// The first is let in, the others are asked about.
    AcceptFirst,
    /// All are let in.
    AcceptAll,
}

/// What a user says about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let it in.
    Accept,
    /// Keep it out. The code that it has is used up by that.
    Decline,
}

/// Who is let in.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) own_id: PeerId,
    pub(crate) allow: BTreeSet<PeerId>,
    pub(crate) unlisted: Unlisted,
    pub(crate) max_clients: usize,
    pub(crate) decision_deadline: Duration,
    pub(crate) resume_within: Duration,
}

#[derive(Debug)]
struct Invite {
    secret: Secret,
    made: Instant,
    expires: Instant,
    n_uses_left: u32,
    n_wrong: u32,
}

#[derive(Debug)]
struct Waiting {
    session: SessionId,
    until: Instant,
}

#[derive(Debug)]
struct Member {
    secret: Secret,
    presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Here,
    Away { until: Instant },
}

#[derive(Debug)]
struct Failures {
    number: u32,
    last: Instant,
}

/// What comes of an attempt to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// It is in.
    Accepted,
    /// It was in before, and is back.
    Resumed,
    /// Somebody has to decide.
    Ask,
    /// Somebody has been asked already, and it is back.
    StillAsked,
}

/// What ended because time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimedOut {
    /// Nobody has decided about this client.
    Decision(PeerId),
    /// It was away for too long.
    Away(PeerId),
}

#[derive(Debug)]
pub(crate) struct Register {
    rules: Rules,
    invites: BTreeMap<SessionId, Invite>,
    waiting: BTreeMap<PeerId, Waiting>,
    members: BTreeMap<PeerId, Member>,
    failures: BTreeMap<PeerId, Failures>,
    /// Banned peers, and how many were banned before each.
    banned: BTreeMap<PeerId, u64>,
    n_bans: u64,
    replaced: Vec<PeerId>,
    has_accepted: bool,
}

impl Register {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            invites: BTreeMap::new(),
            waiting: BTreeMap::new(),
            members: BTreeMap::new(),
            failures: BTreeMap::new(),
            banned: BTreeMap::new(),
            n_bans: 0,
            replaced: Vec::new(),
            has_accepted: false,
        }
    }

    /// Takes note of a code. Of too many, the oldest is forgotten.
    pub(crate) fn invite(
        &mut self,
        secret: Secret,
        n_uses: NonZero<u32>,
        valid_for: Duration,
        now: Instant,
    ) {
        if self.invites.len() >= MAX_INVITES {
            let oldest = self.invites.iter().min_by_key(|(_, invite)| invite.made);
            if let Some(session) = oldest.map(|(session, _)| *session) {
                self.invites.remove(&session);
            }
        }
        let invite = Invite {
            secret: secret.clone(),
            made: now,
            expires: now + valid_for.min(MAX_TIME),
            n_uses_left: n_uses.get(),
            n_wrong: 0,
        };
        self.invites.insert(secret.session(), invite);
    }

    /// Considers a client that shows `proof` for having a code.
    pub(crate) fn join(
        &mut self,
        peer: PeerId,
        session: SessionId,
        proof: &CodeProof,
        now: Instant,
    ) -> Result<Joined, Refusal> {
        // Before anything that it shows: a banned peer does not even guess.
        if self.banned.contains_key(&peer) {
            return Err(Refusal::Banned);
        }
        let own_id = self.rules.own_id;
        if let Some(member) = self.members.get_mut(&peer)
            && member.secret.verifies(proof, &peer, &own_id)
        {
            member.presence = Presence::Here;
            return Ok(Joined::Resumed);
        }
        if self.is_locked(peer, now) {
            return Err(Refusal::Locked);
        }
        let is_full = self.is_full_for(peer);
        let Some(invite) = self.invites.get_mut(&session) else {
            self.note_failure(peer, now);
            return Err(Refusal::UnknownCode);
        };
        if invite.n_wrong >= MAX_WRONG_PROOFS {
            return Err(Refusal::Locked);
        }
        if !invite.secret.verifies(proof, &peer, &own_id) {
            invite.n_wrong += 1;
            self.note_failure(peer, now);
            return Err(Refusal::UnknownCode);
        }
        // From here on the client has the code, and may know what is wrong with it.
        if let Some(waiting) = self.waiting.get(&peer) {
            return if waiting.session == session {
                Ok(Joined::StillAsked)
            } else {
                Err(Refusal::Busy)
            };
        }
        if invite.n_uses_left == 0 {
            return Err(Refusal::UsedCode);
        }
        if now >= invite.expires {
            return Err(Refusal::ExpiredCode);
        }
        if is_full {
            return Err(Refusal::Full);
        }
        let is_asked = !self.rules.allow.contains(&peer)
            && match self.rules.unlisted {
                Unlisted::Ask => true,
                Unlisted::AcceptFirst => self.has_accepted,
                Unlisted::AcceptAll => false,
            };
        if is_asked && self.waiting.len() >= MAX_WAITING {
            return Err(Refusal::Busy);
        }
        invite.n_uses_left -= 1;
        if is_asked {
            let until = now + self.rules.decision_deadline.min(MAX_TIME);
            self.waiting.insert(peer, Waiting { session, until });
            return Ok(Joined::Ask);
        }
        let secret = invite.secret.clone();
        self.let_in(peer, secret);
        Ok(Joined::Accepted)
    }

    fn let_in(&mut self, peer: PeerId, secret: Secret) {
        self.has_accepted = true;
        self.failures.remove(&peer);
        if !self.members.contains_key(&peer) && self.members.len() >= self.rules.max_clients {
            let longest = self.away().min().map(|(_, away)| away);
            if let Some(away) = longest {
                self.members.remove(&away);
                self.replaced.push(away);
            }
        }
        let presence = Presence::Here;
        self.members.insert(peer, Member { secret, presence });
    }

    /// Returns whether there is no place for this client. One that is away has to
    /// give way: the host has made a code for somebody else.
    fn is_full_for(&self, peer: PeerId) -> bool {
        let n_here = self.members.len() - self.away().count();
        !self.members.contains_key(&peer) && n_here >= self.rules.max_clients
    }

    /// Returns the clients that are away, and until when they may come back.
    fn away(&self) -> impl Iterator<Item = (Instant, PeerId)> {
        self.members
            .iter()
            .filter_map(|(peer, m)| match m.presence {
                Presence::Here => None,
                Presence::Away { until } => Some((until, *peer)),
            })
    }

    /// Takes the clients that had to give way since the last time.
    pub(crate) fn replaced(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.replaced)
    }

    /// Settles a client that waits; `None` when it does not.
    pub(crate) fn decide(
        &mut self,
        peer: PeerId,
        decision: Decision,
    ) -> Option<Result<Joined, Refusal>> {
        let waiting = self.waiting.remove(&peer)?;
        Some(match decision {
            Decision::Decline => Err(Refusal::Declined),
            Decision::Accept if self.is_full_for(peer) => {
                self.give_back(waiting.session);
                Err(Refusal::Full)
            }
            Decision::Accept => match self.invites.get(&waiting.session) {
                Some(invite) => {
                    let secret = invite.secret.clone();
                    self.let_in(peer, secret);
                    Ok(Joined::Accepted)
                }
                None => Err(Refusal::ExpiredCode),
            },
        })
    }

    fn give_back(&mut self, session: SessionId) {
        if let Some(invite) = self.invites.get_mut(&session) {
            invite.n_uses_left += 1;
        }
    }

    /// Takes note that a client cannot be reached any more. One that waits gives
    /// its code back; one that is in may come back.
    pub(crate) fn lost(&mut self, peer: PeerId, now: Instant) {
        if let Some(waiting) = self.waiting.remove(&peer) {
            self.give_back(waiting.session);
        }
        if let Some(member) = self.members.get_mut(&peer) {
            let until = now + self.rules.resume_within.min(MAX_TIME);
            member.presence = Presence::Away { until };
        }
    }

    /// Keeps a peer out from now on, and ends its session; returns whether it had
    /// one or waited.
    pub(crate) fn ban(&mut self, peer: PeerId) -> bool {
        let is_new = !self.banned.contains_key(&peer);
        if is_new && self.banned.len() >= MAX_BANNED {
            let first = self.banned.iter().min_by_key(|(_, number)| **number);
            if let Some(first) = first.map(|(peer, _)| *peer) {
                self.banned.remove(&first);
            }
        }
        self.n_bans += 1;
        self.banned.entry(peer).or_insert(self.n_bans);
        let waited = self.waiting.contains_key(&peer);
        self.remove(peer) || waited
    }

    /// Lifts a ban; returns whether there was one.
    pub(crate) fn unban(&mut self, peer: PeerId) -> bool {
        self.banned.remove(&peer).is_some()
    }

    /// Returns the peers that are banned.
    pub(crate) fn banned(&self) -> impl Iterator<Item = PeerId> {
        self.banned.keys().copied()
    }

    /// Ends the session of a client; returns whether there was one.
    pub(crate) fn remove(&mut self, peer: PeerId) -> bool {
        if let Some(waiting) = self.waiting.remove(&peer) {
            self.give_back(waiting.session);
        }
        self.members.remove(&peer).is_some()
    }

    /// Returns whether this client may open sockets.
    pub(crate) fn is_here(&self, peer: PeerId) -> bool {
        let member = self.members.get(&peer);
        member.is_some_and(|member| member.presence == Presence::Here)
    }

    /// Returns the clients that are in, and whether each can be reached.
    pub(crate) fn members(&self) -> impl Iterator<Item = (PeerId, bool)> {
        let members = self.members.iter();
        members.map(|(peer, member)| (*peer, member.presence == Presence::Here))
    }

    /// Returns the clients that somebody has to decide about.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = PeerId> {
        self.waiting.keys().copied()
    }

    /// Returns when [`time_out`](Self::time_out) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.values().map(|waiting| waiting.until);
        waiting.chain(self.away().map(|(until, _)| until)).min()
    }

    /// Ends what has taken too long.
    pub(crate) fn time_out(&mut self, now: Instant) -> Vec<TimedOut> {
        let mut ended = Vec::new();
        for (peer, waiting) in &self.waiting {
            if waiting.until <= now {
                ended.push(TimedOut::Decision(*peer));
            }
        }
        let is_over = |(until, _): &(Instant, PeerId)| *until <= now;
        let away = self.away().filter(is_over);
        ended.extend(away.map(|(_, peer)| TimedOut::Away(peer)));
        for timed_out in &ended {
            match timed_out {
                TimedOut::Decision(peer) | TimedOut::Away(peer) => drop(self.remove(*peer)),
            }
        }
        ended
    }

    fn is_locked(&self, peer: PeerId, now: Instant) -> bool {
        self.failures
            .get(&peer)
            .is_some_and(|f| f.number >= MAX_FAILURES && now < f.last + LOCKOUT)
    }

    fn note_failure(&mut self, peer: PeerId, now: Instant) {
        self.failures.retain(|_, f| now < f.last + LOCKOUT);
        if self.failures.len() >= MAX_FAILED_PEERS
            && let Some(oldest) = self.failures.iter().min_by_key(|(_, f)| f.last)
        {
            let oldest = *oldest.0;
            self.failures.remove(&oldest);
        }
        let failures = self.failures.entry(peer).or_insert(Failures {
            number: 0,
            last: now,
        });
        failures.number += 1;
        failures.last = now;
    }
}

#[cfg(test)]
mod tests;
