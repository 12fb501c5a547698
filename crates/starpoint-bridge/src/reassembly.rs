//! Frames to messages, and messages into the order in which they were written
//! (R-BRIDGE-3, R-BRIDGE-4). Pure: time is a parameter.
//!
//! A channel may deliver frames in any order. The writer counts the messages of
//! each line from 0, so a message that is whole waits until all before it are.
//! What waits is bounded for each message, each line and all together, and waits
//! at most [`MESSAGE_LIFETIME`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use web_time::Instant;

use crate::codec::{Frame, FrameEvent};

/// How long a message may take, from its first frame until it is whole and its
/// turn has come.
pub const MESSAGE_LIFETIME: Duration = Duration::from_secs(60);

/// What a frame that waits counts for besides its payload, in bytes.
pub const FRAME_OVERHEAD_BYTES: usize = 128;

/// How far a message may be ahead of the one that is due, in messages. What is as
/// far behind is taken for a duplicate.
pub const MAX_AHEAD: u16 = 16_384;

/// Bounds of what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReassemblyLimits {
    /// Longest message, in bytes of payload. Default: 1 MiB.
    pub message_bytes: usize,
    /// Most that waits of one line, in bytes, [`FRAME_OVERHEAD_BYTES`] for each
    /// frame included. Default: 8 MiB.
    pub line_bytes: usize,
    /// The same for all lines together. Default: 64 MiB.
    pub total_bytes: usize,
}

/// A message whose turn has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub event: FrameEvent,
    /// Its whole payload.
    pub payload: Bytes,
}

/// A frame that cannot be taken: the fault of who has sent it, but for
/// [`TotalFull`](Self::TotalFull). The frame is dropped, so its line has a hole
/// and is of no more use; other lines are as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReassemblyFault {
    /// The line is not [open](Reassembly::open).
    #[error("frame of a line that is not open")]
    UnknownLine,
    /// More than [`MAX_AHEAD`] messages are missing before it.
    #[error("message too far ahead")]
    TooFarAhead,
    /// The frames of a message disagree about their number or event.
    #[error("frames of a message disagree")]
    Disagreement,
    /// A frame was sent twice, with different payloads.
    #[error("two frames in one place")]
    Conflict,
    /// The message has more than [`ReassemblyLimits::message_bytes`].
    #[error("message too long")]
    MessageTooLong,
    /// The line has more than [`ReassemblyLimits::line_bytes`].
    #[error("too much of a line waits")]
    LineFull,
    /// All lines together have more than [`ReassemblyLimits::total_bytes`].
    #[error("too much of all lines waits")]
    TotalFull,
}

/// What waits of all lines.
#[derive(Debug)]
pub struct Reassembly {
    limits: ReassemblyLimits,
    lines: BTreeMap<u16, Arrivals>,
    total_bytes: usize,
    /// Of all messages that wait: when, line, message.
    deadlines: BTreeSet<(Instant, u16, u16)>,
}

/// What waits of a line.
#[derive(Debug, Default)]
struct Arrivals {
    /// The message that is due.
    next: u16,
    waiting: BTreeMap<u16, Waiting>,
    bytes: usize,
    keep: Keep,
}

/// Whether anybody will look at the payloads of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Keep {
    #[default]
    Payloads,
    /// Those of DATA messages are dropped.
    Nothing,
}

/// A message that is not whole, or whose turn has not come.
#[derive(Debug)]
struct Waiting {
    event: FrameEvent,
    total: u16,
    frames: BTreeMap<u16, Bytes>,
    payload_bytes: usize,
    deadline: Instant,
}

impl Default for ReassemblyLimits {
    fn default() -> Self {
        Self {
            message_bytes: 1 << 20,
            line_bytes: 8 << 20,
            total_bytes: 64 << 20,
        }
    }
}

impl Reassembly {
    /// Makes one without lines.
    pub fn new(limits: ReassemblyLimits) -> Self {
        Self {
            limits,
            lines: BTreeMap::new(),
            total_bytes: 0,
            deadlines: BTreeSet::new(),
        }
    }

    /// Begins a line, whose first message is 0. What waited of one with the same
    /// id is forgotten.
    pub fn open(&mut self, line: u16) {
        self.close(line);
        self.lines.insert(line, Arrivals::default());
    }

    /// Forgets a line and what waits of it.
    pub fn close(&mut self, line: u16) {
        if let Some(arrivals) = self.lines.remove(&line) {
            self.total_bytes -= arrivals.bytes;
            for (message, waiting) in arrivals.waiting {
                self.deadlines.remove(&(waiting.deadline, line, message));
            }
        }
    }

    /// Drops the payloads of the DATA messages of a line that wait, and from now on
    /// those that would have to. The messages are counted on.
    pub fn discard_payloads(&mut self, line: u16) {
        let Some(arrivals) = self.lines.get_mut(&line) else {
            return;
        };
        arrivals.keep = Keep::Nothing;
        let is_data = |waiting: &&mut Waiting| waiting.event == FrameEvent::Data;
        for waiting in arrivals.waiting.values_mut().filter(is_data) {
            let dropped = waiting.payload_bytes;
            for payload in waiting.frames.values_mut() {
                *payload = Bytes::new();
            }
            waiting.payload_bytes = 0;
            arrivals.bytes -= dropped;
            self.total_bytes -= dropped;
        }
    }

