//! What should be: maps, vectors, no cleverness.

use std::collections::BTreeMap;

use starpoint_broker::{AckId, ConnId, quota};
use starpoint_wire::{Cut, Direction, StreamEnd};

use crate::names::{peer_of, respelled};

/// Name of a stream: dial id and direction.
pub type StreamName = (String, Direction);

/// One direction of a dialed connection.
#[derive(Debug)]
pub struct Stream {
    /// Who writes it.
    pub writer: ConnId,
    /// Who reads it.
    pub reader: ConnId,
    /// Chunks as they were sent, by their lengths.
    pub sent: Vec<usize>,
    /// How many of them have arrived.
    pub arrived: usize,
    /// How the writer ended it.
    pub writer_end: Option<StreamEnd>,
    /// The writer has disconnected.
    pub is_writer_gone: bool,
    /// The reader has accepted it, and the broker has taken note.
    pub is_accepted: bool,
    /// The reader has disconnected, or the dial failed: nobody will read.
    pub is_over: bool,
    /// The end as its reader heard of it.
    pub reader_end: Option<StreamEnd>,
}

/// How far a dial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The callee has not answered.
    Asking,
    /// Both have agreed.
    Open,
    /// Refused, timed out, or the dialer left before the answer.
    Failed,
}

/// One dial.
#[derive(Debug)]
pub struct Dial {
    /// Who dialed.
    pub dialer: ConnId,
    /// Who was asked.
    pub callee: ConnId,
    /// The dialer's call.
    pub ack: AckId,
    /// How far it is.
    pub stage: Stage,
    /// The callee's own words, if it refused.
    pub refusal: Option<String>,
    /// The dialer may write.
    pub is_dialer_told: bool,
    /// The callee may write.
    pub is_callee_told: bool,
}

/// What should be.
#[derive(Debug, Default)]
pub struct Model {
    /// Registered addresses in canonical spelling with their owners, oldest first.
    pub registered: Vec<(String, ConnId)>,
    /// All dials that ever were.
    pub dials: BTreeMap<String, Dial>,
    /// All streams that ever were.
    pub streams: BTreeMap<StreamName, Stream>,
    /// Failed answers to challenges.
    pub failed_answers: BTreeMap<ConnId, u32>,
}

impl Model {
    /// Returns who has an address.
    pub fn owner(&self, address: &str) -> Option<ConnId> {
        let found = self.registered.iter().find(|(other, _)| other == address);
        found.map(|(_, conn)| *conn)
    }

    /// Registers an address; returns who had it.
    pub fn register(&mut self, address: &str, conn: ConnId) -> Option<ConnId> {
        let old = self.owner(address);
        if old == Some(conn) {
            return None;
        }
        self.registered.retain(|(other, _)| other != address);
        self.registered.push((address.to_owned(), conn));
        old
    }

    /// Returns the answer to a join: the newest addresses of others.
    pub fn others(&self, than: ConnId, is_modern: bool) -> Vec<String> {
        let mut others: Vec<_> = self
            .registered
            .iter()
            .filter(|(_, conn)| *conn != than)
            .map(|(address, _)| match is_modern {
                true => respelled(address),
                false => address.clone(),
            })
            .collect();
        let surplus = others.len().saturating_sub(quota::MAX_JOIN_LIST);
        others.drain(..surplus);
        others
    }

    /// Returns whom a dial means.
    pub fn callee(&self, to: &str) -> Option<ConnId> {
        self.owner(to).or_else(|| {
            let mut newest_first = self.registered.iter().rev();
            let found = newest_first.find(|(other, _)| peer_of(other) == peer_of(to));
            found.map(|(_, conn)| *conn)
        })
    }

    /// Notes a dial that the star has taken, with its two streams.
    pub fn begin_dial(&mut self, id: &str, dialer: ConnId, callee: ConnId, ack: AckId) {
        let dial = Dial {
            dialer,
            callee,
            ack,
            stage: Stage::Asking,
            refusal: None,
            is_dialer_told: false,
            is_callee_told: false,
        };
        assert!(self.dials.insert(id.to_owned(), dial).is_none(), "{id} twice");
        for (direction, writer, reader) in [
            (Direction::Dialer, dialer, callee),
            (Direction::Listener, callee, dialer),
        ] {
            let stream = Stream {
                writer,
                reader,
                sent: Vec::new(),
                arrived: 0,
                writer_end: None,
                is_writer_gone: false,
                is_accepted: false,
                is_over: false,
                reader_end: None,
            };
            self.streams.insert((id.to_owned(), direction), stream);
        }
    }

    /// Notes that a dial has come to nothing.
    pub fn fail_dial(&mut self, id: &str) {
        if let Some(dial) = self.dials.get_mut(id) {
            dial.stage = Stage::Failed;
        }
        if let Some(stream) = self.streams.get_mut(&(id.to_owned(), Direction::Listener)) {
            stream.is_over = true;
        }
    }

    /// Notes that a connection is gone.
    pub fn disconnect(&mut self, conn: ConnId) {
        self.registered.retain(|(_, owner)| *owner != conn);
        let mut failed = Vec::new();
        for (id, dial) in &mut self.dials {
            if dial.stage == Stage::Asking && (dial.dialer == conn || dial.callee == conn) {
                failed.push(id.clone());
            }
        }
        for id in failed {
            self.fail_dial(&id);
        }
        for stream in self.streams.values_mut() {
            stream.is_writer_gone |= stream.writer == conn;
            stream.is_over |= stream.reader == conn;
        }
    }
}

impl Stream {
    /// Returns what waits for the reader by the broker's measure, unless it was
    /// thrown away.
    pub fn waiting_bytes(&self) -> usize {
        let waiting = self.sent[self.arrived..].iter();
        waiting.map(|len| len + quota::CHUNK_OVERHEAD_BYTES).sum()
    }

    /// Returns whether the writer may write, as far as anybody outside can tell.
    pub fn is_open(&self) -> bool {
        self.writer_end.is_none() && !self.is_writer_gone && !self.is_over
    }

    /// Notes an end that its reader was told of.
    ///
    /// # Panics
    ///
    /// When the end is not the truth.
    pub fn end(&mut self, name: &StreamName, end: &StreamEnd) {
        assert!(self.is_accepted, "{name:?} ended before it was accepted");
        assert_eq!(self.reader_end, None, "{name:?} ended twice");
        self.reader_end = Some(end.clone());
        let is_complete = self.arrived == self.sent.len();
        if self.writer_end.as_ref() == Some(end) {
            assert!(is_complete, "{name:?} ended before its bytes had arrived");
            return;
        }
        let StreamEnd::Error(text) = end else {
            panic!("{name:?} ended cleanly, and its writer did not: {self:?}")
        };
        if text == Cut::PeerDisconnected.text() {
            assert!(self.is_writer_gone, "{name:?}: {text}");
            assert!(is_complete, "{name:?} lost what was sent before the disconnect");
        } else {
            let is_cut = Cut::ALL.iter().any(|cut| cut.text() == text);
            assert!(is_cut, "{name:?}: {text} is nobody's");
        }
    }
}

/// Returns the content of a stream's chunk: what arrives is not only as long as
/// what was sent.
pub fn content(name: &StreamName, chunk: usize, len: usize) -> Vec<u8> {
    let salt = name.0.bytes().fold(chunk, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(byte))
    });
    let first = u8::try_from((salt + name.1 as usize) % 251).unwrap_or_default();
    vec![first; len]
}
