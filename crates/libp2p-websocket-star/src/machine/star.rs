//! One connection to a star, from the join on.

mod legacy;
mod native;
mod requests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use libp2p_identity::{Keypair, PeerId};
use starpoint_wire::{
    Call, DialId, StarAddress, StreamEnd, challenge,
    native::{PeerRecord, PipeToken},
};
use web_time::Instant;

use super::{
    link::{Link, Phase, Token},
    presence::Presence,
    roster::Wanted,
};
use crate::{
    config::{Challenge, Config},
    error::{Error, Stage},
};

/// With which words a dial is refused that nobody has time for.
pub(crate) const BUSY: &str = "busy";

/// With which words a dial is refused at a star where nobody listens.
pub(crate) const NOT_LISTENING: &str = "not listening";

/// With which words a stream ends that its writer has dropped.
pub(crate) const RESET: &str = "reset";

/// How long a star may take to answer after sleep.
const PROBE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

/// Who is connected, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Listens: takes inbound dials and knows who is here.
    Home,
    /// Only dials.
    Visit,
}

/// What a call was, for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallTag {
    Join,
    Dial(DialId),
    Probe,
    StarJoin,
    StarDial(DialId, PeerId),
    Page(Wanted),
}

/// What has to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Asks for an answer.
    Call(CallTag, Call),
    Emit(Call),
    /// Answers an inbound dial: accepts, or refuses with these words.
    Answer(Token, Result<(), &'static str>),
}

/// A star that has proved its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeted {
    pub(crate) star: PeerId,
    /// Its operator has named the host at which it was dialed.
    pub(crate) is_vouched: bool,
}

/// What has happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The star has proved its id; it is joined after [`Star::trust`].
    Greeted(Greeted),
    Joined,
    /// The connection is of no more use.
    Failed(Error),
    /// Another process has this peer's address now. Links go on; dials do not.
    TakenOver,
    Dialed(DialId, Result<(), Error>),
    Incoming(DialId, PeerId),
    /// The swarm took too long with an inbound dial.
    OfferExpired(DialId),
    /// A stream may be written from now on.
    Writable(DialId),
    Data(DialId, Bytes),
    Ended(DialId, StreamEnd),
    /// The pipe of a dial is to be opened.
    OpenPipe(DialId, PipeToken),
    /// The pipe of a dial is of no more use.
    AbandonPipe(DialId),
    /// A peer dials by a pipe.
    PipeOffered(PipeToken, PeerId),
    /// The swarm took too long with it.
    PipeOfferExpired(PipeToken),
    /// Where else a peer may be found, unchecked.
    Record(PeerId, PeerRecord),
}

/// ```text
///   AwaitsHello ─ hello ─► AwaitsTrust ─┐
///   AwaitsChallenge ─ nonce ─► AwaitsVerdict ─ list ─► Joined ─ evicted, left ─► Left
///          └───── list, if the challenge is optional ────▲
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitsHello {
        deadline: Instant,
    },
    AwaitsTrust {
        deadline: Instant,
    },
    AwaitsChallenge {
        deadline: Instant,
    },
    AwaitsVerdict {
        deadline: Instant,
    },
    Joined,
    /// No address any more: links go on, new ones are not to be had.
    Left,
    /// `Event::Failed` was reported.
    Failed,
}

/// The peer's half of the protocol on one connection.
///
/// After every `handle_*` and every request, [`next_command`](Self::next_command)
/// and [`next_event`](Self::next_event) are to be drained; then
/// [`next_deadline`](Self::next_deadline) says when to call
/// [`handle_timeout`](Self::handle_timeout).
pub(crate) struct Star {
    keypair: Keypair,
    own: PeerId,
    star: StarAddress,
    /// What was joined with.
    address: String,
    purpose: Purpose,
    challenge: Challenge,
    max_offers: usize,
    accept_deadline: std::time::Duration,
    state: State,
    links: BTreeMap<DialId, Link>,
    deadlines: BTreeSet<(Instant, DialId)>,
    n_offers: usize,
    probe: Option<Instant>,
    presence: Presence,
    native: Option<native::Native>,
    commands: VecDeque<Command>,
    events: VecDeque<Event>,
}

