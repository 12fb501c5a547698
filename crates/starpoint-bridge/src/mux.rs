//! All lines of a channel (R-BRIDGE-6 to R-BRIDGE-12). Pure: no IO, no clock.

mod config;
mod receive;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use web_time::Instant;

pub use self::config::{ConfigError, MuxConfig};
use crate::{
    codec::{Frame, named_line},
    ids::LineIds,
    line::{Line, Local, Read},
    reason::CloseReason,
    reassembly::Reassembly,
};

/// Most that waits of a line to be sent, in bytes.
pub const OUTBOX_BYTES: usize = 64 * 1024;

/// How long one line may keep the channel from being read (R-BRIDGE-8).
pub const STALL_DEADLINE: Duration = Duration::from_secs(10);

/// Which side of the channel this is: one opens all lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens lines: has the applications.
    Opens,
    /// Serves them: has the service.
    Serves,
}

/// A line of a mux. Never the same for two lines, whatever their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineKey {
    id: u16,
    serial: u64,
}

/// What has happened to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The other side has opened it: to be [accepted](Mux::accept) or
    /// [reset](Mux::reset).
    Incoming(LineKey),
    /// The other side has accepted it.
    Opened(LineKey),
    /// There is something to [read](Mux::read).
    Readable(LineKey),
    /// So many bytes that were [written](Mux::write) are on their way.
    Sent(LineKey, usize),
    /// It was cut, by the other side or because of it. Nothing more comes.
    Reset(LineKey, CloseReason),
}

/// Why a line was not opened. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There are [`MuxConfig::max_lines`], or all ids are in use. Later.
    #[error("too many lines")]
    Busy,
    /// This side [serves](Role::Serves).
    #[error("this side opens no lines")]
    Serves,
}

/// More was written than [`Mux::writable`] said; nothing was taken. The caller's
/// fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{excess} bytes too many for the line")]
pub struct WriteError {
    /// How many bytes are too many.
    pub excess: usize,
}

/// What was seen of the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MuxCounters {
    /// Messages that were no frames.
    pub malformed: u64,
    /// Frames of lines that do not exist.
    pub strays: u64,
    /// Lines that were cut here: too much, too late, or not understood.
    pub cut: u64,
}

/// Many lines in one channel of messages.
///
/// Owns no channel, socket or clock. After **every** `&mut` call, take all that
/// [`next_event`](Self::next_event) has; send what
/// [`next_message`](Self::next_message) has when the channel takes it; read the
/// channel only while [`wants_input`](Self::wants_input); and call
/// [`handle_timeout`](Self::handle_timeout) at
/// [`next_deadline`](Self::next_deadline). `now` must not go back.
///
/// Calls for lines that are gone do nothing.
#[derive(Debug)]
pub struct Mux {
    role: Role,
    config: MuxConfig,
    ids: LineIds,
    lines: BTreeMap<u16, Line>,
    /// Lines that have a local side.
    n_present: usize,
    last_serial: u64,
    reassembly: Reassembly,
    /// Lines that may have something to say, each once.
    row: VecDeque<u16>,
    events: VecDeque<Event>,
    untaken_bytes: usize,
    /// Lines to a plain peer that hold more than a window.
    full: BTreeSet<u16>,
    paused_since: Option<Instant>,
    counters: MuxCounters,
}

impl LineKey {
    /// Returns the id that the line has on the wire. Another line may have it
    /// when this one is gone.
    pub fn id(self) -> u16 {
        self.id
    }
}

