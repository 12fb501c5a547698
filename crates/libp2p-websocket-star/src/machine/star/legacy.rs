//! The legacy profile: events and replies of a star, untrusted until decoded.

use bytes::Bytes;
use starpoint_wire::{
    AddressRule, Call, DialId, Direction, Nonce, PeerAddress, Refusal, RemoteRefusal, ReplyError,
    StreamEnd, StreamId, challenge, legacy,
};
use web_time::Instant;

use super::{BUSY, CallTag, Command, Event, NOT_LISTENING, Purpose, RESET, Star, State};
use crate::{
    config::Challenge,
    error::{Error, Violation},
    machine::link::{Link, Phase, Token, Writing},
    text,
};

/// Creates a join; `proof` is the public key, or the signature of a challenge.
pub(super) fn join_call(address: String, proof: String) -> Call {
    Call::Legacy(legacy::Call::Join { address, proof })
}

impl Star {
    /// Takes an event; `token` is set if it wants an answer. Returns whether it
    /// will be answered. What cannot be read is ignored, as a star ignores it.
    pub(crate) fn handle_event(
        &mut self,
        name: &str,
        args: &str,
        attachments: &[Bytes],
        token: Option<Token>,
        now: Instant,
    ) -> bool {
        let awaits_hello = matches!(self.state, State::AwaitsHello { .. });
        if awaits_hello || (self.is_native() && name.starts_with("star-")) {
            self.native_notice(name, args, now);
            return false;
        }
        let Ok(notice) = legacy::Event::decode(name, args, attachments) else {
            return false;
        };
        match notice {
            legacy::Event::Incoming { dial_id, from } => {
                let Some(token) = token else {
                    return false;
                };
                self.incoming(token, dial_id, &from, now);
                return true;
            }
            legacy::Event::Peer { address } => self.announced(&address, now),
            legacy::Event::Evicted { .. } => {
                if self.state == State::Joined {
                    self.state = State::Left;
                    self.events.push_back(Event::TakenOver);
                }
            }
            legacy::Event::StreamAccept { stream } => self.accepted(&stream),
            legacy::Event::StreamQueue { stream, payload } => self.data(&stream, payload),
            legacy::Event::StreamError { stream, end } => self.ended(&stream, end),
        }
        false
    }

    /// Takes the answer to a call.
    pub(crate) fn handle_answer(&mut self, tag: &CallTag, args: &str, now: Instant) {
        match tag {
            CallTag::Join => self.join_answered(args, now),
            CallTag::Dial(dial) => self.dial_answered(dial, args),
            CallTag::Probe => self.probe = None,
            CallTag::StarJoin => self.star_join_answered(args, now),
            CallTag::StarDial(dial, peer) => self.star_dial_answered(dial, *peer, args),
            CallTag::Page(wanted) => self.page_answered(wanted, args, now),
        }
    }

    fn incoming(&mut self, token: Token, dial: DialId, from: &str, now: Instant) {
        let peer = PeerAddress::parse(from, AddressRule::AnyMultiaddr)
            .ok()
            .and_then(|address| address.peer());
        let refusal = match peer {
            _ if self.state != State::Joined || self.purpose != Purpose::Home => {
                Some(NOT_LISTENING)
            }
            None => Some(Refusal::InvalidAddress.text()),
            Some(peer) if peer == self.own => Some(Refusal::DialSelf.text()),
            Some(_) if self.links.contains_key(&dial) => Some(Refusal::DuplicateDialId.text()),
            Some(_) if self.n_offers >= self.max_offers => Some(BUSY),
            Some(_) => None,
        };
        match (refusal, peer) {
            (None, Some(peer)) => {
                let deadline = now + self.accept_deadline;
                self.insert(dial.clone(), Link::offered(token, deadline));
                self.events.push_back(Event::Incoming(dial, peer));
            }
            (refusal, _) => {
                let words = refusal.unwrap_or(BUSY);
                self.commands.push_back(Command::Answer(token, Err(words)));
            }
        }
    }

    fn announced(&mut self, address: &str, now: Instant) {
        if self.purpose != Purpose::Home || self.state != State::Joined {
            return;
        }
        let parsed = PeerAddress::parse(address, AddressRule::AnyMultiaddr);
        if let Some(peer) = parsed.ok().and_then(|address| address.peer())
            && peer != self.own
        {
            self.presence.announced(peer, address, now);
        }
    }

    /// The star lets us write. It may do so before the callee has agreed.
    fn accepted(&mut self, stream: &StreamId) {
        let Some(link) = self.links.get_mut(&stream.dial) else {
            return;
        };
        if link.role == stream.direction && link.writing == Writing::Unaccepted {
            link.writing = Writing::Accepted;
            if link.phase == Phase::Open {
                self.events.push_back(Event::Writable(stream.dial.clone()));
            }
        }
    }

    fn data(&mut self, stream: &StreamId, chunk: Bytes) {
        if self.is_readable(stream) && !chunk.is_empty() {
            self.events
                .push_back(Event::Data(stream.dial.clone(), chunk));
        }
    }

