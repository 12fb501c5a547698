//! One dialed connection, as its peer sees it.

use starpoint_wire::{DialId, Direction, StreamId};
use web_time::Instant;

/// Names what a star asked for, so that it can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token(pub(crate) u64);

/// How far a link is.
///
/// ```text
///   Dialing ── answered ──┐
///                         ├──► Open ── both ends, or dropped ──► gone
///   Offered ── accepted ──┘
/// ```
///
/// A link that is refused, abandoned or too slow on the left is gone at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The callee has not answered.
    Dialing { deadline: Instant },
    /// The swarm has not begun with it.
    Offered { token: Token, deadline: Instant },
    /// Bytes flow.
    Open,
}

/// What may still be sent into a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// Its reader has not accepted it: nothing yet.
    Unaccepted,
    Accepted,
    Ended,
}

/// State of one link on one connection to a star.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// Which of the two streams is ours to write.
    pub(crate) role: Direction,
    pub(crate) phase: Phase,
    pub(crate) writing: Writing,
    pub(crate) is_remote_ended: bool,
}

impl Link {
    pub(crate) fn dialing(deadline: Instant) -> Self {
        Self::new(Direction::Dialer, Phase::Dialing { deadline })
    }

    pub(crate) fn offered(token: Token, deadline: Instant) -> Self {
        Self::new(Direction::Listener, Phase::Offered { token, deadline })
    }

    fn new(role: Direction, phase: Phase) -> Self {
        Self {
            role,
            phase,
            writing: Writing::Unaccepted,
            is_remote_ended: false,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Dialing { deadline } | Phase::Offered { deadline, .. } => Some(deadline),
            Phase::Open => None,
        }
    }

    /// Returns the name of the stream that is ours to write.
    pub(crate) fn own_stream(&self, dial: &DialId) -> StreamId {
        StreamId {
            dial: dial.clone(),
            direction: self.role,
        }
    }

    /// Returns the name of the stream that is ours to read.
    pub(crate) fn remote_stream(&self, dial: &DialId) -> StreamId {
        StreamId {
            dial: dial.clone(),
            direction: self.role.opposite(),
        }
    }

    pub(crate) fn may_write(&self) -> bool {
        self.phase == Phase::Open && self.writing == Writing::Accepted
    }
}
