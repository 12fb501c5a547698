//! Streams of plain bytes.

mod behaviour;
mod handler;
mod inlets;
mod queue;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

pub(crate) use behaviour::Behaviour;
pub(crate) use handler::Request;
pub(crate) use inlets::Inlets;
use libp2p::PeerId;
use queue::FairQueue;

/// A stream to a peer: `AsyncRead` and `AsyncWrite` of the futures crates.
/// Closing ends the own direction; dropping it resets both. A connection stays
/// open while it has streams.
///
/// Yamux reads a lost connection as a clean end: 0 bytes. A protocol to which it
/// matters whether all has come says so by itself, by a length or a mark at the
/// end.
pub type Stream = libp2p::swarm::Stream;

/// Streams that others open with one protocol: peers take turns, and those of one
/// peer come oldest first.
///
/// At most [`max_waiting_streams`](crate::Config::max_waiting_streams) wait here.
/// With one more, the newest of the peer that has most is reset, which is
/// [counted](Self::n_reset): so no peer keeps the others out. That peer has seen it
/// opened, reads an error or an end, and may try again.
#[derive(Debug)]
pub struct Incoming {
    streams: Arc<FairQueue<Stream>>,
    n_reset: Arc<AtomicU64>,
}

impl Incoming {
    /// Waits for the next stream and who opened it; `None` once the node has
    /// stopped.
    ///
    /// Cancel safe: no stream is lost.
    pub async fn next(&mut self) -> Option<(PeerId, Stream)> {
        self.streams.next().await
    }

    /// Returns how many streams were reset because too many waited, since this
    /// was made.
    pub fn n_reset(&self) -> u64 {
        self.n_reset.load(Ordering::Relaxed)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.streams.abandon();
    }
}
