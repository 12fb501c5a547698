//! The state machine: what happens, and who handles it.

mod admission;
mod audit;
mod flow;
mod legacy;
mod native;
mod proof;

pub use audit::Audit;
pub use native::Ending;
pub use proof::Verdict;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use libp2p_identity::PeerId;
use rand_core::CryptoRng;
use starpoint_wire::{Call, CallError, CallKind, Cut, Refusal};

use crate::{
    account::Account,
    admission::Admission,
    command::{CloseReason, Command, Output},
    config::Config,
    connection::{Announcer, Connection, Profile},
    counters::{Counters, Gauges},
    deadline::{Deadline, Deadlines},
    directory::{Directory, Seq},
    id::{AckId, ConnId, LinkId, SourceId},
    input::{Input, Offer},
    legacy::link::Link,
    native::Away,
    native::pipes::Pipes,
    native::spaces::Spaces,
    quota,
    tally::Tally,
};

/// The brain of one star. Owns no socket, clock or randomness.
///
/// See the [crate documentation](crate) for the law of the loop.
#[derive(Debug)]
pub struct Broker<R> {
    config: Config,
    rng: R,
    commands: VecDeque<Command>,
    deadlines: Deadlines,
    conns: BTreeMap<ConnId, Connection>,
    directory: Directory,
    links: BTreeMap<LinkId, Link>,
    /// Links by what their quotas are about.
    link_tally: Tally<ConnId>,
    pipes: Pipes,
    spaces: Spaces,
    admission: Admission,
    /// Native peers in their grace period.
    away: BTreeMap<PeerId, Away>,
    last_link: u64,
    last_proof: u64,
    /// Connections that have joined.
    joined: usize,
    /// Bytes of chunks that wait, in all streams.
    queued_bytes: usize,
    /// The same and what is in flight, by source.
    account: Account,
    /// Streams that have not ended.
    streams: usize,
    /// Readers and writers that are paused because of them and the total.
    held_by_total: BTreeSet<(ConnId, ConnId)>,
    /// More than the total's high mark has waited, and not yet less than its low
    /// mark.
    is_crowded: bool,
    paused: usize,
    /// Where the next immediate notices begin.
    notice_cursor: Seq,
    is_draining: bool,
    counters: Counters,
}

impl<R: CryptoRng> Broker<R> {
    /// Creates a broker with nobody in it.
    pub fn new(mut config: Config, rng: R) -> Self {
        config.announce_interval = config
            .announce_interval
            .clamp(quota::MIN_ANNOUNCE_INTERVAL, quota::MAX_ANNOUNCE_INTERVAL);
        Self {
            admission: Admission::new(&config),
            config,
            rng,
            commands: VecDeque::new(),
            deadlines: Deadlines::default(),
            conns: BTreeMap::new(),
            directory: Directory::default(),
            links: BTreeMap::new(),
            link_tally: Tally::default(),
            pipes: Pipes::default(),
            spaces: Spaces::default(),
            away: BTreeMap::new(),
            last_link: 0,
            last_proof: 0,
            joined: 0,
            queued_bytes: 0,
            account: Account::default(),
            streams: 0,
            held_by_total: BTreeSet::new(),
            is_crowded: false,
            paused: 0,
            notice_cursor: Seq::default(),
            is_draining: false,
            counters: Counters::default(),
        }
    }

