//! Dialing: ask the callee, wait for its answer, give up in time.

use std::time::Instant;

use rand_core::CryptoRng;
use starpoint_wire::{
    AddressRule, CalleeAnswer, Cut, DialId, Direction, PeerAddress, Refusal, Reply, ServerEvent,
    limits::DIAL_DEADLINE,
};

use super::Broker;
use crate::{
    deadline::Deadline,
    id::{AckId, ConnId, LinkId},
    link::{Link, Phase},
    outbox::Control,
    quota::{self, DIAL_RATE},
};

impl<R: CryptoRng> Broker<R> {
    /// Handles `ss-dial` (R-DIAL-1 to R-DIAL-9).
    pub(super) fn dial(
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
        let proved = dialer.native.as_ref().and_then(|native| native.joined());
        let is_proved = proved.is_some_and(|joined| from.peer() == Some(joined.peer));
        if !is_proved && !dialer.addresses.contains(from.key()) {
            return Err(Refusal::NotAuthorized);
        }
        let dial_id = DialId::parse(dial_id).ok_or(Refusal::InvalidDialId)?;
        let callee = self.directory.find(&to).ok_or(Refusal::PeerNotFound)?.conn;
        if callee == conn || (from.peer().is_some() && from.peer() == to.peer()) {
            return Err(Refusal::DialSelf);
        }
        self.check_room(conn, callee, &dial_id)?;
        self.ask(conn, callee, &from, dial_id, ack, now);
        Ok(())
    }

    fn check_room(&self, conn: ConnId, callee: ConnId, dial_id: &DialId) -> Result<(), Refusal> {
        for side in [conn, callee] {
            let connection = self.conns.get(&side).ok_or(Refusal::PeerNotFound)?;
            if connection.links.contains_key(dial_id) {
                return Err(Refusal::DuplicateDialId);
            }
            let is_full = connection.links.len() >= quota::MAX_LINKS
                || connection.outbox.control_bytes > quota::CONTROL_HIGH_BYTES;
            if is_full {
                return Err(Refusal::TooManyDials);
            }
        }
        if self.links_between(conn, callee) >= quota::MAX_LINKS_OF_PAIR {
            return Err(Refusal::TooManyDials);
        }
        Ok(())
    }

    fn links_between(&self, conn: ConnId, other: ConnId) -> usize {
        let Some(connection) = self.conns.get(&conn) else {
            return 0;
        };
        let links = connection.links.values();
        links
            .filter_map(|link| self.links.get(link))
            .filter(|link| [link.dialer, link.listener].contains(&other))
            .count()
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
        let link = Link::new(dial_id.clone(), (conn, of_dialer), (callee, of_callee), ack);
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
        let incoming = ServerEvent::Incoming {
            dial_id,
            from: from.spelled(spelling),
        };
        self.send(conn, Control::Emit(ServerEvent::StreamAccept(stream)));
        self.send(callee, Control::Ask(id, incoming));
        self.deadlines.add(now + DIAL_DEADLINE, Deadline::Dial(id));
    }

    /// Handles the callee's answer (R-DIAL-5). Late ones are for nobody.
    pub(super) fn dial_answered(&mut self, id: LinkId, answer: CalleeAnswer) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (dialer, listener) = (link.dialer, link.listener);
        match (link.phase, answer) {
            (Phase::Asking(ack), CalleeAnswer::Accepted) => {
                link.phase = Phase::Open;
                let stream = link.stream(Direction::Listener);
                self.counters.dials_succeeded += 1;
                let accept = ServerEvent::StreamAccept(stream);
                self.send(listener, Control::Emit(accept));
                self.reply(dialer, ack, Reply::Done);
            }
            (Phase::Asking(ack), CalleeAnswer::Refused(value)) => {
                self.counters.dials_failed += 1;
                self.counters.dials_refused_by_peer += 1;
                self.reply(dialer, ack, Reply::RefusedByPeer(value));
                self.remove_link(id);
            }
            (Phase::Abandoned, CalleeAnswer::Refused(_)) => self.remove_link(id),
            (Phase::Abandoned, CalleeAnswer::Accepted) | (Phase::Open, _) => {}
        }
    }

    /// Gives up on a callee that has not answered (R-DIAL-6). The callee hears of
    /// it as soon as it accepts the stream.
    pub(super) fn dial_expired(&mut self, id: LinkId, now: Instant) {
        self.give_up_dial(id, Cut::DialTimeout, Refusal::DialTimeout, now);
    }

    /// Refuses a dial that waits for its callee and keeps it only to tell the callee
    /// that it is over. Returns whether there was such a dial.
    pub(super) fn give_up_dial(
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

    pub(super) fn fail_dial(&mut self, conn: ConnId, ack: AckId, refusal: Refusal) {
        self.counters.dials_failed += 1;
        self.refuse(conn, ack, refusal);
    }
}
