//! What the swarm wants of a star.

use bytes::Bytes;
use libp2p_identity::PeerId;
use starpoint_wire::{Call, DialId, StreamEnd, legacy, native};
use web_time::Instant;

use super::{BUSY, CallTag, Command, Event, PROBE_DEADLINE, Star, State};
use crate::{
    error::Error,
    machine::link::{Link, Phase, Writing},
};

impl Star {
    /// Dials a peer at this star. `dial` is a fresh random name; it is answered
    /// with [`Event::Dialed`].
    pub(crate) fn dial(&mut self, dial: DialId, peer: PeerId, deadline: Instant) {
        if self.state != State::Joined {
            let error = match self.state {
                State::Left => Error::TakenOver,
                State::AwaitsHello { .. }
                | State::AwaitsTrust { .. }
                | State::AwaitsChallenge { .. }
                | State::AwaitsVerdict { .. }
                | State::Joined
                | State::Failed => Error::Closed,
            };
            return self.events.push_back(Event::Dialed(dial, Err(error)));
        }
        let to = match self.presence.address_of(&peer) {
            Some(address) => address.to_owned(),
            None => self.star.with_peer(peer).to_legacy_string(),
        };
        let call = Call::Legacy(legacy::Call::Dial {
            from: self.address.clone(),
            to,
            dial_id: dial.as_str().to_owned(),
        });
        self.insert(dial.clone(), Link::dialing(deadline));
        self.commands
            .push_back(Command::Call(CallTag::Dial(dial), call));
    }

    /// Takes an inbound dial; returns whether it is still there.
    pub(crate) fn accept(&mut self, dial: &DialId) -> bool {
        let Some(Phase::Offered { token, .. }) = self.links.get(dial).map(|link| link.phase) else {
            return false;
        };
        let link = self.remove(dial).expect("it was found");
        let accept = Call::Legacy(legacy::Call::StreamAccept {
            stream: link.remote_stream(dial),
        });
        let phase = Phase::Open;
        self.insert(dial.clone(), Link { phase, ..link });
        self.commands.push_back(Command::Emit(accept));
        self.commands.push_back(Command::Answer(token, Ok(())));
        true
    }

    /// Refuses an inbound dial that the swarm does not want.
    pub(crate) fn refuse(&mut self, dial: &DialId) {
        let Some(Phase::Offered { token, .. }) = self.links.get(dial).map(|link| link.phase) else {
            return;
        };
        self.remove(dial);
        self.commands.push_back(Command::Answer(token, Err(BUSY)));
    }

    pub(crate) fn may_write(&self, dial: &DialId) -> bool {
        self.links.get(dial).is_some_and(Link::may_write)
    }

    /// Sends a chunk. Does nothing unless [`may_write`](Self::may_write).
    pub(crate) fn write(&mut self, dial: &DialId, payload: Bytes) {
        if let Some(link) = self.links.get(dial).filter(|link| link.may_write()) {
            let stream = link.own_stream(dial);
            self.commands
                .push_back(Command::Emit(Call::Legacy(legacy::Call::StreamQueue {
                    stream,
                    payload,
                })));
        }
    }

    /// Ends the own stream of a link, if it has not ended.
    pub(crate) fn end(&mut self, dial: &DialId, end: StreamEnd) {
        let Some(link) = self.links.get_mut(dial) else {
            return;
        };
        if link.phase != Phase::Open || link.writing == Writing::Ended {
            return;
        }
        link.writing = Writing::Ended;
        let stream = link.own_stream(dial);
        let is_over = link.is_remote_ended;
        self.commands
            .push_back(Command::Emit(Call::Legacy(legacy::Call::StreamError {
                stream,
                end,
            })));
        if is_over {
            self.remove(dial);
        }
    }

    /// Ends a link that nobody uses any more. What still comes for it is ignored.
    pub(crate) fn forget(&mut self, dial: &DialId, why: &str) {
        self.end(dial, StreamEnd::Error(why.to_owned()));
        self.remove(dial);
    }

    /// Gives up the address. Links go on; new ones are not to be had.
    pub(crate) fn leave(&mut self) {
        if self.state == State::Joined {
            self.state = State::Left;
            let call = if self.is_native() {
                Call::Native(native::Call::Leave)
            } else {
                Call::Legacy(legacy::Call::Leave {
                    address: self.address.clone(),
                })
            };
            self.commands.push_back(Command::Emit(call));
        }
    }

    /// Finds out whether the star is still there: any answer will do. An address
    /// that nobody has joined with is refused at once by every star.
    pub(crate) fn probe(&mut self, dial: &DialId, now: Instant) {
        if self.probe.is_some() {
            return;
        }
        self.probe = Some(now + PROBE_DEADLINE);
        let nobody = self.star.without_peer().to_legacy_string();
        let call = Call::Legacy(legacy::Call::Dial {
            from: nobody.clone(),
            to: nobody,
            dial_id: dial.as_str().to_owned(),
        });
        self.commands.push_back(Command::Call(CallTag::Probe, call));
    }

    /// Returns whether a [`probe`](Self::probe) waits for its answer.
    pub(crate) fn is_probing(&self) -> bool {
        self.probe.is_some()
    }
}
