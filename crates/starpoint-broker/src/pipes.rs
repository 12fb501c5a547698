//! Pipes: dials of the native profile, and who has which side.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use libp2p_identity::PeerId;
use starpoint_wire::native::PipeToken;

use crate::id::{AckId, ConnId, PipeId, PipeSide};

/// All pipes of a star.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    last: u64,
    pipes: BTreeMap<PipeId, Pipe>,
    /// Tokens that have not been used.
    tokens: HashMap<PipeToken, (PipeId, PipeSide)>,
    of_peer: BTreeMap<PeerId, usize>,
    n_open: usize,
    /// Dials that wait, by the connections that they hang on.
    asking: BTreeSet<(ConnId, PipeId)>,
}

/// One dial, and the pipe that comes of it.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) dialer: PeerId,
    pub(crate) callee: PeerId,
    pub(crate) phase: Phase,
}

/// ```text
///   Asking ── both sides are there ──► Open ── ended ──► gone
///      └───── refused, too late, left ───────────────────▲
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
    pub(crate) is_dialer_here: bool,
    pub(crate) is_callee_here: bool,
}

impl Pipes {
    /// Adds a dial. The tokens must be unused.
    pub(crate) fn insert(&mut self, dialer: PeerId, callee: PeerId, asking: Asking) -> PipeId {
        self.last += 1;
        let id = PipeId(self.last);
        let [of_dialer, of_callee] = asking.tokens;
        self.tokens.insert(of_dialer, (id, PipeSide::Dialer));
        self.tokens.insert(of_callee, (id, PipeSide::Callee));
        for conn in [asking.dialer_conn, asking.callee_conn] {
            self.asking.insert((conn, id));
        }
        for peer in [dialer, callee] {
            *self.of_peer.entry(peer).or_default() += 1;
        }
        let phase = Phase::Asking(asking);
        let pipe = Pipe {
            dialer,
            callee,
            phase,
        };
        self.pipes.insert(id, pipe);
        id
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

    pub(crate) fn get_mut(&mut self, id: PipeId) -> Option<&mut Pipe> {
        self.pipes.get_mut(&id)
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
            }
            Phase::Open => self.n_open -= 1,
        }
        for peer in [pipe.dialer, pipe.callee] {
            if let Some(n_pipes) = self.of_peer.get_mut(&peer) {
                *n_pipes -= 1;
                if *n_pipes == 0 {
                    self.of_peer.remove(&peer);
                }
            }
        }
        Some(pipe)
    }

    /// Returns how many pipes and dials a peer has, either side.
    pub(crate) fn n_of(&self, peer: &PeerId) -> usize {
        self.of_peer.get(peer).copied().unwrap_or_default()
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

    /// Counts from scratch what [`Pipes::n_open`] has to be.
    pub(crate) fn recount_open(&self) -> usize {
        let is_open = |pipe: &&Pipe| matches!(pipe.phase, Phase::Open);
        self.pipes.values().filter(is_open).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pipes.is_empty()
    }
}
