//! What waits for one connection, and what its transport still holds.

use std::collections::{BTreeSet, VecDeque};

use starpoint_wire::Direction;

use crate::{
    account::Account,
    id::{ConnId, LinkId, SourceId},
    message::Message,
    quota::{WINDOW_BYTES, WINDOW_PACKETS},
};

/// What goes out to a connection next.
#[derive(Debug)]
pub(crate) enum Next {
    Message(Message),
    /// The first thing that waits in this stream.
    Stream(LinkId, Direction),
}

/// The way to one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) messages: VecDeque<Message>,
    pub(crate) message_bytes: usize,
    /// Streams with something to send, each once, in turn.
    pub(crate) ready: VecDeque<(LinkId, Direction)>,
    /// The last that went out was a reply or notice, and a stream is next: a
    /// connection that asks without end must not starve what it reads.
    is_streams_turn: bool,
    /// Bytes of chunks that wait for this connection.
    pub(crate) queued_bytes: usize,
    /// Writers that are paused because too much waits for this connection.
    pub(crate) holds: BTreeSet<ConnId>,
    /// Streams to this connection whose writers are paused for that stream.
    pub(crate) held_streams: usize,
    /// Bytes written since the stall deadline was set; `None` when it is not.
    pub(crate) stall: Option<usize>,
    /// Sizes of what the transport holds, oldest first.
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    in_flight_packets: usize,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    packets: usize,
    bytes: usize,
    relayed: Option<Relayed>,
}

/// A chunk in flight, as it counts against the source of its writer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relayed {
    pub(crate) source: SourceId,
    pub(crate) weight: usize,
}

impl Outbox {
    /// Returns whether the transport may be given more.
    pub(crate) fn is_writable(&self) -> bool {
        self.in_flight_bytes < WINDOW_BYTES && self.in_flight_packets < WINDOW_PACKETS
    }

    /// Takes what goes out next: replies and notices, and streams between them.
    pub(crate) fn take_next(&mut self) -> Option<Next> {
        let is_streams_turn = std::mem::take(&mut self.is_streams_turn);
        if is_streams_turn && let Some((link, direction)) = self.ready.pop_front() {
            return Some(Next::Stream(link, direction));
        }
        if let Some(message) = self.messages.pop_front() {
            self.message_bytes -= message.weight();
            self.is_streams_turn = true;
            return Some(Next::Message(message));
        }
        let (link, direction) = self.ready.pop_front()?;
        Some(Next::Stream(link, direction))
    }

    /// Notes that the transport was given something.
    pub(crate) fn sent(&mut self, packets: usize, bytes: usize, relayed: Option<Relayed>) {
        self.in_flight.push_back(InFlight {
            packets,
            bytes,
            relayed,
        });
        self.in_flight_bytes += bytes;
        self.in_flight_packets += packets;
    }

    /// Notes that the transport has written packets; what they relayed is no longer
    /// in the star.
    pub(crate) fn written(&mut self, mut packets: usize, account: &mut Account) {
        while packets > 0 {
            let Some(oldest) = self.in_flight.front_mut() else {
                return;
            };
            let done = packets.min(oldest.packets);
            oldest.packets -= done;
            packets -= done;
            self.in_flight_packets -= done;
            if oldest.packets == 0 {
                self.in_flight_bytes -= oldest.bytes;
                if let Some(relayed) = oldest.relayed {
                    account.subtract(relayed.source, relayed.weight);
                }
                self.in_flight.pop_front();
            }
        }
    }

    /// Notes that the transport is gone, with everything that it held.
    pub(crate) fn dropped(&mut self, account: &mut Account) {
        for in_flight in std::mem::take(&mut self.in_flight) {
            if let Some(relayed) = in_flight.relayed {
                account.subtract(relayed.source, relayed.weight);
            }
        }
    }

    /// Returns the chunks in flight by the source of their writer.
    pub(crate) fn relayed_in_flight(&self) -> impl Iterator<Item = (SourceId, usize)> {
        let relayed = self.in_flight.iter().filter_map(|each| each.relayed);
        relayed.map(|relayed| (relayed.source, relayed.weight))
    }

    /// Returns whether a writer somewhere waits for this connection.
    pub(crate) fn is_holding(&self) -> bool {
        !self.holds.is_empty() || self.held_streams > 0
    }
}
