//! Pipes: dials of the native profile, and who has which side.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use libp2p_identity::PeerId;
use starpoint_wire::native::PipeToken;

use crate::{
    id::{AckId, ConnId, PipeId, PipeSide, SourceId},
    quota,
    tally::{Counts, Route, Tally},
};

/// All pipes of a star.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    last: u64,
    pipes: BTreeMap<PipeId, Pipe>,
    /// Tokens that have not been used.
    tokens: HashMap<PipeToken, (PipeId, PipeSide)>,
    tally: Tally<PeerId>,
    /// Dials whose callee is asked and whose own side is not there.
    unmet_of_peer: Counts<PeerId>,
    unmet_of_source: Counts<SourceId>,
    n_open: usize,
    /// Dials that wait, by the connections that they hang on.
    asking: BTreeSet<(ConnId, PipeId)>,
}

/// One dial, and the pipe that comes of it.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) route: Route<PeerId>,
    pub(crate) phase: Phase,
}

/// ```text
///   Asking: Dialed ── the dialer's side is there, ──► Asked ── both are ──► Open
///              │      or it has few without one         │                    │
///              └── too late, left ──────────────────────┴── refused ──► gone ◄┘
/// ```
#[derive(Debug)]
pub(crate) enum Phase {
    Asking(Asking),
    Open,
}

/// A pipe that waits for its sides.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) ack: AckId,
    pub(crate) dialer_conn: ConnId,
    pub(crate) callee_conn: ConnId,
    pub(crate) tokens: [PipeToken; 2],
    pub(crate) is_callee_asked: bool,
    pub(crate) is_dialer_here: bool,
    pub(crate) is_callee_here: bool,
}

impl Asking {
    /// Returns whether a callee was asked by a dialer that has not come itself.
    fn is_unmet(&self) -> bool {
        self.is_callee_asked && !self.is_dialer_here
    }
}

impl Pipes {
    /// Adds a dial whose callee has not been asked. The tokens must be unused.
    pub(crate) fn insert(&mut self, route: Route<PeerId>, asking: Asking) -> PipeId {
        self.last += 1;
        let id = PipeId(self.last);
        let [of_dialer, of_callee] = asking.tokens;
        self.tokens.insert(of_dialer, (id, PipeSide::Dialer));
        self.tokens.insert(of_callee, (id, PipeSide::Callee));
        for conn in [asking.dialer_conn, asking.callee_conn] {
            self.asking.insert((conn, id));
        }
        self.tally.dialed(&route);
        let phase = Phase::Asking(asking);
        self.pipes.insert(id, Pipe { route, phase });
        id
    }

    /// Returns the quotas of peers.
    pub(crate) fn tally(&self) -> &Tally<PeerId> {
        &self.tally
    }

    /// Returns whether a callee may be asked before its dialer's side is there
    /// (R-DIAL-17).
    pub(crate) fn may_ask_early(&self, route: &Route<PeerId>) -> bool {
        self.unmet_of_peer.get(&route.dialer) < quota::MAX_UNMET
            && self.unmet_of_source.get(&route.source) < quota::MAX_UNMET_OF_SOURCE
    }

    /// Notes that the callee of a dial that waits is asked.
    pub(crate) fn ask(&mut self, id: PipeId) {
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        if let Phase::Asking(asking) = &mut pipe.phase
            && !asking.is_callee_asked
        {
            asking.is_callee_asked = true;
            self.tally.asked(&pipe.route);
            if asking.is_unmet() {
                self.unmet_of_peer.add(pipe.route.dialer);
                self.unmet_of_source.add(pipe.route.source);
            }
        }
    }

    /// Notes that a side of a dial that waits is there.
    pub(crate) fn arrive(&mut self, id: PipeId, side: PipeSide) -> Option<&Asking> {
        let pipe = self.pipes.get_mut(&id)?;
        let Phase::Asking(asking) = &mut pipe.phase else {
            return None;
        };
        match side {
            PipeSide::Dialer => {
                if asking.is_unmet() {
                    self.unmet_of_peer.remove(pipe.route.dialer);
                    self.unmet_of_source.remove(pipe.route.source);
                }
                asking.is_dialer_here = true;
            }
            PipeSide::Callee => asking.is_callee_here = true,
        }
        Some(asking)
    }

