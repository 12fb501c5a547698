//! Back-pressure: what goes out, who is held, who is given up.

use std::time::Instant;

use rand_core::CryptoRng;
use starpoint_wire::{Cut, Direction, legacy};

use super::Broker;
use crate::{
    command::Command,
    connection::PauseReason,
    deadline::Deadline,
    id::{ConnId, LinkId},
    legacy::link::Item,
    message::Message,
    outbox::{Next, Relayed},
    quota,
};

impl<R: CryptoRng> Broker<R> {
    /// Sends a reply or notice, now or when the transport takes it.
    pub(super) fn send(&mut self, conn: ConnId, message: Message) {
        let Some(connection) = self.conns.get_mut(&conn).filter(|c| !c.is_closing) else {
            return;
        };
        connection.outbox.message_bytes += message.weight();
        connection.outbox.messages.push_back(message);
        self.flush(conn);
        let is_full = self
            .conns
            .get(&conn)
            .is_some_and(|c| c.outbox.message_bytes > quota::CONTROL_HIGH_BYTES);
        if is_full {
            self.pause(conn, PauseReason::Control);
        }
    }

    /// Puts a stream into its reader's turn if it has something to send.
    pub(super) fn make_ready(&mut self, id: LinkId, direction: Direction) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let reader = link.reader(direction);
        let half = link.half_mut(direction);
        if !half.has_item() || half.is_ready {
            return;
        }
        let Some(connection) = self.conns.get_mut(&reader) else {
            return self.finish_half(id, direction);
        };
        half.is_ready = true;
        connection.outbox.ready.push_back((id, direction));
        self.flush(reader);
    }

    /// Gives the transport what it takes.
    pub(super) fn flush(&mut self, conn: ConnId) {
        while let Some(connection) = self.conns.get_mut(&conn) {
            if connection.is_closing || !connection.outbox.is_writable() {
                break;
            }
            match connection.outbox.take_next() {
                Some(Next::Message(message)) => self.send_message(conn, message),
                Some(Next::Stream(id, direction)) => self.send_item(conn, id, direction),
                None => break,
            }
        }
        self.relieve_control(conn);
        self.close_if_drained(conn);
        if self.is_behind(conn) {
            self.catch_up(conn);
        }
    }

    fn is_behind(&self, conn: ConnId) -> bool {
        let native = self.conns.get(&conn).and_then(|c| c.native());
        native.is_some_and(|native| !native.behind.is_empty())
    }

    fn send_message(&mut self, conn: ConnId, message: Message) {
        if let Message::Ask(link, _) = &message
            && !self.links.contains_key(link)
        {
            // The dial was over before it reached its callee.
            return;
        }
        let (packets, bytes) = (message.packets(), message.weight());
        self.push_sent(conn, packets, bytes, None, Command::Send { conn, message });
    }

    fn send_item(&mut self, conn: ConnId, id: LinkId, direction: Direction) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let stream = link.stream(direction);
        let source = link.writer_source(direction);
        let half = link.half_mut(direction);
        half.is_ready = false;
        let Some((item, weight)) = half.pop() else {
            return;
        };
        let has_more = half.has_item();
        half.is_ready = has_more;
        let (event, relayed) = match item {
            Item::Chunk(chunk) => {
                self.counters.bytes_relayed += chunk.len() as u64;
                let event = legacy::Event::StreamQueue {
                    stream,
                    payload: chunk,
                };
                (event, Some(Relayed { source, weight }))
            }
            Item::End(end) => {
                self.streams -= 1;
                (legacy::Event::StreamError { stream, end }, None)
            }
        };
        if has_more && let Some(connection) = self.conns.get_mut(&conn) {
            connection.outbox.ready.push_back((id, direction));
        }
        self.unqueue(conn, weight);
        let (packets, bytes) = (event.packets(), event.weight());
        self.push_sent(
            conn,
            packets,
            bytes,
            relayed,
            Command::Send {
                conn,
                message: Message::Event(event),
            },
        );
        self.relieve_stream(id, direction);
        self.remove_if_done(id);
    }

    fn push_sent(
        &mut self,
        conn: ConnId,
        packets: usize,
        bytes: usize,
        relayed: Option<Relayed>,
        command: Command,
    ) {
        if let Some(connection) = self.conns.get_mut(&conn) {
            connection.outbox.sent(packets, bytes, relayed);
        }
        self.commands.push_back(command);
    }

    /// Notes that bytes no longer wait for a connection, and reads again whoever
    /// was held because of them.
    pub(super) fn unqueue(&mut self, reader: ConnId, weight: usize) {
        self.queued_bytes -= weight;
        if let Some(connection) = self.conns.get_mut(&reader) {
            connection.outbox.queued_bytes -= weight;
        }
        self.relieve_destination(reader);
        self.relieve_total();
    }

    /// Stops reading the writer of a stream if too much waits (R-FLOW-2).
    pub(super) fn hold_writer(&mut self, id: LinkId, direction: Direction, now: Instant) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (writer, reader) = (link.writer(direction), link.reader(direction));
        let waiting = link.half(direction).queued_bytes();
        let Some(connection) = self.conns.get_mut(&reader) else {
            return;
        };
        let mut is_held = false;
        if connection.outbox.queued_bytes > quota::DESTINATION_HIGH_BYTES {
            connection.outbox.holds.insert(writer);
            self.pause(writer, PauseReason::Destination(reader));
            is_held = true;
        }
        if waiting > quota::STREAM_HIGH_BYTES {
            self.hold_stream(id, direction);
            is_held = true;
        }
        if waiting > 0 && self.queued_bytes > quota::TOTAL_HIGH_BYTES {
            self.note_crowd(now);
            self.held_by_total.insert((reader, writer));
            self.pause(writer, PauseReason::Total(reader));
            is_held = true;
        }
        if is_held || (waiting > 0 && self.is_crowded) {
            self.watch_stall(reader, now);
        }
    }

    /// Begins to watch everyone for whom something waits: whoever does not take it
    /// keeps the room from all others.
    fn note_crowd(&mut self, now: Instant) {
        if std::mem::replace(&mut self.is_crowded, true) {
            return;
        }
        let busy: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, connection)| connection.outbox.queued_bytes > 0)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in busy {
            self.watch_stall(conn, now);
        }
    }

    fn hold_stream(&mut self, id: LinkId, direction: Direction) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (writer, reader) = (link.writer(direction), link.reader(direction));
        let half = link.half_mut(direction);
        if !half.is_held {
            half.is_held = true;
            if let Some(connection) = self.conns.get_mut(&reader) {
                connection.outbox.held_streams += 1;
            }
            self.pause(writer, PauseReason::Stream(id, direction));
        }
    }

    /// Reads the writer of a stream again, as far as this stream is concerned.
    pub(super) fn release_stream(&mut self, id: LinkId, direction: Direction) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (writer, reader) = (link.writer(direction), link.reader(direction));
        if std::mem::take(&mut link.half_mut(direction).is_held) {
            if let Some(connection) = self.conns.get_mut(&reader) {
                connection.outbox.held_streams -= 1;
            }
            self.resume(writer, PauseReason::Stream(id, direction));
        }
    }

    fn relieve_stream(&mut self, id: LinkId, direction: Direction) {
        let is_low = self
            .links
            .get(&id)
            .is_some_and(|link| link.half(direction).queued_bytes() < quota::STREAM_LOW_BYTES);
        if is_low {
            self.release_stream(id, direction);
        }
    }

    /// Reads a connection again that has taken its replies.
    fn relieve_control(&mut self, conn: ConnId) {
        let is_low = self
            .conns
            .get(&conn)
            .is_some_and(|c| c.outbox.message_bytes < quota::CONTROL_LOW_BYTES);
        if is_low {
            self.resume(conn, PauseReason::Control);
        }
    }

    /// Reads again whoever was held because of a connection for which little enough
    /// waits now.
    fn relieve_destination(&mut self, reader: ConnId) {
        let Some(connection) = self.conns.get_mut(&reader) else {
            return;
        };
        let queued_bytes = connection.outbox.queued_bytes;
        if queued_bytes < quota::DESTINATION_LOW_BYTES {
            for writer in std::mem::take(&mut connection.outbox.holds) {
                self.release_destination(writer, reader);
            }
        }
        if queued_bytes == 0 {
            self.release_total(reader);
        }
    }

    pub(super) fn release_destination(&mut self, writer: ConnId, reader: ConnId) {
        self.resume(writer, PauseReason::Destination(reader));
    }

    /// Reads again whoever was held because of this connection and the total.
    pub(super) fn release_total(&mut self, reader: ConnId) {
        let of_reader = (reader, ConnId(u64::MIN))..=(reader, ConnId(u64::MAX));
        while let Some(&pair) = self.held_by_total.range(of_reader.clone()).next() {
            self.held_by_total.remove(&pair);
            self.resume(pair.1, PauseReason::Total(reader));
        }
    }

    fn relieve_total(&mut self) {
        if self.queued_bytes < quota::TOTAL_LOW_BYTES {
            self.is_crowded = false;
            for (reader, writer) in std::mem::take(&mut self.held_by_total) {
                self.resume(writer, PauseReason::Total(reader));
            }
        }
    }

    fn pause(&mut self, conn: ConnId, reason: PauseReason) {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        let was_read = connection.pauses.is_empty();
        connection.pauses.insert(reason);
        if was_read {
            self.paused += 1;
            self.counters.pauses += 1;
            self.commands.push_back(Command::Pause { conn });
        }
    }

    fn resume(&mut self, conn: ConnId, reason: PauseReason) {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        if connection.pauses.remove(&reason) && connection.pauses.is_empty() {
            self.paused -= 1;
            self.commands.push_back(Command::Resume { conn });
        }
    }

    /// Begins to watch whether a connection that holds others up takes anything.
    fn watch_stall(&mut self, reader: ConnId, now: Instant) {
        if let Some(connection) = self.conns.get_mut(&reader)
            && connection.outbox.stall.is_none()
        {
            connection.outbox.stall = Some(0);
            let at = now + quota::STALL_DEADLINE;
            self.deadlines.add(at, Deadline::Stall(reader));
        }
    }

    /// Ends the streams of a reader that has held others up for too long (R-FLOW-4).
    pub(super) fn stall_expired(&mut self, conn: ConnId, now: Instant) {
        let Some(taken) = self
            .conns
            .get_mut(&conn)
            .and_then(|c| c.outbox.stall.take())
        else {
            return;
        };
        if !self.is_holding(conn) {
            return;
        }
        let Some(outbox) = self.conns.get(&conn).map(|c| &c.outbox) else {
            return;
        };
        let is_stopped = taken < quota::STALL_MIN_BYTES.min(outbox.queued_bytes);
        // Not only by the stream that is too long.
        let is_all_held = !outbox.holds.is_empty() || self.is_crowded;
        for (id, direction) in self.streams_read_by(conn) {
            let Some(link) = self.links.get(&id) else {
                continue;
            };
            let half = link.half(direction);
            let is_refused = (half.is_held || is_all_held)
                && half
                    .refused_since()
                    .is_some_and(|since| now >= since + quota::STALL_DEADLINE);
            if half.queued_bytes() > 0 && (is_stopped || is_refused) {
                self.cut_link(id, Cut::ReaderStalled, now);
            }
        }
        if self.is_holding(conn) {
            self.watch_stall(conn, now);
        }
    }

    fn is_holding(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|connection| {
            let outbox = &connection.outbox;
            outbox.is_holding() || (self.is_crowded && outbox.queued_bytes > 0)
        })
    }

    fn streams_read_by(&self, conn: ConnId) -> Vec<(LinkId, Direction)> {
        let Some(connection) = self.conns.get(&conn) else {
            return Vec::new();
        };
        let read = |id: &LinkId| {
            let link = self.links.get(id)?;
            let direction = if link.dialer == conn {
                Direction::Listener
            } else {
                Direction::Dialer
            };
            Some((*id, direction))
        };
        connection.links.values().filter_map(read).collect()
    }
}
