//! One heap for every deadline of a broker.

use std::{cmp::Reverse, collections::BinaryHeap, time::Instant};

use libp2p_identity::PeerId;
use starpoint_wire::{Direction, native::Namespace};

use crate::id::{ConnId, LinkId, PipeId};

/// What a deadline is for. Its owner may be gone or have a newer one by the time
/// it comes; whoever handles it looks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// A callee has to have answered.
    Dial(LinkId),
    /// The reader of an ended stream has to have accepted it.
    Unaccepted(LinkId, Direction),
    /// A destination has to have taken something.
    Stall(ConnId),
    /// A connection hears of others.
    Announce(ConnId),
    /// Both sides of a pipe have to be there.
    Pipe(PipeId),
    /// The dialer's own side of a pipe has to be there.
    OwnSide(PipeId),
    /// A peer that is away has to be back.
    Grace(PeerId),
    /// The readers of a namespace hear of what has changed.
    Presence(Namespace),
}

/// Deadlines in the order of time.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, Deadline)>>,
}

impl Deadlines {
    pub(crate) fn add(&mut self, at: Instant, deadline: Deadline) {
        self.heap.push(Reverse((at, deadline)));
    }

    /// Returns how many wait, the outdated ones included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Returns the earliest time.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes a deadline that has come, with the time that it was set for.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(Instant, Deadline)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }
}
