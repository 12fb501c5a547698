//! How much a transport holds right now.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts what a transport holds; a cheap handle for metrics and tests.
#[derive(Clone, Debug, Default)]
pub struct Gauges(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    stars: AtomicUsize,
    connections: AtomicUsize,
    streams: AtomicUsize,
    dials: AtomicUsize,
    offers: AtomicUsize,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gauge {
    Star,
    Connection,
    Stream,
    Dial,
    Offer,
}

impl Gauges {
    /// Returns how many stars are homes, visited, or being left.
    pub fn stars(&self) -> usize {
        self.of(Gauge::Star).load(Ordering::Relaxed)
    }

    /// Returns how many connections to stars are open.
    pub fn connections(&self) -> usize {
        self.of(Gauge::Connection).load(Ordering::Relaxed)
    }

    /// Returns how many streams are held by their users.
    pub fn streams(&self) -> usize {
        self.of(Gauge::Stream).load(Ordering::Relaxed)
    }

    /// Returns how many dials wait for an answer.
    pub fn dials(&self) -> usize {
        self.of(Gauge::Dial).load(Ordering::Relaxed)
    }

    /// Returns how many inbound dials wait for the swarm.
    pub fn offers(&self) -> usize {
        self.of(Gauge::Offer).load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, gauge: Gauge) -> Counted {
        self.of(gauge).fetch_add(1, Ordering::Relaxed);
        Counted(self.clone(), gauge)
    }

    fn of(&self, gauge: Gauge) -> &AtomicUsize {
        match gauge {
            Gauge::Star => &self.0.stars,
            Gauge::Connection => &self.0.connections,
            Gauge::Stream => &self.0.streams,
            Gauge::Dial => &self.0.dials,
            Gauge::Offer => &self.0.offers,
        }
    }
}

/// Is counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Gauges, Gauge);

impl Counted {
    /// Counts the same thing as something else from now on.
    pub(crate) fn becomes(self, gauge: Gauge) -> Self {
        self.0.count(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.of(self.1).fetch_sub(1, Ordering::Relaxed);
    }
}
