//! What happened and what is, for the driver to export.

use std::collections::BTreeMap;

use starpoint_wire::{CallKind, Cut, Refusal};

/// Numbers that only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// First `ss-join` of each attempt, as the original counts.
    pub joins: u64,
    /// Joins that ended with the address registered.
    pub joins_succeeded: u64,
    /// Joins that were refused, at either step.
    pub joins_failed: u64,
    /// `ss-dial` calls that could be read.
    pub dials: u64,
    /// Dials that the callee took.
    pub dials_succeeded: u64,
    /// Dials that ended in a refusal, by the star or by the callee.
    pub dials_failed: u64,
    /// Dials that the callee refused, a part of `dials_failed`.
    pub dials_refused_by_peer: u64,
    /// Refusals by reason.
    pub refusals: BTreeMap<Refusal, u64>,
    /// Streams that the star ended, by reason.
    pub cuts: BTreeMap<Cut, u64>,
    /// Packets that were no call, by what they meant to be.
    pub malformed: BTreeMap<CallKind, u64>,
    /// Stream events for a stream that the sender has no such part in.
    pub stray_stream_events: u64,
    /// Addresses that moved to a newer connection.
    pub takeovers: u64,
    /// `ws-peer` events.
    pub announcements: u64,
    /// `star-presence` events.
    pub presence_batches: u64,
    /// Bytes of chunks handed to their readers.
    pub bytes_relayed: u64,
    /// Times that a connection's reads were paused.
    pub pauses: u64,
}

/// Numbers that go up and down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Open connections.
    pub connections: usize,
    /// Registered addresses.
    pub peers: usize,
    /// Native peers in their grace period.
    pub away: usize,
    /// Dialed connections, the ones being dialed included.
    pub links: usize,
    /// Streams that have not ended: up to two for each link.
    pub streams: usize,
    /// Open pipes.
    pub pipes: usize,
    /// Bytes of chunks that wait in the broker or that a transport has not written.
    pub bytes_queued: usize,
    /// Connections whose reads are paused.
    pub paused: usize,
}

impl Gauges {
    /// Returns how many streams have not ended, two for each open pipe.
    pub fn open_streams(&self) -> usize {
        self.streams + 2 * self.pipes
    }
}