    pub(crate) fn knows(&self, token: &PipeToken) -> bool {
        self.tokens.contains_key(token)
    }

    /// Uses a token up.
    pub(crate) fn take_token(&mut self, token: &PipeToken) -> Option<(PipeId, PipeSide)> {
        self.tokens.remove(token)
    }

    pub(crate) fn peek(&self, token: &PipeToken) -> Option<(PipeId, PipeSide)> {
        self.tokens.get(token).copied()
    }

    pub(crate) fn get(&self, id: PipeId) -> Option<&Pipe> {
        self.pipes.get(&id)
    }

    /// Turns a dial whose sides are there into an open pipe.
    pub(crate) fn open(&mut self, id: PipeId) -> Option<Asking> {
        let pipe = self.pipes.get_mut(&id)?;
        match std::mem::replace(&mut pipe.phase, Phase::Open) {
            Phase::Asking(asking) => {
                self.n_open += 1;
                self.tally.opened(&pipe.route);
                for conn in [asking.dialer_conn, asking.callee_conn] {
                    self.asking.remove(&(conn, id));
                }
                Some(asking)
            }
            Phase::Open => None,
        }
    }

    /// Forgets a pipe and its tokens.
    pub(crate) fn remove(&mut self, id: PipeId) -> Option<Pipe> {
        let pipe = self.pipes.remove(&id)?;
        match &pipe.phase {
            Phase::Asking(asking) => {
                for token in &asking.tokens {
                    self.tokens.remove(token);
                }
                for conn in [asking.dialer_conn, asking.callee_conn] {
                    self.asking.remove(&(conn, id));
                }
                if asking.is_unmet() {
                    self.unmet_of_peer.remove(pipe.route.dialer);
                    self.unmet_of_source.remove(pipe.route.source);
                }
                if asking.is_callee_asked {
                    self.tally.given_up(&pipe.route);
                } else {
                    self.tally.forgotten(&pipe.route);
                }
            }
            Phase::Open => {
                self.n_open -= 1;
                self.tally.closed(&pipe.route);
            }
        }
        Some(pipe)
    }

    /// Returns the dials that wait for a connection, either side.
    pub(crate) fn asking_of(&self, conn: ConnId) -> Vec<PipeId> {
        let of_conn = (conn, PipeId(u64::MIN))..=(conn, PipeId(u64::MAX));
        self.asking.range(of_conn).map(|(_, id)| *id).collect()
    }

    pub(crate) fn ids(&self) -> Vec<PipeId> {
        self.pipes.keys().copied().collect()
    }

    pub(crate) fn n_open(&self) -> usize {
        self.n_open
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pipes.is_empty()
    }

    /// Returns the quotas, and the dials without their own side, as they are kept.
    pub(crate) fn kept(&self) -> PipeCounts {
        PipeCounts {
            n_open: self.n_open,
            tally: self.tally.clone(),
            unmet_of_peer: self.unmet_of_peer.clone(),
            unmet_of_source: self.unmet_of_source.clone(),
        }
    }

    /// Counts from scratch what [`Pipes::kept`] has to be.
    pub(crate) fn recounted(&self) -> PipeCounts {
        let mut counts = PipeCounts::default();
        for Pipe { route, phase } in self.pipes.values() {
            counts.tally.dialed(route);
            match phase {
                Phase::Asking(asking) => {
                    if asking.is_callee_asked {
                        counts.tally.asked(route);
                    }
                    if asking.is_unmet() {
                        counts.unmet_of_peer.add(route.dialer);
                        counts.unmet_of_source.add(route.source);
                    }
                }
                Phase::Open => {
                    counts.n_open += 1;
                    counts.tally.asked(route);
                    counts.tally.opened(route);
                }
            }
        }
        counts
    }
}

/// Everything that is counted about pipes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PipeCounts {
    pub(crate) n_open: usize,
    tally: Tally<PeerId>,
    unmet_of_peer: Counts<PeerId>,
    unmet_of_source: Counts<SourceId>,
}