    /// Handles an input. Its outputs come from [`poll`](Self::poll).
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Connected {
                conn,
                source,
                offer: Offer::Legacy,
            } => self.connected(conn, source),
            Input::Connected {
                conn,
                source,
                offer: Offer::Native { unix_now },
            } => self.connected_native(conn, source, unix_now, now),
            Input::Disconnected { conn, ending } => self.disconnected(conn, ending, now),
            Input::Call { conn, call, ack } => self.call(conn, call, ack, now),
            Input::Answered { link, answer } => self.dial_answered(link, answer),
            Input::Verified {
                conn,
                ticket,
                verdict,
            } => self.verified(conn, ticket, verdict, now),
            Input::Written {
                conn,
                packets,
                bytes,
            } => self.written(conn, packets, bytes),
            Input::PipeArrived { arrival, token } => self.pipe_arrived(arrival, token),
            Input::PipeLeft { pipe } => self.give_up_pipe(pipe, Refusal::PeerGone),
            Input::PipeEnded { pipe } => self.pipe_ended(pipe),
            Input::Timeout => self.handle_timeout(now),
            Input::Drain => self.drain(),
            Input::Cut => self.cut(now),
        }
    }

    fn connected(&mut self, conn: ConnId, source: SourceId) {
        self.conns.insert(
            conn,
            Connection::new(source, Profile::Legacy(Announcer::default())),
        );
        if self.is_draining {
            self.close(conn, CloseReason::ShuttingDown);
        }
    }

    fn disconnected(&mut self, conn: ConnId, ending: Ending, now: Instant) {
        let Some(mut connection) = self.conns.remove(&conn) else {
            return;
        };
        connection.outbox.dropped(&mut self.account);
        if !connection.addresses.is_empty() {
            self.joined -= 1;
        }
        for key in &connection.addresses {
            self.unregister(key, now);
        }
        self.leave_pipes(conn);
        if let Profile::Native(native) = connection.profile {
            self.native_gone(conn, connection.source, *native, ending, now);
        }
        if !connection.pauses.is_empty() {
            self.paused -= 1;
        }
        self.release_total(conn);
        for link in connection.links.into_values() {
            self.leave_link(link, conn, now);
        }
        for writer in connection.outbox.holds {
            self.release_destination(writer, conn);
        }
    }

    fn call(
        &mut self,
        conn: ConnId,
        call: Result<Call, CallError>,
        ack: Option<AckId>,
        now: Instant,
    ) {
        if self.conns.get(&conn).is_none_or(|c| c.is_closing) {
            return;
        }
        match call {
            Ok(call) => self.valid_call(conn, call, ack, now),
            Err(CallError { kind }) => self.malformed(conn, kind, ack),
        }
    }

    fn valid_call(&mut self, conn: ConnId, call: Call, ack: Option<AckId>, now: Instant) {
        match call {
            Call::Legacy(call) => self.legacy_call(conn, call, ack, now),
            Call::Native(call) => self.star_call(conn, call, ack, now),
        }
    }

    fn written(&mut self, conn: ConnId, packets: usize, bytes: usize) {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        connection.outbox.written(packets, &mut self.account);
        if let Some(progress) = &mut connection.outbox.stall {
            *progress += bytes;
        }
        self.flush(conn);
    }

    /// Handles the deadlines that have come.
    fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, deadline)) = self.deadlines.take_due(now) {
            match deadline {
                Deadline::Dial(link) => self.dial_expired(link, now),
                Deadline::Unaccepted(link, direction) => self.unaccepted_expired(link, direction),
                Deadline::Stall(conn) => self.stall_expired(conn, now),
                Deadline::Announce(conn) => self.announce(conn, at, now),
                Deadline::Pipe(pipe) => self.pipe_expired(pipe),
                Deadline::OwnSide(pipe) => self.own_side_expired(pipe),
                Deadline::Grace(peer) => self.grace_expired(peer, now),
                Deadline::Presence(namespace) => self.presence_due(&namespace, now),
            }
        }
    }

    /// Returns what to do next. See the law of the loop.
    pub fn poll(&mut self) -> Output {
        match self.commands.pop_front() {
            Some(command) => Output::Do(command),
            None => Output::Wait(self.deadlines.next()),
        }
    }

    fn drain(&mut self) {
        self.is_draining = true;
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            self.close_if_drained(conn);
        }
    }

    fn cut(&mut self, now: Instant) {
        self.cut_pipes();
        let links: Vec<_> = self.links.keys().copied().collect();
        for link in links {
            if !self.give_up_dial(link, Cut::ShuttingDown, Refusal::ShuttingDown, now) {
                self.cut_link(link, Cut::ShuttingDown, now);
            }
        }
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            self.close(conn, CloseReason::ShuttingDown);
        }
    }

    /// Returns whether every connection and every pipe is gone.
    pub fn is_empty(&self) -> bool {
        self.conns.is_empty() && self.pipes.is_empty()
    }

    /// Returns what has happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the bytes of chunks that are in the star: those that wait in the
    /// broker, and those handed to a transport that has not written them.
    pub fn relayed_bytes(&self) -> usize {
        self.account.total()
    }

    /// Returns the sources whose share of [`Broker::relayed_bytes`] has changed since
    /// the last call, with the new value: the bytes of chunks that connections of this
    /// source have written. To be called after each turn of the loop.
    pub fn take_relayed_changes(&mut self) -> impl Iterator<Item = (SourceId, usize)> {
        self.account.take_changes()
    }

    /// Returns the present values, in constant time.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            connections: self.conns.len(),
            peers: self.directory.len(),
            away: self.admission.n_in_grace(),
            links: self.links.len(),
            streams: self.streams,
            bytes_queued: self.account.total(),
            pipes: self.pipes.n_open(),
            paused: self.paused,
        }
    }

    fn malformed(&mut self, conn: ConnId, kind: CallKind, ack: Option<AckId>) {
        let is_native = self.conns.get(&conn).is_some_and(|c| c.native().is_some());
        let (kind, profile) = match kind {
            CallKind::Join | CallKind::Leave | CallKind::Dial | CallKind::Stream => {
                (kind, Some(AnswerIn::Legacy))
            }
            CallKind::StarJoin
            | CallKind::StarLeave
            | CallKind::StarPeers
            | CallKind::StarDial
            | CallKind::StarRefuse
                if is_native =>
            {
                (kind, Some(AnswerIn::Native))
            }
            // Nobody knows what an unknown event's answer would mean.
            CallKind::StarJoin
            | CallKind::StarLeave
            | CallKind::StarPeers
            | CallKind::StarDial
            | CallKind::StarRefuse
            | CallKind::Unknown => (CallKind::Unknown, None),
        };
        *self.counters.malformed.entry(kind).or_default() += 1;
        let (Some(ack), Some(profile)) = (ack, profile) else {
            return;
        };
        match kind {
            CallKind::Join | CallKind::StarJoin => {
                self.counters.joins += 1;
                self.counters.joins_failed += 1;
            }
            CallKind::Dial | CallKind::StarDial => {
                self.counters.dials += 1;
                self.counters.dials_failed += 1;
            }
            CallKind::Leave
            | CallKind::Stream
            | CallKind::StarLeave
            | CallKind::StarPeers
            | CallKind::StarRefuse
            | CallKind::Unknown => {}
        }
        match profile {
            AnswerIn::Legacy => self.refuse(conn, ack, Refusal::InvalidArguments),
            AnswerIn::Native => self.refuse_star(conn, ack, Refusal::InvalidArguments),
        }
    }

    /// Closes a connection. It is sent nothing more: what still waits for it goes
    /// down with it.
    fn close(&mut self, conn: ConnId, reason: CloseReason) {
        if let Some(connection) = self.conns.get_mut(&conn)
            && !connection.is_closing
        {
            connection.is_closing = true;
            self.commands.push_back(Command::Close { conn, reason });
        }
    }

    /// Closes a connection that has nothing left to do in a star that shuts down.
    fn close_if_drained(&mut self, conn: ConnId) {
        if self.is_draining
            && self.conns.get(&conn).is_some_and(|connection| {
                connection.links.is_empty() && connection.outbox.messages.is_empty()
            })
        {
            self.close(conn, CloseReason::ShuttingDown);
        }
    }

    /// Returns how many announcements one connection gets in an interval.
    fn announcements_per_interval(&self) -> usize {
        (quota::ANNOUNCE_BUDGET / self.joined.max(1))
            .clamp(quota::MIN_ANNOUNCEMENTS, quota::MAX_ANNOUNCEMENTS)
    }
}

/// The profile in which a call is answered.
enum AnswerIn {
    Legacy,
    Native,
}

#[cfg(test)]
mod tests;
