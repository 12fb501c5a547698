//! Counting what passes.
//!
//! A monitor is told of every socket and gives it a meter. The meter lives as
//! long as the socket and is dropped with it, however it ends: there is nothing
//! to take off again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use starpoint_node::PeerId;

use crate::target::TargetName;

/// A socket, for a [`Monitor`].
#[derive(Clone, Debug)]
pub struct SocketInfo {
    /// Who is on the other side of the tunnel.
    pub peer: PeerId,
    /// What the socket is connected to; `None` is the first target.
    pub target: Option<TargetName>,
}

/// Watches the sockets of a host or client.
pub trait Monitor: Send + Sync + 'static {
    /// Returns what watches a socket that has just been connected. Called in the
    /// task of the socket: it must not block.
    fn attach(&self, socket: &SocketInfo) -> Box<dyn Meter>;
}

/// Watches one socket, until it is dropped with it.
pub trait Meter: Send + Sync {
    /// Bytes went from the local side into the tunnel.
    fn sent(&self, n_bytes: usize);
    /// Bytes came out of the tunnel and were written to the local side.
    fn received(&self, n_bytes: usize);
}

/// A monitor that adds up. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    n_open: AtomicUsize,
    n_opened: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
}

impl Traffic {
    /// Returns how many sockets are open now.
    pub fn n_open(&self) -> usize {
        self.0.n_open.load(Ordering::Relaxed)
    }

    /// Returns how many were opened up to now.
    pub fn n_opened(&self) -> u64 {
        self.0.n_opened.load(Ordering::Relaxed)
    }

    /// Returns the bytes that went from here into the tunnel.
    pub fn sent_bytes(&self) -> u64 {
        self.0.sent_bytes.load(Ordering::Relaxed)
    }

    /// Returns the bytes that came out of the tunnel.
    pub fn received_bytes(&self) -> u64 {
        self.0.received_bytes.load(Ordering::Relaxed)
    }
}

impl Monitor for Traffic {
    fn attach(&self, _: &SocketInfo) -> Box<dyn Meter> {
        self.0.n_open.fetch_add(1, Ordering::Relaxed);
        self.0.n_opened.fetch_add(1, Ordering::Relaxed);
        Box::new(TrafficMeter(Arc::clone(&self.0)))
    }
}

struct TrafficMeter(Arc<Counters>);

impl Meter for TrafficMeter {
    fn sent(&self, n_bytes: usize) {
        self.0
            .sent_bytes
            .fetch_add(n_bytes as u64, Ordering::Relaxed);
    }

    fn received(&self, n_bytes: usize) {
        let counter = &self.0.received_bytes;
        counter.fetch_add(n_bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for TrafficMeter {
    fn drop(&mut self) {
        self.0.n_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Several monitors as one.
#[derive(Clone, Default)]
pub(crate) struct Monitors(Vec<Arc<dyn Monitor>>);

impl Monitors {
    pub(crate) fn new(monitors: Vec<Arc<dyn Monitor>>) -> Self {
        Self(monitors)
    }

    pub(crate) fn attach(&self, socket: &SocketInfo) -> Meters {
        Meters(self.0.iter().map(|m| m.attach(socket)).collect())
    }
}

/// The meters of one socket.
#[derive(Default)]
pub(crate) struct Meters(Vec<Box<dyn Meter>>);

impl Meters {
    pub(crate) fn sent(&self, n_bytes: usize) {
        self.0.iter().for_each(|meter| meter.sent(n_bytes));
    }

    pub(crate) fn received(&self, n_bytes: usize) {
        self.0.iter().for_each(|meter| meter.received(n_bytes));
    }
}