    /// Takes a frame. Returns the message that was due, if this makes it whole:
    /// then ask for [`those behind it`](Self::next). Duplicates are ignored.
    ///
    /// `now` must not go back from one call to the next.
    ///
    /// # Errors
    ///
    /// [`ReassemblyFault`].
    pub fn accept(
        &mut self,
        frame: Frame,
        now: Instant,
    ) -> Result<Option<Message>, ReassemblyFault> {
        let (line, message) = (frame.line(), frame.message());
        let Some(arrivals) = self.lines.get_mut(&line) else {
            return Err(ReassemblyFault::UnknownLine);
        };
        let ahead = message.wrapping_sub(arrivals.next);
        if ahead >= u16::MAX - MAX_AHEAD {
            return Ok(None);
        }
        if ahead > MAX_AHEAD {
            return Err(ReassemblyFault::TooFarAhead);
        }
        if frame.total() == 1 && ahead == 0 && !arrivals.waiting.contains_key(&message) {
            if frame.payload().len() > self.limits.message_bytes {
                return Err(ReassemblyFault::MessageTooLong);
            }
            arrivals.next = message.wrapping_add(1);
            return Ok(Some(Message {
                event: frame.event(),
                payload: frame.into_payload(),
            }));
        }
        self.hold(frame, now)?;
        Ok(self.next(line))
    }

    /// Puts a frame to the others of its message.
    fn hold(&mut self, frame: Frame, now: Instant) -> Result<(), ReassemblyFault> {
        let (line, message, index) = (frame.line(), frame.message(), frame.index());
        let arrivals = self.lines.entry(line).or_default();
        let payload = match (arrivals.keep, frame.event()) {
            (Keep::Nothing, FrameEvent::Data) => Bytes::new(),
            (Keep::Payloads, _) | (Keep::Nothing, FrameEvent::Close | FrameEvent::Connect) => {
                frame.payload().clone()
            }
        };
        let mut message_bytes = payload.len();
        if let Some(waiting) = arrivals.waiting.get(&message) {
            if waiting.total != frame.total() || waiting.event != frame.event() {
                return Err(ReassemblyFault::Disagreement);
            }
            match waiting.frames.get(&index) {
                Some(known) if *known == payload => return Ok(()),
                Some(_) => return Err(ReassemblyFault::Conflict),
                None => message_bytes += waiting.payload_bytes,
            }
        }
        let held = payload.len() + FRAME_OVERHEAD_BYTES;
        if message_bytes > self.limits.message_bytes {
            return Err(ReassemblyFault::MessageTooLong);
        }
        if arrivals.bytes + held > self.limits.line_bytes {
            return Err(ReassemblyFault::LineFull);
        }
        if self.total_bytes + held > self.limits.total_bytes {
            return Err(ReassemblyFault::TotalFull);
        }
        let deadlines = &mut self.deadlines;
        let waiting = arrivals.waiting.entry(message).or_insert_with(|| {
            let deadline = now + MESSAGE_LIFETIME;
            deadlines.insert((deadline, line, message));
            Waiting {
                event: frame.event(),
                total: frame.total(),
                frames: BTreeMap::new(),
                payload_bytes: 0,
                deadline,
            }
        });
        waiting.payload_bytes = message_bytes;
        waiting.frames.insert(index, payload);
        arrivals.bytes += held;
        self.total_bytes += held;
        Ok(())
    }

    /// Returns the message of a line that is due, if it is whole.
    pub fn next(&mut self, line: u16) -> Option<Message> {
        let arrivals = self.lines.get_mut(&line)?;
        let message = arrivals.next;
        let waiting = arrivals.waiting.get(&message)?;
        if waiting.frames.len() != usize::from(waiting.total) {
            return None;
        }
        let waiting = arrivals.waiting.remove(&message)?;
        self.deadlines.remove(&(waiting.deadline, line, message));
        let held = waiting.payload_bytes + waiting.frames.len() * FRAME_OVERHEAD_BYTES;
        arrivals.next = message.wrapping_add(1);
        arrivals.bytes -= held;
        self.total_bytes -= held;
        Some(Message {
            event: waiting.event,
            payload: joined(waiting.frames, waiting.payload_bytes),
        })
    }

    /// Returns when a message will have waited for [`MESSAGE_LIFETIME`].
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, ..)| *deadline)
    }

    /// Returns a line of which a message has waited for too long. The line has a
    /// hole that nothing will fill: it stays the answer until it is
    /// [closed](Self::close).
    pub fn expired(&self, now: Instant) -> Option<u16> {
        let (deadline, line, _) = self.deadlines.first()?;
        (*deadline <= now).then_some(*line)
    }

    /// Returns the line of which most waits; none when nothing does. Looks at
    /// every line.
    pub fn greediest(&self) -> Option<u16> {
        let holding = self.lines.iter().filter(|(_, held)| held.bytes > 0);
        holding
            .max_by_key(|(_, held)| held.bytes)
            .map(|(id, _)| *id)
    }

    /// Returns whether anything of a line waits.
    pub fn holds(&self, line: u16) -> bool {
        let arrivals = self.lines.get(&line);
        arrivals.is_some_and(|arrivals| !arrivals.waiting.is_empty())
    }

    /// Returns how much waits, in bytes with overhead.
    pub fn waiting_bytes(&self) -> usize {
        self.total_bytes
    }
}

fn joined(mut frames: BTreeMap<u16, Bytes>, payload_bytes: usize) -> Bytes {
    if frames.len() == 1 {
        return frames.pop_first().map(|(_, one)| one).unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(payload_bytes);
    for part in frames.values() {
        whole.extend_from_slice(part);
    }
    whole.freeze()
}

#[cfg(test)]
mod tests;
