//! What should be: maps, vectors, no cleverness.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use starpoint_broker::{AckId, ConnId, quota};
use starpoint_wire::{Cut, Direction, StreamEnd, limits::DIAL_DEADLINE};

use crate::names::{peer_of, respelled};

/// Registered addresses with which the answers to joins are compared in full.
const MAX_COMPARED: usize = 500;

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
    /// When the writer ended it, left, or lost it.
    pub ended_at: Option<Instant>,
    /// What waits was thrown away.
    pub is_discarded: bool,
    /// The reader has disconnected, or the stream was forgotten.
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
    /// When it dialed.
    pub asked_at: Instant,
    /// How far it is.
    pub stage: Stage,
    /// The callee's own words, if it refused.
    pub refusal: Option<String>,
    /// The dialer has its answer, or is gone.
    pub is_answered: bool,
}

/// What should be.
#[derive(Debug, Default)]
pub struct Model {
    /// Registered addresses in canonical spelling with their owners, oldest first.
    pub registered: BTreeMap<u64, (String, ConnId)>,
    /// Where each address stands in `registered`.
    pub places: BTreeMap<String, u64>,
    last_place: u64,
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
        let place = self.places.get(address)?;
        self.registered.get(place).map(|(_, conn)| *conn)
    }

    /// Registers an address; returns who had it.
    pub fn register(&mut self, address: &str, conn: ConnId) -> Option<ConnId> {
        let old = self.owner(address);
        if old == Some(conn) {
            return None;
        }
        self.unregister(address);
        self.last_place += 1;
        self.places.insert(address.to_owned(), self.last_place);
        self.registered
            .insert(self.last_place, (address.to_owned(), conn));
        old
    }

    /// Frees an address.
    pub fn unregister(&mut self, address: &str) {
        if let Some(place) = self.places.remove(address) {
            self.registered.remove(&place);
        }
    }

    /// Returns what the answer to a join is drawn from: of each peer the newest
    /// address, if somebody else has it. Nothing where that is too many to look at for
    /// each join.
    pub fn others(&self, than: ConnId, is_modern: bool) -> Option<BTreeSet<String>> {
        if self.registered.len() > MAX_COMPARED {
            return None;
        }
        let mut newest = BTreeMap::new();
        for (address, conn) in self.registered.values() {
            let is_named = address.contains("/ipfs/");
            let peer = if is_named { peer_of(address) } else { address };
            newest.insert(peer, (address, *conn));
        }
        let others = newest.into_values().filter(|(_, conn)| *conn != than);
        let others = others.map(|(address, _)| match is_modern {
            true => respelled(address),
            false => address.clone(),
        });
        Some(others.collect())
    }

    /// Returns whom a dial means.
    pub fn callee(&self, to: &str) -> Option<ConnId> {
        self.owner(to).or_else(|| {
            let mut newest_first = self.registered.values().rev();
            let found = newest_first.find(|(other, _)| peer_of(other) == peer_of(to));
            found.map(|(_, conn)| *conn)
        })
    }

    /// Notes a dial that the star has taken, with its two streams.
    pub fn begin_dial(
        &mut self,
        id: &str,
        dialer: ConnId,
        callee: ConnId,
        ack: AckId,
        now: Instant,
    ) {
        let dial = Dial {
            dialer,
            callee,
            ack,
            asked_at: now,
            stage: Stage::Asking,
            refusal: None,
            is_answered: false,
        };
        assert!(
            self.dials.insert(id.to_owned(), dial).is_none(),
            "{id} twice"
        );
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
                ended_at: None,
                is_discarded: false,
                is_over: false,
                reader_end: None,
            };
            self.streams.insert((id.to_owned(), direction), stream);
        }
    }

    /// Notes that the callee has answered.
    pub fn answer(&mut self, id: &str, refusal: Option<&str>) {
        let Some(dial) = self.dials.get_mut(id) else {
            return;
        };
        if dial.stage == Stage::Asking {
            dial.refusal = refusal.map(str::to_owned);
            match refusal {
                Some(_) => dial.stage = Stage::Failed,
                None => dial.stage = Stage::Open,
            }
        }
        if refusal.is_some() && dial.stage == Stage::Failed {
            self.end_link(id);
        }
    }

    /// Notes that a dial has failed, and that its callee may hear of it.
    fn fail_dial(&mut self, id: &str) {
        if let Some(dial) = self.dials.get_mut(id) {
            dial.stage = Stage::Failed;
        }
        self.stream(id, Direction::Listener).is_over = true;
    }

    /// Notes that nothing is left of a link.
    fn end_link(&mut self, id: &str) {
        self.stream(id, Direction::Dialer).is_over = true;
        self.stream(id, Direction::Listener).is_over = true;
    }

    /// Returns a stream.
    ///
    /// # Panics
    ///
    /// When there is none of this name.
    pub fn stream(&mut self, id: &str, direction: Direction) -> &mut Stream {
        let name = (id.to_owned(), direction);
        self.streams.get_mut(&name).expect("the stream of a dial")
    }

    /// Returns whether the broker has to know of a link.
    pub fn is_link_alive(&self, id: &str) -> bool {
        [Direction::Dialer, Direction::Listener]
            .iter()
            .any(|direction| {
                let stream = self.streams.get(&(id.to_owned(), *direction));
                stream.is_some_and(|stream| !stream.is_done())
            })
    }

    /// Notes that a connection is gone.
    pub fn disconnect(&mut self, conn: ConnId, now: Instant) {
        self.registered.retain(|_, (address, owner)| {
            let is_gone = *owner == conn;
            if is_gone {
                self.places.remove(address);
            }
            !is_gone
        });
        let asking = |dial: &Dial| dial.stage == Stage::Asking;
        let ids_where = |model: &Self, is_it: &dyn Fn(&Dial) -> bool| -> Vec<String> {
            let dials = model.dials.iter().filter(|(_, dial)| is_it(dial));
            dials.map(|(id, _)| id.clone()).collect()
        };
        for id in ids_where(self, &|dial| asking(dial) && dial.callee == conn) {
            self.fail_dial(&id);
            self.end_link(&id);
        }
        for id in ids_where(self, &|dial| asking(dial) && dial.dialer == conn) {
            self.fail_dial(&id);
        }
        for stream in self.streams.values_mut() {
            if stream.writer == conn {
                stream.is_writer_gone = true;
                stream.ended_at.get_or_insert(now);
            }
            stream.is_over |= stream.reader == conn;
        }
    }

    /// Notes what time alone does: dials that nobody answers fail, and ended
    /// streams that nobody accepts are forgotten.
    pub fn pass_time(&mut self, now: Instant) {
        let late: Vec<_> = self
            .dials
            .iter()
            .filter(|(_, dial)| dial.stage == Stage::Asking && dial.asked_at + DIAL_DEADLINE <= now)
            .map(|(id, dial)| (id.clone(), dial.asked_at + DIAL_DEADLINE))
            .collect();
        for (id, at) in late {
            self.fail_dial(&id);
            let stream = self.stream(&id, Direction::Dialer);
            stream.is_discarded = true;
            stream.ended_at.get_or_insert(at);
        }
        for stream in self.streams.values_mut() {
            let is_late = |at: Instant| at + quota::UNACCEPTED_DEADLINE <= now;
            stream.is_over |= !stream.is_accepted && stream.ended_at.is_some_and(is_late);
        }
    }

    /// Notes that a dial was refused at once.
    pub fn forget_dial(&mut self, id: &str) {
        self.dials.remove(id);
        self.streams.remove(&(id.to_owned(), Direction::Dialer));
        self.streams.remove(&(id.to_owned(), Direction::Listener));
    }

    /// Forgets links of which nothing is left and nobody waits for.
    pub fn prune(&mut self) {
        let dead: Vec<_> = self
            .dials
            .iter()
            .filter(|(id, dial)| dial.is_answered && !self.is_link_alive(id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in dead {
            self.forget_dial(&id);
        }
    }

    /// Returns what has to wait in the broker.
    pub fn waiting_bytes(&self) -> usize {
        self.streams.values().map(Stream::waiting_bytes).sum()
    }
}

impl Stream {
    /// Returns what waits for the reader, by the broker's measure.
    pub fn waiting_bytes(&self) -> usize {
        if self.is_over || self.is_discarded {
            return 0;
        }
        let waiting = self.sent[self.arrived..].iter();
        waiting.map(|len| len + quota::CHUNK_OVERHEAD_BYTES).sum()
    }

    /// Returns whether its reader has heard of the end or will never hear of it.
    pub fn is_done(&self) -> bool {
        self.is_over || self.reader_end.is_some()
    }

    /// Returns whether the writer has not ended, left or lost it.
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none() && !self.is_done()
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
            assert!(
                self.is_writer_gone && self.writer_end.is_none(),
                "{name:?}: {text}"
            );
            assert!(
                is_complete,
                "{name:?} lost what was sent before the disconnect"
            );
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
