//! The native profile: hello, join, presence, dials by pipes.

use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::PeerId;
use starpoint_wire::{
    Call, DialId, Refusal, RemoteRefusal,
    native::{
        self, ClientNonce, JoinCall, JoinTerms, Namespace, Openness, Page, PeerRecord, PipeToken,
        SignedHello,
    },
};
use web_time::Instant;

use super::{CallTag, Command, Event, Greeted, Purpose, Star, State};
use crate::{
    config::{Challenge, Config},
    error::{Error, StarDenial, Violation},
    machine::{
        presence::Change,
        roster::{Outcome, Roster, Wanted},
    },
    text,
};

/// Peers that are remembered to speak the legacy profile only.
const MAX_LEGACY_PEERS: usize = 1024;

/// Time to the next try when a star has no time for a page and does not say.
const PAGE_RETRY: std::time::Duration = std::time::Duration::from_secs(2);

/// What a connection knows of the native profile.
pub(super) struct Native {
    nonce: ClientNonce,
    /// What a join signs, once the star has proved its id.
    terms: Option<JoinTerms>,
    namespaces: Vec<Namespace>,
    /// What callees and dialers get to see.
    record: Option<PeerRecord>,
    roster: Roster,
    pub(super) dials: BTreeMap<DialId, PipeDial>,
    /// Inbound dials that the swarm has not begun with, and until when.
    offers: BTreeMap<PipeToken, Instant>,
    offer_deadlines: BTreeSet<(Instant, PipeToken)>,
    legacy_peers: BTreeSet<PeerId>,
    pages: BTreeMap<Wanted, Instant>,
}

/// A dial that waits for its pipe.
pub(super) struct PipeDial {
    pub(super) peer: PeerId,
    pub(super) deadline: Instant,
}

impl Native {
    fn next_deadline(&self) -> Option<Instant> {
        let offer = self.offer_deadlines.first().map(|(deadline, _)| *deadline);
        let page = self.pages.values().min().copied();
        [offer, page].into_iter().flatten().min()
    }
}

impl Star {
    /// Begins to wait for the hello of a star that has offered one.
    pub(crate) fn native(
        config: &Config,
        keypair: libp2p_identity::Keypair,
        star: starpoint_wire::StarAddress,
        purpose: Purpose,
        record: Option<PeerRecord>,
        nonce: ClientNonce,
        now: Instant,
    ) -> Self {
        let mut machine = Self::new(config, keypair, star, purpose, now);
        machine.commands.clear();
        machine.state = State::AwaitsHello {
            deadline: now + config.join_deadline,
        };
        let namespaces = match purpose {
            Purpose::Home => each_once(&config.namespaces),
            Purpose::Visit => Vec::new(),
        };
        machine.native = Some(Native {
            nonce,
            terms: None,
            roster: Roster::new(&namespaces, config.max_peers),
            namespaces,
            record,
            dials: BTreeMap::new(),
            offers: BTreeMap::new(),
            offer_deadlines: BTreeSet::new(),
            legacy_peers: BTreeSet::new(),
            pages: BTreeMap::new(),
        });
        machine
    }

    /// Returns whether peers can be dialed by pipes.
    pub(crate) fn is_native(&self) -> bool {
        self.native.is_some()
    }

    pub(super) fn next_native_deadline(&self) -> Option<Instant> {
        self.native.as_ref().and_then(Native::next_deadline)
    }

