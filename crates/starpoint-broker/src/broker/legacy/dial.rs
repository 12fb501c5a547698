//! Dialing: ask the callee, wait for its answer, give up in time.

use std::{cmp::Reverse, time::Instant};

use rand_core::CryptoRng;
use starpoint_wire::{
    AddressRule, Cut, DialId, Direction, PeerAddress, Refusal, legacy, limits::DIAL_DEADLINE,
};

use crate::broker::Broker;
use crate::{
    deadline::Deadline,
    id::{AckId, ConnId, LinkId},
    legacy::link::{Link, Phase},
    message::Message,
    quota::{self, DIAL_RATE},
    tally::{Full, Route},
};

impl<R: CryptoRng> Broker<R> {
    /// Handles `ss-dial` (R-DIAL-1 to R-DIAL-9).
    pub(in crate::broker) fn dial(
        &mut self,
        conn: ConnId,
        from: &str,
        to: &str,
        dial_id: &str,
        ack: AckId,
        now: Instant,
    ) {
        self.counters.dials += 1;
        if let Err(refusal) = self.try_dial(conn, from, to, dial_id, ack, now) {
            self.counters.dials_failed += 1;
            self.refuse(conn, ack, refusal);
        }
    }

    fn try_dial(
        &mut self,
        conn: ConnId,
        from: &str,
        to: &str,
        dial_id: &str,
        ack: AckId,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Some(dialer) = self.conns.get_mut(&conn) else {
            return Err(Refusal::PeerGone);
        };
        if !dialer.dials.take(DIAL_RATE, now) {
            return Err(Refusal::TooManyRequests);
        }
        if self.is_draining {
            return Err(Refusal::ShuttingDown);
        }
        let from = PeerAddress::parse(from, AddressRule::AnyMultiaddr)?;
        let to = PeerAddress::parse(to, AddressRule::AnyMultiaddr)?;
        let proved = dialer.joined();
        let is_proved = proved.is_some_and(|joined| from.peer() == Some(joined.peer));
        if !is_proved && !dialer.addresses.contains(from.key()) {
            return Err(Refusal::NotAuthorized);
        }
        let dial_id = DialId::parse(dial_id).ok_or(Refusal::InvalidDialId)?;
        let callee = self.directory.find(&to).ok_or(Refusal::PeerNotFound)?.conn;
        if callee == conn || (from.peer().is_some() && from.peer() == to.peer()) {
            return Err(Refusal::DialSelf);
        }
        self.check_room(conn, callee, &dial_id, now)?;
        self.ask(conn, callee, &from, dial_id, ack, now);
        Ok(())
    }

    /// Checks the quotas of both sides (R-LIMIT-7, R-LIMIT-10, R-LIMIT-14). A callee
    /// that has as many links as it may loses an idle one (R-LIMIT-15).
    fn check_room(
        &mut self,
        conn: ConnId,
        callee: ConnId,
        dial_id: &DialId,
        now: Instant,
    ) -> Result<(), Refusal> {
        for side in [conn, callee] {
            let connection = self.conns.get(&side).ok_or(Refusal::PeerNotFound)?;
            if connection.links.contains_key(dial_id) {
                return Err(Refusal::DuplicateDialId);
            }
            if connection.outbox.message_bytes > quota::CONTROL_HIGH_BYTES {
                return Err(Refusal::TooManyDials);
            }
        }
        let source = self.conns.get(&conn).ok_or(Refusal::PeerGone)?.source;
        let route = Route {
            dialer: conn,
            callee,
            source,
        };
        let checked = self
            .link_tally
            .check_dialer(&route)
            .and_then(|()| self.link_tally.check_callee(&route));
        match checked {
            Ok(()) => Ok(()),
            Err(Full::Callee) if self.cut_idle_link(callee, now) => Ok(()),
            Err(Full::Callee | Full::Other) => Err(Refusal::TooManyDials),
        }
    }

    /// Cuts the link of a callee that was idle for the longest time, among those of
    /// the source that has the most; returns whether there is room then.
    fn cut_idle_link(&mut self, callee: ConnId, now: Instant) -> bool {
        let Some(connection) = self.conns.get(&callee) else {
            return false;
        };
        let incoming = connection.links.values();
        let idle = incoming.filter_map(|id| {
            let link = self.links.get(id)?;
            let is_candidate = link.listener == callee && link.is_idle(now);
            let source = link.route().source;
            is_candidate.then(|| (self.link_tally.from(callee, source), link.last_active, *id))
        });
        let longest = idle.min_by_key(|(n_links, since, id)| (Reverse(*n_links), *since, *id));
        let Some((_, _, id)) = longest else {
            return false;
        };
        self.cut_link(id, Cut::Idle, now);
        // What nobody has accepted would wait for that.
        for direction in [Direction::Dialer, Direction::Listener] {
            self.unaccepted_expired(id, direction);
        }
        !self.links.contains_key(&id)
    }

