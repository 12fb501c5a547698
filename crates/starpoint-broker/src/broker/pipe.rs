//! Dialing by pipes: ask the callee, wait for both sides, give up in time.

use std::time::Instant;

use libp2p_identity::PeerId;
use rand_core::CryptoRng;
use starpoint_wire::{
    Refusal,
    limits::DIAL_DEADLINE,
    native::{PipeToken, StarEvent, StarReply},
};

use super::Broker;
use crate::{
    command::Command,
    deadline::Deadline,
    id::{AckId, ConnId, PipeId, PipeSide},
    pipes::{Asking, Phase},
    quota::{self, DIAL_RATE},
};

impl<R: CryptoRng> Broker<R> {
    /// Handles `star-dial` (R-DIAL-10 to R-DIAL-14).
    pub(super) fn star_dial(
        &mut self,
        conn: ConnId,
        to: PeerId,
        token: PipeToken,
        ack: AckId,
        now: Instant,
    ) {
        self.counters.dials += 1;
        if let Err(refusal) = self.try_star_dial(conn, to, token, ack, now) {
            self.counters.dials_failed += 1;
            self.refuse_star(conn, ack, refusal);
        }
    }

    fn try_star_dial(
        &mut self,
        conn: ConnId,
        to: PeerId,
        token: PipeToken,
        ack: AckId,
        now: Instant,
    ) -> Result<(), Refusal> {
        let dialer = self.conns.get_mut(&conn).ok_or(Refusal::PeerGone)?;
        if !dialer.dials.take(DIAL_RATE, now) {
            return Err(Refusal::TooManyRequests);
        }
        if self.is_draining {
            return Err(Refusal::ShuttingDown);
        }
        let joined = dialer.native.as_ref().and_then(|native| native.joined());
        let joined = joined.ok_or(Refusal::NotAuthorized)?;
        let (from, record) = (joined.peer, joined.record.clone());
        if from == to {
            return Err(Refusal::DialSelf);
        }
        let callee = self.callee(to)?;
        if self.pipes.knows(&token) {
            return Err(Refusal::DuplicateDialId);
        }
        if [from, to]
            .iter()
            .any(|peer| self.pipes.n_of(peer) >= quota::MAX_PIPES)
        {
            return Err(Refusal::TooManyDials);
        }
        let mut random = [0; 32];
        self.rng.fill_bytes(&mut random);
        let for_callee = PipeToken::from_random(random);
        let asking = Asking {
            ack,
            dialer_conn: conn,
            callee_conn: callee,
            tokens: [token, for_callee],
            is_dialer_here: false,
            is_callee_here: false,
        };
        let id = self.pipes.insert(from, to, asking);
        self.deadlines.add(now + DIAL_DEADLINE, Deadline::Pipe(id));
        let incoming = StarEvent::Incoming {
            from,
            token: for_callee,
            record,
        };
        self.emit_star(callee, incoming);
        Ok(())
    }

    /// Finds the connection of a peer that takes pipes.
    fn callee(&self, peer: PeerId) -> Result<ConnId, Refusal> {
        let Some(registration) = self.directory.newest_of(&peer) else {
            let refusal = if self.away.contains_key(&peer) {
                Refusal::PeerGone
            } else {
                Refusal::PeerNotFound
            };
            return Err(refusal);
        };
        if !registration.listing.is_native() {
            return Err(Refusal::LegacyPeer);
        }
        let connection = self.conns.get(&registration.conn);
        let connection = connection.ok_or(Refusal::PeerNotFound)?;
        if connection.outbox.control_bytes > quota::CONTROL_HIGH_BYTES {
            return Err(Refusal::TooManyDials);
        }
        Ok(registration.conn)
    }

    /// Handles `star-refuse`. Only the callee's own token counts.
    pub(super) fn star_refuse(&mut self, conn: ConnId, token: &PipeToken) {
        let Some((id, PipeSide::Callee)) = self.pipes.peek(token) else {
            return;
        };
        let is_callee = self.pipes.get(id).is_some_and(
            |pipe| matches!(&pipe.phase, Phase::Asking(asking) if asking.callee_conn == conn),
        );
        if is_callee {
            self.counters.dials_refused_by_peer += 1;
            self.give_up_pipe(id, Refusal::PeerRefused);
        }
    }

