//! What clients do.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngExt;
use starpoint_broker::{Challenge, ConnId, quota};
use starpoint_wire::{
    Call, DialId, Direction, Refusal, StreamEnd, StreamId, legacy, limits::NONCE_LIFETIME,
};

use crate::{
    World,
    client::{Client, Expected, Pace},
    model::{Stage, StreamName, content},
    names::{peer_of, respelled},
};

const REASON: &str = "went wrong";

impl World {
    /// Lets somebody do something, then some time pass and the transports write.
    pub fn step(&mut self) {
        let wanted = self.plan.clients;
        if self.clients.len() < wanted && self.one_of(self.clients.len() as u32 / 20 + 1) {
            self.arrive();
        } else {
            self.act();
        }
        if self.one_of(3) {
            let most = self.plan.pause.as_micros() as u64;
            let pause = Duration::from_micros(self.rng.random_range(0..=most));
            self.advance(pause);
            self.write();
        }
    }

    fn one_of(&mut self, count: u32) -> bool {
        self.rng.random_ratio(1, count)
    }

    /// Somebody comes and, mostly, joins.
    pub fn arrive(&mut self) -> ConnId {
        let is_stopped = self.plan.one_stopped_of > 0 && self.one_of(self.plan.one_stopped_of);
        let pace = match self.rng.random_range(0..4) {
            _ if is_stopped => Pace::Stopped,
            0 => Pace::Slow(self.rng.random_range(1..6)),
            _ => Pace::Fast,
        };
        let identity = self.rng.random_range(0..self.identities.len());
        let is_modern = self.one_of(2);
        let conn = self.connect(Client::new(pace, identity, is_modern));
        self.join(conn);
        conn
    }

    /// Somebody comes who reads everything, and joins with an address of its own
    /// that names no peer.
    pub fn arrive_as(&mut self, number: usize) -> ConnId {
        let conn = self.connect(Client::new(Pace::Fast, 0, false));
        let address = format!("/dns4/host{number}.example/tcp/443/wss/p2p-websocket-star");
        self.join_as(conn, &address, String::new());
        conn
    }

    fn act(&mut self) {
        let Some(conn) = self.somebody() else { return };
        let client = self.clients.get_mut(&conn).expect("somebody is here");
        let is_heard = !client.is_closed && (!client.is_paused || client.late_calls > 0);
        if client.is_closed || self.one_of(400) {
            return self.disconnect(conn);
        }
        if !is_heard {
            return;
        }
        let client = self.clients.get_mut(&conn).expect("somebody is here");
        if client.is_paused {
            client.late_calls -= 1;
        }
        if !client.asked.is_empty() && self.one_of(2) {
            return self.take_question(conn);
        }
        match self.rng.random_range(0..100) {
            0..6 => self.join(conn),
            6..8 => self.leave(conn),
            8..20 => self.dial(conn),
            20..22 => self.dial_badly(conn),
            22..40 => self.accept(conn),
            40..92 => self.write_chunks(conn),
            92..97 => self.end(conn),
            _ => self.meddle(conn),
        }
    }

    fn somebody(&mut self) -> Option<ConnId> {
        let last = *self.clients.keys().next_back()?;
        let first = *self.clients.keys().next()?;
        let from = ConnId(self.rng.random_range(first.0..=last.0));
        self.clients.range(from..).next().map(|(conn, _)| *conn)
    }

    fn own_address(&mut self, conn: ConnId) -> String {
        let identity = self.clients[&conn].identity;
        let port = 4000 + u16::from(self.one_of(8));
        self.identities[identity].address(port)
    }

    fn spelled(&self, conn: ConnId, address: &str) -> String {
        match self.clients[&conn].is_modern {
            true => respelled(address),
            false => address.to_owned(),
        }
    }

    fn join(&mut self, conn: ConnId) {
        let address = self.own_address(conn);
        match self.plan.challenge {
            Challenge::Off => self.join_as(conn, &address, String::new()),
            Challenge::Required => self.join_with_proof(conn, &address),
        }
    }

    /// Joins with what gets the address.
    fn join_as(&mut self, conn: ConnId, address: &str, proof: String) {
        let client = self.clients.get_mut(&conn).expect("who joins is here");
        client.address = Some(address.to_owned());
        let is_modern = client.is_modern;
        self.register(conn, address);
        let expected = Expected::Joined(self.model.others(conn, is_modern));
        let address = self.spelled(conn, address);
        self.ask(
            conn,
            Call::Legacy(legacy::Call::Join { address, proof }),
            expected,
        );
    }

