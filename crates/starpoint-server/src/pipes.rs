//! Who waits for the other side of a pipe.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU64,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::upgrade::Upgraded;
use libp2p_identity::PeerId;
use starpoint_broker::{ArrivalId, PipeId, PipeSide};
use starpoint_wire::Refusal;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::pipe::{Buffers, PipeSettings, Rate};

/// Bytes of buffers that are kept for pipes while they are not used.
const SPARE_BUFFERS_BYTES: usize = 4 * 1024 * 1024;
/// Peers above which those without pipes are looked for and forgotten.
const MIN_SWEPT_RATES: usize = 64;

/// What becomes of somebody who wants to open a side of a pipe.
pub(crate) type Arrival = Result<Waiting, Refusal>;

/// A side that waits for the other one.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) pipe: PipeId,
    pub(crate) verdict: oneshot::Receiver<Result<Turn, Refusal>>,
}

/// Both sides are there: what this one has to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Copy between the own connection and the other one, until told otherwise.
    Lead(Lead),
    /// Hand the own connection over.
    Follow(oneshot::Sender<Upgraded>),
}

#[derive(Debug)]
pub(crate) struct Lead {
    /// The callee's connection.
    pub(crate) other: oneshot::Receiver<Upgraded>,
    pub(crate) cut: CancellationToken,
    /// Who dialed.
    pub(crate) dialer: PeerId,
    /// Who was dialed.
    pub(crate) callee: PeerId,
}

type Verdict = oneshot::Sender<Result<Turn, Refusal>>;

/// The sides that wait, and how to end the pipes that are open.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// Clients that are neither placed nor refused; none between two turns of the star.
    arriving: BTreeMap<ArrivalId, oneshot::Sender<Arrival>>,
    last_arrival: u64,
    waiting: BTreeMap<PipeId, [Option<Verdict>; 2]>,
    open: BTreeMap<PipeId, CancellationToken>,
    /// Ends every pipe with the star.
    end: CancellationToken,
}

impl Pipes {
    pub(crate) fn new(end: CancellationToken) -> Self {
        Self {
            arriving: BTreeMap::new(),
            last_arrival: 0,
            waiting: BTreeMap::new(),
            open: BTreeMap::new(),
            end,
        }
    }

    /// Notes a client that wants to open a side, until the broker places or refuses it.
    pub(crate) fn arrived(&mut self, reply: oneshot::Sender<Arrival>) -> ArrivalId {
        self.last_arrival += 1;
        let arrival = ArrivalId(self.last_arrival);
        self.arriving.insert(arrival, reply);
        arrival
    }

    /// Makes a client wait on its side of a pipe; returns whether it still does.
    pub(crate) fn place(&mut self, arrival: ArrivalId, pipe: PipeId, side: PipeSide) -> bool {
        let Some(reply) = self.arriving.remove(&arrival) else {
            return false;
        };
        let (sender, verdict) = oneshot::channel();
        if reply.send(Ok(Waiting { pipe, verdict })).is_err() {
            return false;
        }
        let slot = match side {
            PipeSide::Dialer => 0,
            PipeSide::Callee => 1,
        };
        self.waiting.entry(pipe).or_default()[slot] = Some(sender);
        true
    }

    /// Refuses a client that wanted to open a side.
    pub(crate) fn refuse_arrival(&mut self, arrival: ArrivalId, refusal: Refusal) {
        if let Some(reply) = self.arriving.remove(&arrival) {
            // The client may have gone.
            let _ = reply.send(Err(refusal));
        }
    }

    /// Both sides are there; returns whether they still are.
    pub(crate) fn open(&mut self, pipe: PipeId, dialer: PeerId, callee: PeerId) -> bool {
        let Some([Some(lead), Some(follow)]) = self.waiting.remove(&pipe) else {
            return false;
        };
        let (hand_over, other) = oneshot::channel();
        let cut = self.end.child_token();
        let turn = Turn::Lead(Lead {
            other,
            cut: cut.clone(),
            dialer,
            callee,
        });
        if lead.send(Ok(turn)).is_err() {
            return false;
        }
        // If the other side has gone, the leading one finds out.
        let _ = follow.send(Ok(Turn::Follow(hand_over)));
        self.open.insert(pipe, cut);
        true
    }

    /// A dial has come to nothing.
    pub(crate) fn refuse(&mut self, pipe: PipeId, refusal: Refusal) {
        for verdict in self.waiting.remove(&pipe).into_iter().flatten().flatten() {
            // Who waited may have gone.
            let _ = verdict.send(Err(refusal));
        }
    }

    pub(crate) fn cut(&self, pipe: PipeId) {
        if let Some(cut) = self.open.get(&pipe) {
            cut.cancel();
        }
    }

    pub(crate) fn ended(&mut self, pipe: PipeId) {
        self.open.remove(&pipe);
    }
}

/// What all pipes of a star share.
#[derive(Debug)]
pub(crate) struct PipeContext {
    buffers: Arc<Buffers>,
    carried: Arc<AtomicU64>,
    bytes_per_second: Option<NonZeroU64>,
    rates: Mutex<Rates>,
}

#[derive(Debug, Default)]
struct Rates {
    of_peer: HashMap<PeerId, Weak<Rate>>,
    sweep_at: usize,
}

impl PipeContext {
    pub(crate) fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self {
            buffers: Arc::new(Buffers::new(SPARE_BUFFERS_BYTES)),
            carried: Arc::default(),
            bytes_per_second,
            rates: Mutex::default(),
        }
    }

    /// Returns how many bytes all pipes have carried so far.
    pub(crate) fn carried_bytes(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// Returns the settings of a pipe between two peers.
    pub(crate) fn settings(&self, dialer: PeerId, callee: PeerId) -> PipeSettings {
        PipeSettings {
            rate_a: self.rate_of(dialer),
            rate_b: self.rate_of(callee),
            carried_a: Arc::clone(&self.carried),
            carried_b: Arc::clone(&self.carried),
            ..PipeSettings::new(Arc::clone(&self.buffers))
        }
    }

    fn rate_of(&self, peer: PeerId) -> Option<Arc<Rate>> {
        let bytes_per_second = self.bytes_per_second?;
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rate) = rates.of_peer.get(&peer).and_then(Weak::upgrade) {
            return Some(rate);
        }
        if rates.of_peer.len() >= rates.sweep_at.max(MIN_SWEPT_RATES) {
            rates.of_peer.retain(|_, rate| rate.strong_count() > 0);
            rates.sweep_at = rates.of_peer.len() * 2;
        }
        let rate = Arc::new(Rate::new(bytes_per_second));
        rates.of_peer.insert(peer, Arc::downgrade(&rate));
        Some(rate)
    }
}