impl Star {
    /// Begins a join.
    pub(crate) fn new(
        config: &Config,
        keypair: Keypair,
        star: StarAddress,
        purpose: Purpose,
        now: Instant,
    ) -> Self {
        let own = keypair.public().to_peer_id();
        let address = star.with_peer(own).to_legacy_string();
        let join = legacy::join_call(
            address.clone(),
            challenge::encode_public_key(&keypair.public()),
        );
        let max_peers = match purpose {
            Purpose::Home => config.max_peers,
            Purpose::Visit => 0,
        };
        Self {
            keypair,
            own,
            star,
            address,
            purpose,
            challenge: config.challenge,
            max_offers: config.max_pending_inbound,
            accept_deadline: config.accept_deadline,
            state: State::AwaitsChallenge {
                deadline: now + config.join_deadline,
            },
            links: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            n_offers: 0,
            probe: None,
            presence: Presence::new(max_peers, config.announce_interval),
            native: None,
            commands: VecDeque::from([Command::Call(CallTag::Join, join)]),
            events: VecDeque::new(),
        }
    }

    pub(crate) fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    pub(crate) fn n_commands(&self) -> usize {
        self.commands.len()
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn presence(&mut self) -> &mut Presence {
        &mut self.presence
    }

    /// Returns whether anything is left that needs the connection.
    pub(crate) fn has_links(&self) -> bool {
        !self.links.is_empty() || self.native.as_ref().is_some_and(|n| !n.dials.is_empty())
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let join = match self.state {
            State::AwaitsHello { deadline }
            | State::AwaitsTrust { deadline }
            | State::AwaitsChallenge { deadline }
            | State::AwaitsVerdict { deadline } => Some(deadline),
            State::Joined | State::Left | State::Failed => None,
        };
        let link = self.deadlines.first().map(|(deadline, _)| *deadline);
        let native = self.next_native_deadline();
        let times = [join, link, self.probe, self.presence.next_expiry(), native];
        times.into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::AwaitsHello { deadline }
            | State::AwaitsTrust { deadline }
            | State::AwaitsChallenge { deadline }
            | State::AwaitsVerdict { deadline }
                if deadline <= now =>
            {
                self.fail(Error::Deadline(Stage::Join));
            }
            State::AwaitsHello { .. }
            | State::AwaitsTrust { .. }
            | State::AwaitsChallenge { .. }
            | State::AwaitsVerdict { .. }
            | State::Joined
            | State::Left
            | State::Failed => {}
        }
        if self.probe.is_some_and(|deadline| deadline <= now) {
            self.probe = None;
            self.fail(Error::Slept);
        }
        while let Some((deadline, dial)) = self.deadlines.first().cloned()
            && deadline <= now
        {
            self.expire_link(&dial);
        }
        self.presence.expire(now);
        self.native_timeout(now);
    }

    fn expire_link(&mut self, dial: &DialId) {
        if self.expire_pipe_dial(dial) {
            return;
        }
        let Some(link) = self.remove(dial) else {
            return;
        };
        match link.phase {
            Phase::Dialing { .. } => {
                let error = Error::Deadline(Stage::Dial);
                self.events
                    .push_back(Event::Dialed(dial.clone(), Err(error)));
            }
            Phase::Offered { token, .. } => {
                self.commands.push_back(Command::Answer(token, Err(BUSY)));
                self.events.push_back(Event::OfferExpired(dial.clone()));
            }
            Phase::Open => {}
        }
    }

    fn remove(&mut self, dial: &DialId) -> Option<Link> {
        let link = self.links.remove(dial)?;
        if let Some(deadline) = link.deadline() {
            self.deadlines.remove(&(deadline, dial.clone()));
        }
        if matches!(link.phase, Phase::Offered { .. }) {
            self.n_offers -= 1;
        }
        Some(link)
    }

    fn insert(&mut self, dial: DialId, link: Link) {
        if let Some(deadline) = link.deadline() {
            self.deadlines.insert((deadline, dial.clone()));
        }
        if matches!(link.phase, Phase::Offered { .. }) {
            self.n_offers += 1;
        }
        self.links.insert(dial, link);
    }

    /// The star is not to be joined, for this reason.
    pub(crate) fn distrust(&mut self, error: Error) {
        self.commands.clear();
        self.fail(error);
    }

    fn fail(&mut self, error: Error) {
        if self.state != State::Failed {
            self.state = State::Failed;
            self.events.push_back(Event::Failed(error));
        }
    }
}

#[cfg(test)]
mod tests;