    /// One step of a join, with a right or a wrong proof.
    fn join_with_proof(&mut self, conn: ConnId, address: &str) {
        let client = self.clients.get_mut(&conn).expect("who joins is here");
        if client
            .pending
            .values()
            .any(|call| matches!(call, Expected::Challenge(..)))
        {
            return;
        }
        let identity = &self.identities[client.identity];
        let nonce = client.nonces.remove(address);
        let is_expired = |since: Instant| self.now >= since + NONCE_LIFETIME;
        let (proof, expected) = match (nonce, self.rng.random_range(0..8)) {
            (Some((nonce, since)), 0 | 2..8) if is_expired(since) => {
                let late = Refusal::ChallengeExpired.text();
                (identity.sign(&nonce), Expected::Refused(late))
            }
            (Some((nonce, _)), 0) => {
                let failed = self.model.failed_answers.entry(conn).or_default();
                *failed += 1;
                let refusal = match *failed < quota::MAX_FAILED_ANSWERS {
                    true => Refusal::SignatureInvalid,
                    false => Refusal::TooManyAttempts,
                };
                (
                    identity.sign(&format!("{nonce}!")),
                    Expected::Refused(refusal.text()),
                )
            }
            (Some(_), 1) | (None, 1..8) => (
                identity.public_key.clone(),
                Expected::Challenge(address.to_owned(), self.now),
            ),
            (Some((nonce, _)), _) => {
                let proof = identity.sign(&nonce);
                return self.join_as(conn, address, proof);
            }
            (None, _) => {
                let thief = identity.public_key.clone();
                let other = self.rng.random_range(0..self.identities.len());
                let victim = self.identities[other].address(4000);
                let is_own = peer_of(&victim) == peer_of(address);
                if is_own {
                    return;
                }
                let refused = Expected::Refused(Refusal::IdMismatch.text());
                let call = Call::Legacy(legacy::Call::Join {
                    address: victim,
                    proof: thief,
                });
                return self.ask(conn, call, refused);
            }
        };
        if matches!(expected, Expected::Challenge(..)) {
            // A new challenge sweeps the expired ones away.
            client.nonces.retain(|_, (_, since)| !is_expired(*since));
        }
        let address = self.spelled(conn, address);
        self.ask(
            conn,
            Call::Legacy(legacy::Call::Join { address, proof }),
            expected,
        );
    }

    fn leave(&mut self, conn: ConnId) {
        let address = self.own_address(conn);
        let client = self.clients.get_mut(&conn).expect("who leaves is here");
        if client
            .pending
            .values()
            .any(|call| matches!(call, Expected::Challenge(..)))
        {
            return;
        }
        client.nonces.remove(&address);
        let expected = match self.model.owner(&address) == Some(conn) {
            true => Expected::Done,
            false => Expected::Refused(Refusal::NotAuthorized.text()),
        };
        if expected == Expected::Done {
            self.model.unregister(&address);
        }
        let address = self.spelled(conn, &address);
        self.ask(
            conn,
            Call::Legacy(legacy::Call::Leave { address }),
            expected,
        );
    }

    fn dial(&mut self, conn: ConnId) {
        let Some(from) = self.clients[&conn].address.clone() else {
            return;
        };
        let to = self.rng.random_range(0..self.identities.len());
        let port = 4000 + u16::from(self.one_of(4));
        let to = self.identities[to].address(port);
        self.last_dial += 1;
        let id = format!("dial-{}", self.last_dial);
        self.dial_as(conn, &from, &to, &id);
    }

    fn dial_as(&mut self, conn: ConnId, from: &str, to: &str, id: &str) {
        let expected = if self.model.owner(from) != Some(conn) {
            Expected::Refused(Refusal::NotAuthorized.text())
        } else {
            match self.model.callee(to) {
                None => Expected::Refused(Refusal::PeerNotFound.text()),
                Some(callee) if callee == conn || peer_of(from) == peer_of(to) => {
                    Expected::Refused(Refusal::DialSelf.text())
                }
                Some(callee) => self.taken(conn, callee, id),
            }
        };
        let call = Call::Legacy(legacy::Call::Dial {
            from: self.spelled(conn, from),
            to: to.to_owned(),
            dial_id: id.to_owned(),
        });
        let busy = |world: &Self| {
            let refusals = &world.counters().refusals;
            refusals
                .get(&Refusal::TooManyDials)
                .copied()
                .unwrap_or_default()
        };
        let before = busy(self);
        self.ask(conn, call, expected);
        if busy(self) > before {
            self.model.forget_dial(id);
        }
    }

