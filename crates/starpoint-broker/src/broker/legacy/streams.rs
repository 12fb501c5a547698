//! Streams: who may say what about them, and how they end.

use std::time::Instant;

use bytes::Bytes;
use rand_core::CryptoRng;
use starpoint_wire::{Cut, DialId, Direction, Refusal, StreamEnd, StreamId};

use crate::broker::Broker;
use crate::{
    deadline::Deadline,
    id::{ConnId, LinkId},
    legacy::link::{Link, Phase},
    quota::UNACCEPTED_DEADLINE,
};

const BOTH: [Direction; 2] = [Direction::Dialer, Direction::Listener];

impl<R: CryptoRng> Broker<R> {
    /// The reader is ready for a stream (R-STREAM-1).
    pub(in crate::broker) fn stream_accept(&mut self, conn: ConnId, stream: StreamId) {
        let direction = stream.direction;
        let Some((id, link)) = self.link_of(conn, &stream.dial) else {
            return self.stray();
        };
        // What a listener writes can be read once it has agreed to write.
        let is_early = direction == Direction::Listener && link.phase != Phase::Open;
        let is_done = link.half(direction).is_done();
        if link.reader(direction) != conn || is_early || is_done {
            return self.stray();
        }
        link.half_mut(direction).is_accepted = true;
        self.make_ready(id, direction);
    }

    /// The writer sends a chunk (R-STREAM-2).
    pub(in crate::broker) fn stream_queue(
        &mut self,
        conn: ConnId,
        stream: StreamId,
        payload: Bytes,
        now: Instant,
    ) {
        let direction = stream.direction;
        let Some((id, link)) = self.link_of(conn, &stream.dial) else {
            return self.stray();
        };
        if !may_write(link, conn, direction) {
            return self.stray();
        }
        let reader = link.reader(direction);
        let weight = link.half_mut(direction).push(payload, now);
        let source = link.writer_source(direction);
        link.last_active = now;
        self.queued_bytes += weight;
        self.account.add(source, weight);
        if let Some(connection) = self.conns.get_mut(&reader) {
            connection.outbox.queued_bytes += weight;
        }
        self.make_ready(id, direction);
        self.hold_writer(id, direction, now);
    }

    /// The writer ends a stream (R-STREAM-3). The other one goes on.
    pub(in crate::broker) fn stream_error(
        &mut self,
        conn: ConnId,
        stream: StreamId,
        end: StreamEnd,
        now: Instant,
    ) {
        let direction = stream.direction;
        let Some((id, link)) = self.link_of(conn, &stream.dial) else {
            return self.stray();
        };
        if !may_write(link, conn, direction) {
            return self.stray();
        }
        self.end_half(id, direction, end, now);
    }

    fn link_of(&mut self, conn: ConnId, dial: &DialId) -> Option<(LinkId, &mut Link)> {
        let id = *self.conns.get(&conn)?.links.get(dial)?;
        Some((id, self.links.get_mut(&id)?))
    }

    fn stray(&mut self) {
        self.counters.stray_stream_events += 1;
    }

    /// One side of a link is gone (R-STREAM-5, R-DIAL-8).
    pub(in crate::broker) fn leave_link(&mut self, id: LinkId, gone: ConnId, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let written = if gone == link.dialer {
            Direction::Dialer
        } else {
            Direction::Listener
        };
        match link.phase {
            Phase::Asking(ack) if gone == link.listener => {
                let dialer = link.dialer;
                self.fail_dial(dialer, ack, Refusal::PeerGone);
                return self.remove_link(id);
            }
            Phase::Asking(_) => link.phase = Phase::Abandoned,
            Phase::Open | Phase::Abandoned => {}
        }
        if link.half(written).is_open() {
            *self.counters.cuts.entry(Cut::PeerDisconnected).or_default() += 1;
        }
        self.finish_half(id, written.opposite());
        let end = StreamEnd::Error(Cut::PeerDisconnected.text().into());
        self.end_half(id, written, end, now);
    }