    pub(super) fn native_timeout(&mut self, now: Instant) {
        let Some(native) = &mut self.native else {
            return;
        };
        let mut expired = Vec::new();
        while let Some((deadline, token)) = native.offer_deadlines.first().copied()
            && deadline <= now
        {
            native.offer_deadlines.remove(&(deadline, token));
            native.offers.remove(&token);
            expired.push(token);
        }
        let due = |at: &Instant| *at <= now;
        let wanted: Vec<_> = native.pages.iter().filter(|(_, at)| due(at)).collect();
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|(wanted, _)| wanted.clone())
            .collect();
        for token in expired {
            self.n_offers -= 1;
            self.emit_star(native::Call::Refuse { token });
            self.events.push_back(Event::PipeOfferExpired(token));
        }
        for wanted in wanted {
            self.ask_page(wanted);
        }
    }

    fn emit_star(&mut self, call: native::Call) {
        self.commands.push_back(Command::Emit(Call::Native(call)));
    }

    fn call_star(&mut self, tag: CallTag, call: native::Call) {
        self.commands
            .push_back(Command::Call(tag, Call::Native(call)));
    }

    /// Takes an event of the native profile. What cannot be read is ignored, except
    /// before the hello: then the star is none.
    pub(super) fn native_notice(&mut self, name: &str, args: &str, now: Instant) {
        let notice = native::Event::decode(name, args);
        if let State::AwaitsHello { deadline } = self.state {
            return match notice {
                Some(native::Event::Hello(hello)) => self.hello(&hello, deadline),
                Some(native::Event::Presence(_) | native::Event::Incoming { .. }) | None => {
                    self.fail(Error::Protocol(Violation::Hello));
                }
            };
        }
        match notice {
            Some(native::Event::Presence(batch)) if self.state == State::Joined => {
                if let Some(native) = &mut self.native {
                    let outcome = native.roster.batch(&batch);
                    self.apply(outcome, now);
                }
            }
            Some(native::Event::Incoming {
                from,
                token,
                record,
            }) => self.pipe_offered(from, token, record, now),
            Some(native::Event::Hello(_) | native::Event::Presence(_)) | None => {}
        }
    }

    /// Believes nothing of a hello before its signature is verified
    /// (R-NATIVE-12, R-NATIVE-14).
    fn hello(&mut self, signed: &SignedHello, deadline: Instant) {
        let Some(native) = &mut self.native else {
            return;
        };
        let Ok(hello) = signed.verify(&native.nonce) else {
            return self.fail(Error::StarUnproved);
        };
        let (star, host) = (hello.star, self.star.dialed_host());
        if hello.denies(&host) {
            return self.fail(Error::StarDenied(Box::new(StarDenial { star, host })));
        }
        if hello.openness == Openness::Open && self.challenge == Challenge::Required {
            return self.fail(Error::ChallengeDisabled);
        }
        native.terms = Some(JoinTerms {
            star,
            challenge: hello.challenge,
            expires: hello.expires,
        });
        self.state = State::AwaitsTrust { deadline };
        self.events.push_back(Event::Greeted(Greeted {
            star,
            is_vouched: hello.vouches_for(&host),
        }));
    }

    /// The star that has proved its id is to be joined.
    pub(crate) fn trust(&mut self) {
        let (State::AwaitsTrust { deadline }, Some(native)) = (self.state, &mut self.native) else {
            return;
        };
        let Some(terms) = native.terms.take() else {
            return;
        };
        let address = match self.purpose {
            Purpose::Home => Some(self.address.clone()),
            Purpose::Visit => None,
        };
        let join = JoinCall {
            key: Vec::new(),
            signature: Vec::new(),
            host: self.star.dialed_host(),
            address,
            namespaces: native.namespaces.clone(),
            record: native.record.clone(),
        };
        match join.sign(&terms, &self.keypair) {
            Ok(join) => {
                self.state = State::AwaitsVerdict { deadline };
                self.call_star(CallTag::StarJoin, native::Call::Join(Box::new(join)));
            }
            Err(_) => self.fail(Error::Key),
        }
    }

    pub(super) fn star_join_answered(&mut self, args: &str, now: Instant) {
        if !matches!(self.state, State::AwaitsVerdict { .. }) {
            return;
        }
        match native::JoinReply::decode(args) {
            Ok(native::JoinReply::Joined { pages, .. }) => {
                self.state = State::Joined;
                self.events.push_back(Event::Joined);
                for page in &pages {
                    self.page(page, None, now);
                }
            }
            Ok(native::JoinReply::Refused(RemoteRefusal::Known(refusal), _)) => {
                self.fail(Error::JoinRefused(refusal));
            }
            Ok(native::JoinReply::Refused(RemoteRefusal::Other(words), _)) => {
                self.fail(Error::JoinRefusedOther(text::printable(&words).into()));
            }
            Err(_) => self.fail(Error::Protocol(Violation::Answer)),
        }
    }

    fn page(&mut self, page: &Page, after: Option<PeerId>, now: Instant) {
        if let Some(native) = &mut self.native {
            let outcome = native.roster.page(page, after);
            self.apply(outcome, now);
        }
    }

    pub(super) fn page_answered(&mut self, wanted: &Wanted, args: &str, now: Instant) {
        match native::PageReply::decode(args) {
            Ok(native::PageReply::Page(page)) if page.namespace == wanted.namespace => {
                self.page(&page, wanted.after, now);
            }
            Ok(native::PageReply::Refused(_, retry)) => {
                if let Some(native) = &mut self.native {
                    let at = now + retry.unwrap_or(PAGE_RETRY);
                    native.pages.insert(wanted.clone(), at);
                }
            }
            Ok(native::PageReply::Page(_)) | Err(_) => {}
        }
    }

    fn apply(&mut self, outcome: Outcome, now: Instant) {
        for change in outcome.changes {
            match change {
                Change::Joined(peer) if peer != self.own => self.presence.joined(peer, now),
                Change::Left(peer) => self.presence.gone(peer),
                Change::Joined(_) => {}
            }
        }
        if let Some(wanted) = outcome.wanted {
            self.ask_page(wanted);
        }
    }

    fn ask_page(&mut self, wanted: Wanted) {
        if let Some(native) = &mut self.native {
            native.pages.remove(&wanted);
        }
        let call = native::Call::Peers {
            namespace: wanted.namespace.clone(),
            after: wanted.after,
        };
        self.call_star(CallTag::Page(wanted), call);
    }

    /// Dials a peer by a pipe, which `token` opens; if the peer does not take pipes,
    /// by the legacy profile. It is answered with [`Event::Dialed`], or by the pipe.
    pub(crate) fn dial_by_pipe(
        &mut self,
        dial: DialId,
        peer: PeerId,
        token: PipeToken,
        deadline: Instant,
    ) {
        let is_joined = self.state == State::Joined;
        let Some(native) = self.native.as_mut().filter(|_| is_joined) else {
            return self.dial(dial, peer, deadline);
        };
        if native.legacy_peers.contains(&peer) {
            return self.dial(dial, peer, deadline);
        }
        native
            .dials
            .insert(dial.clone(), PipeDial { peer, deadline });
        self.deadlines.insert((deadline, dial.clone()));
        let call = native::Call::Dial { to: peer, token };
        self.call_star(CallTag::StarDial(dial.clone(), peer), call);
        self.events.push_back(Event::OpenPipe(dial, token));
    }

    fn take_pipe_dial(&mut self, dial: &DialId) -> Option<PipeDial> {
        let pipe = self.native.as_mut()?.dials.remove(dial)?;
        self.deadlines.remove(&(pipe.deadline, dial.clone()));
        Some(pipe)
    }

    /// The pipe of a dial is open, or has failed for this reason; returns whether
    /// the dial still waited for it.
    pub(crate) fn pipe_settled(&mut self, dial: &DialId) -> bool {
        self.take_pipe_dial(dial).is_some()
    }

    pub(super) fn star_dial_answered(&mut self, dial: &DialId, peer: PeerId, args: &str) {
        let is_waiting = self
            .native
            .as_ref()
            .is_some_and(|native| native.dials.contains_key(dial));
        let answer = native::DialReply::decode(args);
        if let Ok(native::DialReply::Connected { record }) = answer {
            // The pipe itself says that it is open, and may have done so already.
            if let Some(record) = record {
                self.events.push_back(Event::Record(peer, record));
            }
            return;
        }
        if !is_waiting {
            return;
        }
        let Some(pipe) = self.take_pipe_dial(dial) else {
            return;
        };
        self.events.push_back(Event::AbandonPipe(dial.clone()));
        let error = match answer {
            Ok(native::DialReply::Refused(RemoteRefusal::Known(Refusal::LegacyPeer), _)) => {
                self.remember_legacy(pipe.peer);
                return self.dial(dial.clone(), pipe.peer, pipe.deadline);
            }
            Ok(native::DialReply::Refused(RemoteRefusal::Known(refusal), _)) => dial_error(refusal),
            Ok(native::DialReply::Refused(RemoteRefusal::Other(words), _)) => {
                Error::RefusedByPeer(text::printable(&words).into())
            }
            Ok(native::DialReply::Connected { .. }) | Err(_) => Error::Protocol(Violation::Answer),
        };
        self.events
            .push_back(Event::Dialed(dial.clone(), Err(error)));
    }

    fn remember_legacy(&mut self, peer: PeerId) {
        if let Some(native) = &mut self.native {
            if native.legacy_peers.len() >= MAX_LEGACY_PEERS {
                native.legacy_peers.pop_first();
            }
            native.legacy_peers.insert(peer);
        }
    }

    /// A dial has taken too long; returns whether it was one by a pipe.
    pub(super) fn expire_pipe_dial(&mut self, dial: &DialId) -> bool {
        if self.take_pipe_dial(dial).is_none() {
            return false;
        }
        self.events.push_back(Event::AbandonPipe(dial.clone()));
        let error = Error::Deadline(crate::error::Stage::Dial);
        self.events
            .push_back(Event::Dialed(dial.clone(), Err(error)));
        true
    }

    fn pipe_offered(
        &mut self,
        from: PeerId,
        token: PipeToken,
        record: Option<PeerRecord>,
        now: Instant,
    ) {
        let is_wanted = self.state == State::Joined
            && self.purpose == Purpose::Home
            && from != self.own
            && self.n_offers < self.max_offers;
        let deadline = now + self.accept_deadline;
        let Some(native) = self.native.as_mut().filter(|_| is_wanted) else {
            return self.emit_star(native::Call::Refuse { token });
        };
        // Said twice: the first one's deadline stays.
        if native.offers.contains_key(&token) {
            return;
        }
        native.offers.insert(token, deadline);
        native.offer_deadlines.insert((deadline, token));
        // Who dials natively is no legacy peer any more.
        native.legacy_peers.remove(&from);
        self.n_offers += 1;
        if let Some(record) = record {
            self.events.push_back(Event::Record(from, record));
        }
        self.events.push_back(Event::PipeOffered(token, from));
    }

    fn take_offer(&mut self, token: &PipeToken) -> bool {
        let Some(native) = &mut self.native else {
            return false;
        };
        let Some(deadline) = native.offers.remove(token) else {
            return false;
        };
        native.offer_deadlines.remove(&(deadline, *token));
        self.n_offers -= 1;
        true
    }

    /// The swarm has begun with an inbound dial: it opens its side.
    pub(crate) fn pipe_accepted(&mut self, token: &PipeToken) {
        self.take_offer(token);
    }

    /// The swarm does not want an inbound dial.
    pub(crate) fn refuse_pipe(&mut self, token: PipeToken) {
        if self.take_offer(&token) {
            self.emit_star(native::Call::Refuse { token });
        }
    }
}

/// A star reads a namespace that is named twice as named once, and so it is signed.
fn each_once(namespaces: &[Namespace]) -> Vec<Namespace> {
    let mut once = Vec::with_capacity(namespaces.len());
    for namespace in namespaces {
        if !once.contains(namespace) {
            once.push(namespace.clone());
        }
    }
    once
}

/// Returns the error that a refused dial is.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the two that have an error of their own"
)]
fn dial_error(refusal: Refusal) -> Error {
    match refusal {
        Refusal::PeerNotFound => Error::PeerNotFound,
        Refusal::PeerRefused => Error::RefusedByPeer(super::BUSY.into()),
        refusal => Error::Refused(refusal),
    }
}