    fn taken(&mut self, conn: ConnId, callee: ConnId, id: &str) -> Expected {
        let ack = self.upcoming_ack();
        self.model.begin_dial(id, conn, callee, ack, self.now);
        let is_prompt = |conn| self.clients[&conn].is_prompt();
        match is_prompt(conn) && is_prompt(callee) {
            true => Expected::Dial(id.to_owned()),
            false => Expected::DialOrBusy(id.to_owned()),
        }
    }

    fn dial_badly(&mut self, conn: ConnId) {
        let known = self.model.dials.iter().rev().take(50);
        let alive: Vec<_> = known
            .filter(|(id, dial)| {
                let is_mine = dial.dialer == conn || dial.callee == conn;
                is_mine && self.model.is_link_alive(id)
            })
            .map(|(id, dial)| (id.clone(), dial.dialer, dial.callee))
            .collect();
        let Some((id, dialer, callee)) = alive.first().cloned() else {
            return;
        };
        let other = if dialer == conn { callee } else { dialer };
        let address_of = |conn| {
            let found = self
                .model
                .registered
                .values()
                .find(|(_, owner)| *owner == conn);
            found.map(|(address, _)| address.clone())
        };
        let (Some(from), Some(to)) = (address_of(conn), address_of(other)) else {
            return;
        };
        if self.is_vague() || peer_of(&from) == peer_of(&to) {
            return;
        }
        let expected = Expected::Refused(Refusal::DuplicateDialId.text());
        let call = Call::Legacy(legacy::Call::Dial {
            from,
            to,
            dial_id: id,
        });
        self.ask(conn, call, expected);
    }

    fn take_question(&mut self, conn: ConnId) {
        let client = self.clients.get_mut(&conn).expect("who is asked is here");
        let which = self.rng.random_range(0..client.asked.len());
        let (link, id) = client.asked.swap_remove(which);
        match self.rng.random_range(0..10) {
            0 => {}
            1 => self.answer(link, &id, Some("busy")),
            2 => {
                self.answer(link, &id, None);
                self.accept_stream(conn, &(id, Direction::Dialer));
            }
            _ => {
                self.accept_stream(conn, &(id.clone(), Direction::Dialer));
                self.answer(link, &id, None);
            }
        }
    }