    fn ended(&mut self, stream: &StreamId, end: StreamEnd) {
        if !self.is_readable(stream) {
            return;
        }
        let dial = &stream.dial;
        let link = self.links.get_mut(dial).expect("it is readable");
        link.is_remote_ended = true;
        if link.writing == Writing::Ended {
            self.remove(dial);
        }
        let end = match end {
            StreamEnd::Clean => StreamEnd::Clean,
            StreamEnd::Error(words) => StreamEnd::Error(text::printable(&words)),
        };
        self.events.push_back(Event::Ended(dial.clone(), end));
    }

    fn is_readable(&self, stream: &StreamId) -> bool {
        self.links.get(&stream.dial).is_some_and(|link| {
            link.phase == Phase::Open
                && link.role.opposite() == stream.direction
                && !link.is_remote_ended
        })
    }

    fn join_answered(&mut self, args: &str, now: Instant) {
        let reply = legacy::JoinReply::decode(args);
        match (self.state, reply) {
            (
                State::AwaitsHello { .. }
                | State::AwaitsTrust { .. }
                | State::Joined
                | State::Left
                | State::Failed,
                _,
            ) => {}
            (_, Err(ReplyError::Challenge)) => {
                self.fail(Error::Protocol(Violation::Challenge));
            }
            (_, Err(_)) => self.fail(Error::Protocol(Violation::Answer)),
            (State::AwaitsChallenge { deadline }, Ok(legacy::JoinReply::Challenge(nonce))) => {
                self.sign(&nonce, deadline);
            }
            (State::AwaitsVerdict { .. }, Ok(legacy::JoinReply::Challenge(_))) => {
                self.fail(Error::Protocol(Violation::SecondChallenge));
            }
            (State::AwaitsChallenge { .. }, Ok(legacy::JoinReply::Joined { .. }))
                if self.challenge == Challenge::Required =>
            {
                self.fail(Error::ChallengeDisabled);
            }
            (_, Ok(legacy::JoinReply::Joined { others })) => {
                self.state = State::Joined;
                self.events.push_back(Event::Joined);
                for address in &others {
                    self.announced(address, now);
                }
            }
            (_, Ok(legacy::JoinReply::Refused(RemoteRefusal::Known(refusal)))) => {
                self.fail(Error::JoinRefused(refusal));
            }
            (_, Ok(legacy::JoinReply::Refused(RemoteRefusal::Other(words)))) => {
                let words = text::printable(&words).into();
                self.fail(Error::JoinRefusedOther(words));
            }
        }
    }

    fn sign(&mut self, nonce: &Nonce, deadline: Instant) {
        match challenge::sign(&self.keypair, nonce.as_str()) {
            Ok(proof) => {
                self.state = State::AwaitsVerdict { deadline };
                let address = self.address.clone();
                let join = join_call(address, proof);
                self.commands.push_back(Command::Call(CallTag::Join, join));
            }
            Err(_) => self.fail(Error::Key),
        }
    }

    fn dial_answered(&mut self, dial: &DialId, args: &str) {
        let is_dialing = |link: &Link| matches!(link.phase, Phase::Dialing { .. });
        if !self.links.get(dial).is_some_and(is_dialing) {
            return self.answered_too_late(dial, args);
        }
        let link = self.remove(dial).expect("it was found");
        let result = match legacy::DialReply::decode(args) {
            Ok(legacy::DialReply::Connected) => Ok(()),
            Ok(legacy::DialReply::Refused(RemoteRefusal::Known(Refusal::PeerNotFound))) => {
                Err(Error::PeerNotFound)
            }
            Ok(legacy::DialReply::Refused(RemoteRefusal::Known(refusal))) => {
                Err(Error::Refused(refusal))
            }
            Ok(legacy::DialReply::Refused(RemoteRefusal::Other(words))) => {
                Err(Error::RefusedByPeer(text::printable(&words).into()))
            }
            Err(_) => Err(Error::Protocol(Violation::Answer)),
        };
        let is_connected = result.is_ok();
        self.events.push_back(Event::Dialed(dial.clone(), result));
        if !is_connected {
            return;
        }
        let stream = link.remote_stream(dial);
        let phase = Phase::Open;
        self.insert(dial.clone(), Link { phase, ..link });
        self.commands
            .push_back(Command::Emit(Call::Legacy(legacy::Call::StreamAccept {
                stream,
            })));
        if link.writing == Writing::Accepted {
            self.events.push_back(Event::Writable(dial.clone()));
        }
    }

    /// The callee has a connection that nobody wants any more: ends it.
    fn answered_too_late(&mut self, dial: &DialId, args: &str) {
        if matches!(
            legacy::DialReply::decode(args),
            Ok(legacy::DialReply::Connected)
        ) && !self.links.contains_key(dial)
        {
            let stream = StreamId {
                dial: dial.clone(),
                direction: Direction::Dialer,
            };
            let end = StreamEnd::Error(RESET.to_owned());
            self.commands
                .push_back(Command::Emit(Call::Legacy(legacy::Call::StreamError {
                    stream,
                    end,
                })));
        }
    }
}
