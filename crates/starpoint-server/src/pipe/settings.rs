//! What a pipe is given, and what it leaves.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use super::{Buffers, Rate};

/// What the pipes of a star share, and what is of one peer.
#[derive(Clone, Debug)]
pub(crate) struct PipeSettings {
    /// Where buffers come from.
    pub(crate) buffers: Arc<Buffers>,
    /// Bounds what the first peer sends, in all its pipes.
    pub(crate) rate_a: Option<Arc<Rate>>,
    /// Bounds what the second peer sends, in all its pipes.
    pub(crate) rate_b: Option<Arc<Rate>>,
    /// Counts the bytes that were carried from the first peer to the second, as
    /// they are. May be shared.
    pub(crate) carried_a: Arc<AtomicU64>,
    /// The same the other way.
    pub(crate) carried_b: Arc<AtomicU64>,
    /// Deadlines.
    pub(crate) times: PipeTimes,
}

/// Deadlines of a pipe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PipeTimes {
    /// Time without traffic towards a peer until it is pinged.
    pub(crate) ping: Duration,
    /// Time after which a peer that has said nothing is lost.
    pub(crate) silence: Duration,
    /// Time after which a peer that takes nothing of what waits for it is lost.
    pub(crate) stall: Duration,
    /// Time for a peer to take what was received before its remote was lost.
    pub(crate) delivery: Duration,
    /// Time for a peer to close its side after the close frame.
    pub(crate) drain: Duration,
}

/// One of the two peers of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PipeSide {
    /// The first.
    A,
    /// The second.
    B,
}

/// How a pipe has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PipeEnd {
    /// Both directions cleanly.
    Done,
    /// This peer gave it up.
    Reset(PipeSide),
    /// This peer has vanished.
    Lost(PipeSide),
    /// This peer has broken the protocol.
    Malformed(PipeSide),
    /// This peer was silent, or took nothing, for too long.
    Idle(PipeSide),
    /// The star has cut it.
    Cut,
}

/// What a pipe leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PipeReport {
    /// Bytes of the first peer that the socket of the second has taken.
    pub(crate) bytes_a: u64,
    /// Bytes of the second peer that the socket of the first has taken.
    pub(crate) bytes_b: u64,
    /// How it has ended.
    pub(crate) end: PipeEnd,
}

impl PipeSettings {
    /// Without rates, with counters of its own.
    pub(crate) fn new(buffers: Arc<Buffers>) -> Self {
        Self {
            buffers,
            rate_a: None,
            rate_b: None,
            carried_a: Arc::default(),
            carried_b: Arc::default(),
            times: PipeTimes::default(),
        }
    }
}

impl Default for PipeTimes {
    /// What `spec/14-pipe.md` says.
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(25),
            silence: Duration::from_secs(90),
            stall: Duration::from_secs(600),
            delivery: Duration::from_secs(10),
            drain: Duration::from_secs(2),
        }
    }
}