    /// Streams of the newest dials that a connection reads or writes.
    fn streams_of(
        &self,
        conn: ConnId,
        is_it: impl Fn(&StreamName, bool) -> bool,
    ) -> Vec<StreamName> {
        let newest = self.model.streams.iter().rev().take(600);
        newest
            .filter(|(name, stream)| {
                (stream.reader == conn || stream.writer == conn)
                    && is_it(name, stream.reader == conn)
            })
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn accept(&mut self, conn: ConnId) {
        let streams = &self.model.streams;
        let unread = self.streams_of(conn, |name, is_reader| {
            is_reader && !streams[name].is_accepted
        });
        for name in unread {
            let stage = self.model.dials[&name.0].stage;
            if name.1 == Direction::Listener && stage == Stage::Open && !self.one_of(20) {
                self.accept_stream(conn, &name);
            }
        }
    }

    fn accept_stream(&mut self, conn: ConnId, name: &StreamName) {
        let is_valid = self.model.streams.get(name).is_some_and(|stream| {
            let is_early =
                name.1 == Direction::Listener && self.model.dials[&name.0].stage != Stage::Open;
            stream.reader == conn && !is_early && !stream.is_done()
        });
        let call = Call::Legacy(legacy::Call::StreamAccept {
            stream: stream_id(name),
        });
        let is_stray = self.stream_call(conn, call);
        self.judge(is_valid, is_stray, name);
        if !is_stray {
            self.model.stream(&name.0, name.1).is_accepted = true;
        }
        self.settle();
    }

    fn write_chunks(&mut self, conn: ConnId) {
        let written = self.streams_of(conn, |_, is_reader| !is_reader);
        if written.is_empty() {
            return;
        }
        let name = &written[self.rng.random_range(0..written.len())];
        let is_bulk = self.one_of(4);
        for _ in 0..if is_bulk { 20 } else { 2 } {
            let client = &self.clients[&conn];
            if client.is_paused && client.late_calls == 0 {
                return;
            }
            let most = if is_bulk { self.plan.chunk_bytes } else { 64 };
            let len = self.rng.random_range(0..=most);
            self.write_chunk(conn, name, len);
        }
    }

    fn write_chunk(&mut self, conn: ConnId, name: &StreamName, len: usize) {
        let is_valid = self.may_write(conn, name);
        let Some(stream) = self.model.streams.get_mut(name) else {
            return;
        };
        let payload: Bytes = content(name, stream.sent.len(), len).into();
        let stream = stream_id(name);
        let is_stray = self.stream_call(
            conn,
            Call::Legacy(legacy::Call::StreamQueue { stream, payload }),
        );
        self.judge(is_valid, is_stray, name);
        if !is_stray {
            self.model.stream(&name.0, name.1).sent.push(len);
        }
        self.settle();
        let stream = self.model.stream(&name.0, name.1);
        let must_wait = !is_stray && stream.waiting_bytes() > quota::STREAM_HIGH_BYTES;
        assert!(
            !must_wait || self.clients[&conn].is_paused,
            "{name:?} is read on"
        );
    }

    fn may_write(&self, conn: ConnId, name: &StreamName) -> bool {
        self.model.streams.get(name).is_some_and(|stream| {
            let is_agreed = match (name.1, self.model.dials[&name.0].stage) {
                (_, Stage::Open) => true,
                (Direction::Dialer, Stage::Asking) => true,
                (Direction::Listener, Stage::Asking) | (_, Stage::Failed) => false,
            };
            stream.writer == conn && is_agreed && stream.is_open()
        })
    }

    fn end(&mut self, conn: ConnId) {
        let written = self.streams_of(conn, |_, is_reader| !is_reader);
        if written.is_empty() {
            return;
        }
        let name = &written[self.rng.random_range(0..written.len())];
        let end = match self.one_of(4) {
            true => StreamEnd::Error(REASON.into()),
            false => StreamEnd::Clean,
        };
        let is_valid = self.may_write(conn, name);
        let call = Call::Legacy(legacy::Call::StreamError {
            stream: stream_id(name),
            end: end.clone(),
        });
        let is_stray = self.stream_call(conn, call);
        self.judge(is_valid, is_stray, name);
        if !is_stray {
            let now = self.now;
            let stream = self.model.stream(&name.0, name.1);
            stream.writer_end = Some(end);
            stream.ended_at.get_or_insert(now);
        }
        self.settle();
    }

    /// Does to a stream what only another may do.
    fn meddle(&mut self, conn: ConnId) {
        let streams = self.model.streams.iter().rev().take(20);
        let foreign: Vec<_> = streams
            .map(|(name, stream)| (name.clone(), stream.reader == conn))
            .collect();
        for (name, is_reader) in foreign {
            let is_mine = self.model.streams[&name].writer == conn;
            let stream = stream_id(&name);
            let call = match (is_reader, is_mine) {
                (true, _) => Call::Legacy(legacy::Call::StreamQueue {
                    stream,
                    payload: Bytes::from_static(b"x"),
                }),
                (_, true) => Call::Legacy(legacy::Call::StreamAccept { stream }),
                (false, false) => Call::Legacy(legacy::Call::StreamError {
                    stream,
                    end: StreamEnd::Clean,
                }),
            };
            let is_stray = self.stream_call(conn, call);
            assert!(is_stray, "{conn:?} got hold of {name:?}");
            self.settle();
        }
    }

    /// Compares what the broker made of a stream event with what it should.
    fn judge(&self, is_valid: bool, is_stray: bool, name: &StreamName) {
        let is_right = is_valid != is_stray || (is_stray && self.is_vague());
        let stream = self.model.streams.get(name);
        let dial = self.model.dials.get(&name.0);
        assert!(
            is_right,
            "valid: {is_valid}, stray: {is_stray}: {name:?} {stream:?} {dial:?}"
        );
    }
}

fn stream_id(name: &StreamName) -> StreamId {
    StreamId {
        dial: DialId::parse(&name.0).expect("a dial id"),
        direction: name.1,
    }
}