impl Mux {
    /// Makes one side of a channel, without lines.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the setting that is out of its range.
    pub fn new(role: Role, config: MuxConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            role,
            config,
            ids: LineIds::default(),
            lines: BTreeMap::new(),
            n_present: 0,
            last_serial: 0,
            reassembly: Reassembly::new(config.reassembly),
            row: VecDeque::new(),
            events: VecDeque::new(),
            untaken_bytes: 0,
            full: BTreeSet::new(),
            paused_since: None,
            counters: MuxCounters::default(),
        })
    }

    /// Returns how many lines there are, those included whose last word is still
    /// to be said or heard.
    pub fn n_lines(&self) -> usize {
        self.lines.len()
    }

    /// Returns how many lines have a local side: they are neither
    /// [finished](Self::finish) nor reset.
    pub fn n_present(&self) -> usize {
        self.n_present
    }

    /// Returns what was seen of the other side.
    pub fn counters(&self) -> MuxCounters {
        self.counters
    }

    // --- lines, from the local side

    /// Opens a line. It can be written at once.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(&mut self) -> Result<LineKey, OpenError> {
        if self.role == Role::Serves {
            return Err(OpenError::Serves);
        }
        if self.lines.len() >= self.config.max_lines {
            return Err(OpenError::Busy);
        }
        let id = self.ids.take().ok_or(OpenError::Busy)?;
        self.n_present += 1;
        Ok(self.insert(id))
    }

    /// Accepts an [incoming](Event::Incoming) line: its target is there.
    pub fn accept(&mut self, line: LineKey) {
        self.with(line, Line::accept);
    }

    /// Returns how many bytes [`write`](Self::write) takes; 0 when the line is
    /// gone.
    pub fn writable(&self, line: LineKey) -> usize {
        let found = self.lines.get(&line.id);
        found
            .filter(|found| found.serial == line.serial)
            .map_or(0, |found| OUTBOX_BYTES - found.outbox_bytes())
    }

    /// Takes bytes to be sent; [`Event::Sent`] tells when there is place again.
    /// What nobody will read is dropped.
    ///
    /// # Errors
    ///
    /// [`WriteError`] when it is more than [`writable`](Self::writable), of a line
    /// that is there.
    pub fn write(&mut self, line: LineKey, bytes: Bytes) -> Result<(), WriteError> {
        let excess = bytes.len().saturating_sub(self.writable(line));
        if excess > 0 && self.is_there(line) {
            return Err(WriteError { excess });
        }
        self.with(line, |found| found.write(bytes));
        Ok(())
    }

    /// The local side sends no more, and still reads. To a peer that knows no
    /// more than the reference, this closes the line (R-BRIDGE-10).
    pub fn end(&mut self, line: LineKey) {
        self.with(line, Line::end);
    }

    /// Returns what has come next, if something has.
    pub fn read(&mut self, line: LineKey) -> Option<Read> {
        let found = self.lines.get_mut(&line.id)?;
        if found.serial != line.serial || found.local == Local::Gone {
            return None;
        }
        found.read()
    }

    /// So many bytes of one [`Read::Data`] are written: there is room for more.
    pub fn taken(&mut self, line: LineKey, bytes: usize) {
        let mut taken = 0;
        self.with(line, |found| taken = found.taken(bytes));
        self.untaken_bytes -= taken;
        self.relax(line.id);
    }

    /// The local side is through: it has [ended](Self::end) and has read the end,
    /// or has read [`Read::Over`].
    pub fn finish(&mut self, line: LineKey) {
        self.with(line, Line::finish);
    }

    /// The local side is gone before its time, or its target was not to be had.
    /// What waits is dropped.
    pub fn reset(&mut self, line: LineKey, reason: CloseReason) {
        if self.is_there(line) {
            self.cut(line.id, reason);
        }
    }

    /// Ends all lines: the bridge stops. What is to be said about it is in
    /// [`next_message`](Self::next_message).
    pub fn stop(&mut self) {
        let ids: Vec<_> = self.lines.keys().copied().collect();
        for id in ids {
            self.cut_and_report(id, CloseReason::Stopped);
        }
    }

    // --- the channel

    /// Returns whether the channel is to be read.
    pub fn wants_input(&self) -> bool {
        self.paused_since.is_none()
    }

    /// Takes a message of the channel, whatever it is.
    pub fn handle_message(&mut self, bytes: &Bytes, now: Instant) {
        match Frame::decode(bytes) {
            Ok(frame) => self.handle_frame(frame, now),
            Err(_) => {
                self.counters.malformed += 1;
                if let Some(id) = named_line(bytes) {
                    self.break_line(id, CloseReason::Malformed);
                }
            }
        }
        if !self.wants_input() {
            return;
        }
        if !self.full.is_empty() || self.untaken_bytes > self.config.untaken_bytes {
            self.paused_since = Some(now);
        }
    }

    /// Returns the next message for the channel. Lines take turns, one message
    /// each.
    pub fn next_message(&mut self) -> Option<Bytes> {
        while let Some(id) = self.row.pop_front() {
            let Some(line) = self.lines.get_mut(&id) else {
                continue;
            };
            line.is_queued = false;
            let serial = line.serial;
            let Some(output) = line.next_output(self.config.chunk_bytes) else {
                continue;
            };
            self.attend(id);
            if output.sent_bytes > 0 {
                let line = LineKey { id, serial };
                self.events.push_back(Event::Sent(line, output.sent_bytes));
            }
            let frame = Frame::whole(output.event, id, output.message, output.payload);
            return Some(frame.expect("a chunk fits into a frame").encode());
        }
        None
    }

    /// Returns what has happened. At most a few events for each call.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout).
    pub fn next_deadline(&self) -> Option<Instant> {
        let stalled = self.paused_since.map(|since| since + STALL_DEADLINE);
        let expires = self.reassembly.next_deadline();
        stalled.into_iter().chain(expires).min()
    }

    /// Cuts what is too late at this time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.reassembly.expired(now) {
            self.break_line(id, CloseReason::Expired);
        }
        let Some(since) = self.paused_since else {
            return;
        };
        if since + STALL_DEADLINE > now {
            return;
        }
        self.paused_since = Some(now);
        // Alone, a slow reader holds nobody up.
        if self.n_present > 1
            && let Some(id) = self.fullest()
        {
            self.cut_and_report(id, CloseReason::Stalled);
        }
    }

    // --- within

    fn insert(&mut self, id: u16) -> LineKey {
        self.last_serial += 1;
        let serial = self.last_serial;
        let line = Line::new(self.role, serial, self.config.window_bytes);
        self.lines.insert(id, line);
        self.reassembly.open(id);
        self.attend(id);
        LineKey { id, serial }
    }

    fn is_there(&self, line: LineKey) -> bool {
        let found = self.lines.get(&line.id);
        found.is_some_and(|found| found.serial == line.serial && found.local == Local::Present)
    }

    /// Does something to a line that has its local side.
    fn with(&mut self, line: LineKey, act: impl FnOnce(&mut Line)) {
        if !self.is_there(line) {
            return;
        }
        if let Some(found) = self.lines.get_mut(&line.id) {
            act(found);
            if found.local == Local::Gone {
                self.n_present -= 1;
                self.untaken_bytes -= std::mem::take(&mut found.untaken_bytes);
            }
        }
        self.relax(line.id);
        self.attend(line.id);
    }

    /// Puts a line into the row, or forgets it when all is said.
    fn attend(&mut self, id: u16) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if line.is_done() {
            self.forget(id);
        } else if !line.is_queued {
            line.is_queued = true;
            self.row.push_back(id);
        }
    }

    fn forget(&mut self, id: u16) {
        if let Some(line) = self.lines.remove(&id) {
            self.untaken_bytes -= line.untaken_bytes;
        }
        self.reassembly.close(id);
        self.ids.release(id);
        self.relax(id);
    }

    fn cut_and_report(&mut self, id: u16, reason: CloseReason) {
        let Some(line) = self.lines.get(&id) else {
            return;
        };
        let serial = line.serial;
        if line.local == Local::Present {
            self.counters.cut += 1;
            let line = LineKey { id, serial };
            self.events.push_back(Event::Reset(line, reason));
        }
        self.cut(id, reason);
    }

    fn cut(&mut self, id: u16, reason: CloseReason) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if line.local == Local::Present {
            self.n_present -= 1;
        }
        self.untaken_bytes -= line.untaken_bytes;
        line.reset(reason);
        self.reassembly.discard_payloads(id);
        self.relax(id);
        self.attend(id);
    }

    /// Returns the line of which most was not taken: of those to plain peers, if
    /// one of them is the cause.
    fn fullest(&self) -> Option<u16> {
        let is_cause = |id: &u16| self.full.is_empty() || self.full.contains(id);
        let held = self.lines.iter().filter(|(id, _)| is_cause(id));
        let most = held.max_by_key(|(_, line)| line.untaken_bytes);
        most.map(|(id, _)| *id)
    }

    /// Reads the channel again when there is place.
    fn relax(&mut self, id: u16) {
        let held = self.lines.get(&id).map_or(0, |line| line.untaken_bytes);
        if held <= self.config.window_bytes / 4 {
            self.full.remove(&id);
        }
        let has_place = self.untaken_bytes <= self.config.untaken_bytes / 4 * 3;
        if self.full.is_empty() && has_place {
            self.paused_since = None;
        }
    }
}

#[cfg(test)]
mod tests;
