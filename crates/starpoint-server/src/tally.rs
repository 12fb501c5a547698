//! What the server's own sockets count, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why the server broke a connection off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseCause {
    /// The client took nothing of what waited for it.
    Stalled,
    /// The client did not complete a message in time.
    Unfinished,
    /// There was no room for the rest of a message.
    NoRoom,
    /// A message is longer than the client may send, or breaks the protocol.
    BadMessage,
}

impl CloseCause {
    pub(crate) const ALL: [Self; 4] = [
        Self::Stalled,
        Self::Unfinished,
        Self::NoRoom,
        Self::BadMessage,
    ];

    /// Returns the label of the metric.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stalled => "stalled",
            Self::Unfinished => "unfinished",
            Self::NoRoom => "no-room",
            Self::BadMessage => "bad-message",
        }
    }
}

/// Numbers that only grow, of all connections together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pings: AtomicU64,
    pongs_left_out: AtomicU64,
    closed: [AtomicU64; CloseCause::ALL.len()],
}

impl Tally {
    /// A client has sent a WebSocket ping.
    pub(crate) fn pinged(&self) {
        self.pings.fetch_add(1, Ordering::Relaxed);
    }

    /// A pong gave way to a newer one before it could be written.
    pub(crate) fn pong_left_out(&self) {
        self.pongs_left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was broken off.
    pub(crate) fn closed(&self, cause: CloseCause) {
        self.closed[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn n_pings(&self) -> u64 {
        self.pings.load(Ordering::Relaxed)
    }

    pub(crate) fn n_pongs_left_out(&self) -> u64 {
        self.pongs_left_out.load(Ordering::Relaxed)
    }

    pub(crate) fn n_closed(&self, cause: CloseCause) -> u64 {
        self.closed[cause as usize].load(Ordering::Relaxed)
    }
}
