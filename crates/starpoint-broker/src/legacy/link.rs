//! One dialed connection: two streams between two clients.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use starpoint_wire::{DialId, Direction, StreamEnd, StreamId};

use crate::{
    id::{AckId, ConnId, SourceId},
    quota::{CHUNK_OVERHEAD_BYTES, IDLE_LINK},
    tally::Route,
};

/// A dial and the connection that it becomes.
///
/// ```text
///            callee accepts
///  Asking ───────────────────► Open
///    │
///    │ deadline, or the dialer leaves
///    ▼
///  Abandoned: only there to tell the callee that the dial is over
/// ```
///
/// A link ends when both its halves are [done](Half::is_done); a callee that
/// refuses or leaves while asked ends it at once.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) dial_id: DialId,
    pub(crate) dialer: ConnId,
    pub(crate) listener: ConnId,
    /// Sources of the dialer and of the listener; they outlive their connections.
    sources: [SourceId; 2],
    pub(crate) phase: Phase,
    /// When a chunk was written, by either side, or the link was made.
    pub(crate) last_active: Instant,
    /// What the dialer writes.
    dialer_half: Half,
    /// What the listener writes.
    listener_half: Half,
}

/// See [`Link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The callee has been asked; the dialer waits under this number.
    Asking(AckId),
    /// Both sides have agreed.
    Open,
    /// The dialer has been answered or is gone; the callee has not answered.
    Abandoned,
}

/// One stream.
#[derive(Debug, Default)]
pub(crate) struct Half {
    /// The reader has said that it is ready.
    pub(crate) is_accepted: bool,
    /// The stream stands in its reader's queue of streams with something to send.
    pub(crate) is_ready: bool,
    /// The writer is paused because of this stream.
    pub(crate) is_held: bool,
    /// Since when chunks wait for the reader to be ready.
    refused_since: Option<Instant>,
    chunks: VecDeque<Bytes>,
    queued_bytes: usize,
    ending: Ending,
}

/// How far the end of a stream is.
#[derive(Debug, Default)]
enum Ending {
    /// The writer may write.
    #[default]
    Open,
    /// Nothing more is taken; the reader hears of it after the chunks.
    Waiting(StreamEnd),
    /// The reader knows, or is gone.
    Done,
}

/// What goes to the reader of a stream next.
#[derive(Debug)]
pub(crate) enum Item {
    Chunk(Bytes),
    End(StreamEnd),
}

impl Link {
    pub(crate) fn new(
        dial_id: DialId,
        dialer: (ConnId, SourceId),
        listener: (ConnId, SourceId),
        ack: AckId,
        now: Instant,
    ) -> Self {
        Self {
            dial_id,
            last_active: now,
            dialer: dialer.0,
            listener: listener.0,
            sources: [dialer.1, listener.1],
            phase: Phase::Asking(ack),
            dialer_half: Half::default(),
            listener_half: Half::default(),
        }
    }

    pub(crate) fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Dialer => &self.dialer_half,
            Direction::Listener => &self.listener_half,
        }
    }

    pub(crate) fn half_mut(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Dialer => &mut self.dialer_half,
            Direction::Listener => &mut self.listener_half,
        }
    }

    pub(crate) fn writer(&self, direction: Direction) -> ConnId {
        match direction {
            Direction::Dialer => self.dialer,
            Direction::Listener => self.listener,
        }
    }

    pub(crate) fn reader(&self, direction: Direction) -> ConnId {
        self.writer(direction.opposite())
    }

    /// Returns what its quotas are about.
    pub(crate) fn route(&self) -> Route<ConnId> {
        Route {
            dialer: self.dialer,
            callee: self.listener,
            source: self.sources[0],
        }
    }

    /// Returns whether nothing has moved for so long that it may make room.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        let is_empty = self.dialer_half.queued_bytes == 0 && self.listener_half.queued_bytes == 0;
        self.phase == Phase::Open && is_empty && now >= self.last_active + IDLE_LINK
    }

    /// Returns the source whose bytes the chunks of a stream are.
    pub(crate) fn writer_source(&self, direction: Direction) -> SourceId {
        let [dialer, listener] = self.sources;
        match direction {
            Direction::Dialer => dialer,
            Direction::Listener => listener,
        }
    }

    /// Returns how many of its streams have not ended.
    pub(crate) fn n_streams(&self) -> usize {
        let halves = [&self.dialer_half, &self.listener_half];
        halves.into_iter().filter(|half| !half.is_done()).count()
    }

    pub(crate) fn stream(&self, direction: Direction) -> StreamId {
        StreamId {
            dial: self.dial_id.clone(),
            direction,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.dialer_half.is_done() && self.listener_half.is_done()
    }
}

impl Half {
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.ending, Ending::Open)
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.ending, Ending::Done)
    }

    /// Returns whether something could go to the reader now.
    pub(crate) fn has_item(&self) -> bool {
        self.is_accepted && (!self.chunks.is_empty() || matches!(self.ending, Ending::Waiting(_)))
    }

    /// Returns since when chunks wait for a reader that is not ready.
    pub(crate) fn refused_since(&self) -> Option<Instant> {
        self.refused_since.filter(|_| !self.is_accepted)
    }

    /// Counts from scratch what [`Half::queued_bytes`] has to be.
    pub(crate) fn recount(&self) -> usize {
        self.chunks.iter().map(weight).sum()
    }

    /// Adds a chunk and returns what it counts for.
    pub(crate) fn push(&mut self, chunk: Bytes, now: Instant) -> usize {
        let weight = weight(&chunk);
        self.refused_since.get_or_insert(now);
        self.chunks.push_back(chunk);
        self.queued_bytes += weight;
        weight
    }

    /// Ends the stream behind the chunks that wait; the first end counts.
    pub(crate) fn end(&mut self, end: StreamEnd) {
        if self.is_open() {
            self.ending = Ending::Waiting(end);
        }
    }

    /// Takes what goes to the reader next, and what it counted for.
    pub(crate) fn pop(&mut self) -> Option<(Item, usize)> {
        if !self.is_accepted {
            return None;
        }
        if let Some(chunk) = self.chunks.pop_front() {
            let weight = weight(&chunk);
            self.queued_bytes -= weight;
            return Some((Item::Chunk(chunk), weight));
        }
        match std::mem::take(&mut self.ending) {
            Ending::Open => None,
            Ending::Waiting(end) => {
                self.ending = Ending::Done;
                Some((Item::End(end), 0))
            }
            Ending::Done => {
                self.ending = Ending::Done;
                None
            }
        }
    }

    /// Throws the waiting chunks away and returns what they counted for.
    pub(crate) fn discard(&mut self) -> usize {
        self.chunks = VecDeque::new();
        std::mem::take(&mut self.queued_bytes)
    }

    /// Ends the stream with an error in place of what waits, whether or not the
    /// writer had ended it; returns what the chunks counted for.
    pub(crate) fn cut(&mut self, end: StreamEnd) -> usize {
        if !self.is_done() {
            self.ending = Ending::Waiting(end);
        }
        self.discard()
    }

    /// Forgets the stream: nobody reads it any more.
    pub(crate) fn finish(&mut self) -> usize {
        self.ending = Ending::Done;
        self.discard()
    }
}

fn weight(chunk: &Bytes) -> usize {
    chunk.len() + CHUNK_OVERHEAD_BYTES
}
