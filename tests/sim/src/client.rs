//! One connection and its transport.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use starpoint_broker::{AckId, Command, LinkId, Message, quota};
use starpoint_wire::legacy;

/// How fast a transport writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Everything, each time it is asked.
    Fast,
    /// So many commands each time.
    Slow(usize),
    /// Nothing, ever.
    Stopped,
}

/// What a call has to be answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// Joined, with these others, or as many of them as a list may have; with anybody if
    /// they are not known.
    Joined(Option<BTreeSet<String>>),
    /// A nonce for this address, asked for at this time.
    Challenge(String, Instant),
    /// Exactly this text.
    Refused(&'static str),
    /// `[]`.
    Done,
    /// Whatever comes of the dial of this id.
    Dial(String),
    /// The dial may be refused because a side takes nothing, or be taken.
    DialOrBusy(String),
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    /// How fast it reads.
    pub pace: Pace,
    /// Which identity it has.
    pub identity: usize,
    /// The address with which it dials, in the canonical spelling, if it has one.
    pub address: Option<String>,
    /// It writes `/p2p/`.
    pub is_modern: bool,
    /// Calls that are not answered.
    pub pending: BTreeMap<AckId, Expected>,
    /// Nonces that it was given and may answer, by address, and since when.
    pub nonces: BTreeMap<String, (String, Instant)>,
    /// Dials that it was asked to take.
    pub asked: Vec<(LinkId, String)>,
    /// The broker does not want to read from it.
    pub is_paused: bool,
    /// The broker has closed it.
    pub is_closed: bool,
    /// Calls that were read before it was paused.
    pub late_calls: usize,
    held: VecDeque<Held>,
    held_packets: usize,
    held_bytes: usize,
    written_partly: usize,
}

/// A packet or chunk that the transport has not written.
#[derive(Clone, Copy, Debug)]
struct Held {
    packets: usize,
    bytes: usize,
    /// What it counts for against its writer, if it is a chunk.
    relayed: usize,
}

impl Client {
    /// Makes a connection that has said nothing yet.
    pub fn new(pace: Pace, identity: usize, is_modern: bool) -> Self {
        Self {
            pace,
            identity,
            address: None,
            is_modern,
            pending: BTreeMap::new(),
            nonces: BTreeMap::new(),
            asked: Vec::new(),
            is_paused: false,
            is_closed: false,
            late_calls: 0,
            held: VecDeque::new(),
            held_packets: 0,
            held_bytes: 0,
            written_partly: 0,
        }
    }

    /// Takes a packet or chunk from the broker.
    ///
    /// # Panics
    ///
    /// When the transport has no room that the broker may use (R-FLOW-1).
    pub fn give(&mut self, command: &Command) {
        let (packets, bytes) = size(command);
        let has_room =
            self.held_bytes < quota::WINDOW_BYTES && self.held_packets < quota::WINDOW_PACKETS;
        assert!(has_room, "beyond the window: {command:?}");
        let relayed = relayed(command);
        self.held.push_back(Held {
            packets,
            bytes,
            relayed,
        });
        self.held_packets += packets;
        self.held_bytes += bytes;
    }

    /// Writes what its pace allows; returns packets and bytes for the broker.
    pub fn write(&mut self) -> Option<(usize, usize)> {
        let count = match self.pace {
            Pace::Fast => self.held.len(),
            Pace::Slow(count) => count.min(self.held.len()),
            Pace::Stopped => 0,
        };
        let (mut packets, mut bytes) = (0, 0);
        for held in self.held.drain(..count) {
            packets += held.packets;
            bytes += held.bytes;
        }
        self.held_packets -= packets;
        self.held_bytes -= bytes;
        let reported = bytes.saturating_sub(std::mem::take(&mut self.written_partly));
        (count > 0).then_some((packets, reported))
    }

    /// Writes a part of the oldest chunk only; returns the bytes.
    pub fn write_partly(&mut self) -> Option<usize> {
        let bytes = self.held.front()?.bytes;
        if self.pace == Pace::Stopped || self.written_partly > 0 {
            return None;
        }
        self.written_partly = bytes / 2;
        Some(self.written_partly)
    }

    /// Returns what the chunks count for that it was given and has not written.
    pub fn relayed_in_flight(&self) -> usize {
        self.held.iter().map(|held| held.relayed).sum()
    }

    /// Returns whether everything that it was given is written at once.
    pub fn is_prompt(&self) -> bool {
        self.pace == Pace::Fast
    }

    /// Returns whether the transport has nothing to write.
    pub fn is_written(&self) -> bool {
        self.held.is_empty()
    }
}

fn relayed(command: &Command) -> usize {
    match command {
        Command::Send {
            message: Message::Event(legacy::Event::StreamQueue { payload, .. }),
            ..
        } => payload.len() + quota::CHUNK_OVERHEAD_BYTES,
        Command::Send { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Close { .. }
        | Command::PlacePipe { .. }
        | Command::RefusePipe { .. }
        | Command::OpenPipe { .. }
        | Command::DropPipe { .. }
        | Command::CutPipe { .. }
        | Command::Verify { .. } => 0,
    }
}

fn size(command: &Command) -> (usize, usize) {
    match command {
        Command::Send { message, .. } => (message.packets(), message.weight()),
        Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Close { .. }
        | Command::PlacePipe { .. }
        | Command::RefusePipe { .. }
        | Command::OpenPipe { .. }
        | Command::DropPipe { .. }
        | Command::CutPipe { .. }
        | Command::Verify { .. } => (0, 0),
    }
}