    /// Ends a stream behind the chunks that wait, if it has not ended.
    fn end_half(&mut self, id: LinkId, direction: Direction, end: StreamEnd, now: Instant) {
        if let Some(link) = self.links.get_mut(&id)
            && link.half(direction).is_open()
        {
            link.half_mut(direction).end(end);
            self.deliver_end(id, direction, now);
        }
    }

    /// Ends a stream with an error in place of the chunks that wait.
    pub(in crate::broker) fn cut_half(
        &mut self,
        id: LinkId,
        direction: Direction,
        cut: Cut,
        now: Instant,
    ) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if link.half(direction).is_done() {
            return;
        }
        let (reader, source) = (link.reader(direction), link.writer_source(direction));
        let end = StreamEnd::Error(cut.text().into());
        let discarded = link.half_mut(direction).cut(end);
        *self.counters.cuts.entry(cut).or_default() += 1;
        self.account.subtract(source, discarded);
        self.unqueue(reader, discarded);
        self.release_stream(id, direction);
        self.deliver_end(id, direction, now);
    }

    /// Ends both streams of a link with an error.
    pub(in crate::broker) fn cut_link(&mut self, id: LinkId, cut: Cut, now: Instant) {
        for direction in BOTH {
            self.cut_half(id, direction, cut, now);
        }
    }

    fn deliver_end(&mut self, id: LinkId, direction: Direction, now: Instant) {
        self.make_ready(id, direction);
        let is_waiting = self.links.get(&id).is_some_and(|link| {
            let half = link.half(direction);
            !half.is_accepted && !half.is_done()
        });
        if is_waiting {
            let at = now + UNACCEPTED_DEADLINE;
            self.deadlines.add(at, Deadline::Unaccepted(id, direction));
        }
    }

    /// Forgets an ended stream that nobody has accepted (R-STREAM-9).
    pub(in crate::broker) fn unaccepted_expired(&mut self, id: LinkId, direction: Direction) {
        let is_unaccepted = self
            .links
            .get(&id)
            .is_some_and(|link| !link.half(direction).is_accepted);
        if is_unaccepted {
            self.finish_half(id, direction);
        }
    }

    /// Ends a stream that has no reader any more.
    pub(in crate::broker) fn finish_half(&mut self, id: LinkId, direction: Direction) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (reader, source) = (link.reader(direction), link.writer_source(direction));
        self.streams -= usize::from(!link.half(direction).is_done());
        let discarded = link.half_mut(direction).finish();
        self.account.subtract(source, discarded);
        self.unqueue(reader, discarded);
        self.release_stream(id, direction);
        self.remove_if_done(id);
    }

    pub(in crate::broker) fn remove_if_done(&mut self, id: LinkId) {
        if self.links.get(&id).is_some_and(Link::is_done) {
            self.remove_link(id);
        }
    }

    /// Forgets a link with everything that waits in it.
    pub(in crate::broker) fn remove_link(&mut self, id: LinkId) {
        for direction in BOTH {
            self.release_stream(id, direction);
        }
        let Some(mut link) = self.links.remove(&id) else {
            return;
        };
        self.streams -= link.n_streams();
        match link.phase {
            Phase::Open => self.link_tally.closed(&link.route()),
            Phase::Asking(_) | Phase::Abandoned => self.link_tally.given_up(&link.route()),
        }
        for direction in BOTH {
            let discarded = link.half_mut(direction).finish();
            self.account
                .subtract(link.writer_source(direction), discarded);
            self.unqueue(link.reader(direction), discarded);
        }
        for side in [link.dialer, link.listener] {
            if let Some(connection) = self.conns.get_mut(&side) {
                connection.links.remove(&link.dial_id);
            }
            self.close_if_drained(side);
        }
    }
}

fn may_write(link: &Link, conn: ConnId, direction: Direction) -> bool {
    let is_agreed = direction == Direction::Dialer || link.phase == Phase::Open;
    is_agreed && link.writer(direction) == conn && link.half(direction).is_open()
}