    fn ask(
        &mut self,
        conn: ConnId,
        callee: ConnId,
        from: &PeerAddress,
        dial_id: DialId,
        ack: AckId,
        now: Instant,
    ) {
        let source = |conn| self.conns.get(&conn).map(|c| c.source);
        let (Some(of_dialer), Some(of_callee)) = (source(conn), source(callee)) else {
            return;
        };
        self.last_link += 1;
        let id = LinkId(self.last_link);
        let link = Link::new(
            dial_id.clone(),
            (conn, of_dialer),
            (callee, of_callee),
            ack,
            now,
        );
        self.link_tally.dialed(&link.route());
        self.link_tally.asked(&link.route());
        self.streams += link.n_streams();
        let stream = link.stream(Direction::Dialer);
        self.links.insert(id, link);
        for side in [conn, callee] {
            if let Some(connection) = self.conns.get_mut(&side) {
                connection.links.insert(dial_id.clone(), id);
            }
        }
        let spelling = self
            .conns
            .get(&callee)
            .map_or(from.spelling(), |c| c.spelling);
        let incoming = legacy::Event::Incoming {
            dial_id,
            from: from.spelled(spelling),
        };
        self.send(conn, Message::Event(legacy::Event::StreamAccept { stream }));
        self.send(callee, Message::Ask(id, incoming));
        self.deadlines.add(now + DIAL_DEADLINE, Deadline::Dial(id));
    }

    /// Handles the callee's answer (R-DIAL-5). Late ones are for nobody.
    pub(in crate::broker) fn dial_answered(&mut self, id: LinkId, answer: legacy::CalleeAnswer) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (dialer, listener) = (link.dialer, link.listener);
        match (link.phase, answer) {
            (Phase::Asking(ack), legacy::CalleeAnswer::Accepted) => {
                link.phase = Phase::Open;
                self.link_tally.opened(&link.route());
                let stream = link.stream(Direction::Listener);
                self.counters.dials_succeeded += 1;
                let accept = legacy::Event::StreamAccept { stream };
                self.send(listener, Message::Event(accept));
                self.reply(dialer, ack, legacy::Reply::Done);
            }
            (Phase::Asking(ack), legacy::CalleeAnswer::Refused(value)) => {
                self.counters.dials_failed += 1;
                self.counters.dials_refused_by_peer += 1;
                self.reply(dialer, ack, legacy::Reply::RefusedByPeer(value));
                self.remove_link(id);
            }
            (Phase::Abandoned, legacy::CalleeAnswer::Refused(_)) => self.remove_link(id),
            (Phase::Abandoned, legacy::CalleeAnswer::Accepted) | (Phase::Open, _) => {}
        }
    }

    /// Gives up on a callee that has not answered (R-DIAL-6). The callee hears of
    /// it as soon as it accepts the stream.
    pub(in crate::broker) fn dial_expired(&mut self, id: LinkId, now: Instant) {
        self.give_up_dial(id, Cut::DialTimeout, Refusal::DialTimeout, now);
    }

    /// Refuses a dial that waits for its callee and keeps it only to tell the callee
    /// that it is over. Returns whether there was such a dial.
    pub(in crate::broker) fn give_up_dial(
        &mut self,
        id: LinkId,
        cut: Cut,
        refusal: Refusal,
        now: Instant,
    ) -> bool {
        let Some(link) = self.links.get_mut(&id) else {
            return false;
        };
        let Phase::Asking(ack) = link.phase else {
            return false;
        };
        link.phase = Phase::Abandoned;
        let dialer = link.dialer;
        self.fail_dial(dialer, ack, refusal);
        self.finish_half(id, Direction::Listener);
        self.cut_half(id, Direction::Dialer, cut, now);
        true
    }

    pub(in crate::broker) fn fail_dial(&mut self, conn: ConnId, ack: AckId, refusal: Refusal) {
        self.counters.dials_failed += 1;
        self.refuse(conn, ack, refusal);
    }
}