    /// Somebody wants to open a side of a pipe. The token is used up. When both
    /// sides are there, [`Command::OpenPipe`] follows; when the dial comes to
    /// nothing, [`Command::DropPipe`].
    ///
    /// # Errors
    ///
    /// [`Refusal::PipeUnknown`], counted, when nobody waits for this token.
    pub fn pipe_arrived(&mut self, token: &PipeToken) -> Result<(PipeId, PipeSide), Refusal> {
        let Some((id, side)) = self.pipes.take_token(token) else {
            return Err(self.refuse_pipe());
        };
        let Some(pipe) = self.pipes.get_mut(id) else {
            return Err(Refusal::PipeUnknown);
        };
        if let Phase::Asking(asking) = &mut pipe.phase {
            match side {
                PipeSide::Dialer => asking.is_dialer_here = true,
                PipeSide::Callee => asking.is_callee_here = true,
            }
            if asking.is_dialer_here && asking.is_callee_here {
                self.open_pipe(id);
            }
        }
        Ok((id, side))
    }

    /// Counts a token that opens nothing, and returns how it is refused.
    pub fn refuse_pipe(&mut self) -> Refusal {
        let refusal = Refusal::PipeUnknown;
        *self.counters.refusals.entry(refusal).or_default() += 1;
        refusal
    }

    fn open_pipe(&mut self, id: PipeId) {
        let Some(asking) = self.pipes.open(id) else {
            return;
        };
        self.counters.dials_succeeded += 1;
        let record = self
            .conns
            .get(&asking.callee_conn)
            .and_then(|callee| callee.native.as_ref()?.joined()?.record.clone());
        if let Some(pipe) = self.pipes.get(id) {
            let (dialer, callee) = (pipe.dialer, pipe.callee);
            self.commands.push_back(Command::OpenPipe {
                pipe: id,
                dialer,
                callee,
            });
        }
        let reply = StarReply::Dialed { record };
        self.reply_star(asking.dialer_conn, asking.ack, reply);
    }

    /// Whoever had opened a side of a pipe that waits has gone: the dial is over.
    pub fn pipe_left(&mut self, pipe: PipeId) {
        self.give_up_pipe(pipe, Refusal::PeerGone);
    }

    /// An open pipe has ended, by whatever cause.
    pub fn pipe_ended(&mut self, pipe: PipeId) {
        if let Some(pipe) = self.pipes.get(pipe)
            && matches!(pipe.phase, Phase::Asking(_))
        {
            return;
        }
        self.pipes.remove(pipe);
    }

    pub(super) fn pipe_expired(&mut self, id: PipeId) {
        self.give_up_pipe(id, Refusal::DialTimeout);
    }

    /// Ends a dial that waits; an open pipe goes on.
    pub(super) fn give_up_pipe(&mut self, id: PipeId, refusal: Refusal) {
        let is_asking = |pipe: &crate::pipes::Pipe| matches!(pipe.phase, Phase::Asking(_));
        if !self.pipes.get(id).is_some_and(is_asking) {
            return;
        }
        let Some(pipe) = self.pipes.remove(id) else {
            return;
        };
        if let Phase::Asking(asking) = pipe.phase {
            if asking.is_dialer_here || asking.is_callee_here {
                let drop_pipe = Command::DropPipe { pipe: id, refusal };
                self.commands.push_back(drop_pipe);
            }
            self.counters.dials_failed += 1;
            self.refuse_star(asking.dialer_conn, asking.ack, refusal);
        }
    }

    /// A connection is gone: what it was dialing, or was asked, is over. Open pipes
    /// go on without it.
    pub(super) fn leave_pipes(&mut self, conn: ConnId) {
        for id in self.pipes.asking_of(conn) {
            let is_part = self.pipes.get(id).is_some_and(|pipe| match &pipe.phase {
                Phase::Asking(asking) => {
                    asking.dialer_conn == conn
                        || (asking.callee_conn == conn && !asking.is_callee_here)
                }
                Phase::Open => false,
            });
            if is_part {
                self.give_up_pipe(id, Refusal::PeerGone);
            }
        }
    }

    /// Ends every pipe; returns how many streams they carried.
    pub(super) fn cut_pipes(&mut self) -> usize {
        let n_open = self.pipes.n_open();
        for id in self.pipes.ids() {
            self.give_up_pipe(id, Refusal::ShuttingDown);
            if self.pipes.get(id).is_some() {
                self.commands.push_back(Command::CutPipe { pipe: id });
            }
        }
        2 * n_open
    }
}
