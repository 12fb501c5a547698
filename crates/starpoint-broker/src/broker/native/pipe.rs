//! Dialing by pipes: ask the callee, wait for both sides, give up in time.

use std::time::Instant;

use libp2p_identity::PeerId;
use rand_core::CryptoRng;
use starpoint_wire::{
    Refusal,
    limits::DIAL_DEADLINE,
    native::{self, PipeToken},
};

use crate::broker::Broker;
use crate::{
    command::Command,
    deadline::Deadline,
    id::{AckId, ArrivalId, ConnId, PipeId, PipeSide},
    native::pipes::{Asking, Phase},
    quota::{self, DIAL_RATE},
    tally::{Full, Route},
};

impl<R: CryptoRng> Broker<R> {
    /// Handles `star-dial` (R-DIAL-10 to R-DIAL-14).
    pub(in crate::broker) fn star_dial(
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
        let joined = dialer.joined();
        let joined = joined.ok_or(Refusal::NotAuthorized)?;
        let (from, source) = (joined.peer, dialer.source);
        if from == to {
            return Err(Refusal::DialSelf);
        }
        let callee = self.callee(to)?;
        if self.pipes.knows(&token) {
            return Err(Refusal::DuplicateDialId);
        }
        let route = Route {
            dialer: from,
            callee: to,
            source,
        };
        let is_early = self.pipes.may_ask_early(&route);
        let tally = self.pipes.tally();
        tally.check_dialer(&route).map_err(too_many)?;
        if is_early {
            tally.check_callee(&route).map_err(too_many)?;
        }
        let mut random = [0; 32];
        self.rng.fill_bytes(&mut random);
        let for_callee = PipeToken::from_random(random);
        let asking = Asking {
            ack,
            dialer_conn: conn,
            callee_conn: callee,
            tokens: [token, for_callee],
            is_callee_asked: false,
            is_dialer_here: false,
            is_callee_here: false,
        };
        let id = self.pipes.insert(route, asking);
        self.deadlines.add(now + DIAL_DEADLINE, Deadline::Pipe(id));
        let own_side = now + quota::OWN_SIDE_DEADLINE;
        self.deadlines.add(own_side, Deadline::OwnSide(id));
        if is_early {
            self.ask_callee(id);
        }
        Ok(())
    }

    fn ask_callee(&mut self, id: PipeId) {
        self.pipes.ask(id);
        let Some(pipe) = self.pipes.get(id) else {
            return;
        };
        let Phase::Asking(asking) = &pipe.phase else {
            return;
        };
        let [_, token] = asking.tokens;
        let (from, callee) = (pipe.route.dialer, asking.callee_conn);
        let dialer = self.conns.get(&asking.dialer_conn);
        let record = dialer.and_then(|dialer| dialer.joined()?.record.clone());
        let incoming = native::Event::Incoming {
            from,
            token,
            record,
        };
        self.emit_star(callee, incoming.encode());
    }

    /// The dialer's side is there: its callee is asked, unless it was (R-DIAL-17).
    fn dialer_arrived(&mut self, id: PipeId) {
        let Some(pipe) = self.pipes.get(id) else {
            return;
        };
        let (route, callee) = match &pipe.phase {
            Phase::Asking(asking) if !asking.is_callee_asked => (pipe.route, asking.callee_conn),
            Phase::Asking(_) | Phase::Open => return,
        };
        let takes_nothing = self
            .conns
            .get(&callee)
            .is_none_or(|callee| callee.outbox.message_bytes > quota::CONTROL_HIGH_BYTES);
        if takes_nothing || self.pipes.tally().check_callee(&route).is_err() {
            return self.give_up_pipe(id, Refusal::TooManyDials);
        }
        self.ask_callee(id);
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
        if connection.outbox.message_bytes > quota::CONTROL_HIGH_BYTES {
            return Err(Refusal::TooManyDials);
        }
        Ok(registration.conn)
    }

    /// Handles `star-refuse`. Only the callee's own token counts.
    pub(in crate::broker) fn star_refuse(&mut self, conn: ConnId, token: &PipeToken) {
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

    /// A client wants to open a side of a pipe.
    pub(in crate::broker) fn pipe_arrived(&mut self, arrival: ArrivalId, token: Option<PipeToken>) {
        let place = token.and_then(|token| self.pipes.take_token(&token));
        let Some((pipe, side)) = place else {
            return self.refuse_arrival(arrival, Refusal::PipeUnknown);
        };
        let Some(asking) = self.pipes.arrive(pipe, side) else {
            return self.refuse_arrival(arrival, Refusal::PipeUnknown);
        };
        let is_complete = asking.is_dialer_here && asking.is_callee_here;
        self.commands.push_back(Command::PlacePipe {
            arrival,
            pipe,
            side,
        });
        if is_complete {
            self.open_pipe(pipe);
        } else if side == PipeSide::Dialer {
            self.dialer_arrived(pipe);
        }
    }

    fn refuse_arrival(&mut self, arrival: ArrivalId, refusal: Refusal) {
        *self.counters.refusals.entry(refusal).or_default() += 1;
        self.commands
            .push_back(Command::RefusePipe { arrival, refusal });
    }

    fn open_pipe(&mut self, id: PipeId) {
        let Some(asking) = self.pipes.open(id) else {
            return;
        };
        self.counters.dials_succeeded += 1;
        let record = self
            .conns
            .get(&asking.callee_conn)
            .and_then(|callee| callee.joined()?.record.clone());
        if let Some(pipe) = self.pipes.get(id) {
            let (dialer, callee) = (pipe.route.dialer, pipe.route.callee);
            self.commands.push_back(Command::OpenPipe {
                pipe: id,
                dialer,
                callee,
            });
        }
        let reply = native::Reply::Dialed { record };
        self.reply_star(asking.dialer_conn, asking.ack, reply);
    }

    /// An open pipe has ended, by whatever cause.
    pub(in crate::broker) fn pipe_ended(&mut self, pipe: PipeId) {
        if let Some(pipe) = self.pipes.get(pipe)
            && matches!(pipe.phase, Phase::Asking(_))
        {
            return;
        }
        self.pipes.remove(pipe);
    }

    pub(in crate::broker) fn pipe_expired(&mut self, id: PipeId) {
        self.give_up_pipe(id, Refusal::DialTimeout);
    }

    /// A dialer that has not opened its own side in time has given up.
    pub(in crate::broker) fn own_side_expired(&mut self, id: PipeId) {
        let is_missing = self.pipes.get(id).is_some_and(
            |pipe| matches!(&pipe.phase, Phase::Asking(asking) if !asking.is_dialer_here),
        );
        if is_missing {
            self.give_up_pipe(id, Refusal::DialTimeout);
        }
    }

    /// Ends a dial that waits; an open pipe goes on.
    pub(in crate::broker) fn give_up_pipe(&mut self, id: PipeId, refusal: Refusal) {
        let is_asking = |pipe: &crate::native::pipes::Pipe| matches!(pipe.phase, Phase::Asking(_));
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
    pub(in crate::broker) fn leave_pipes(&mut self, conn: ConnId) {
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

    /// Ends every pipe.
    pub(in crate::broker) fn cut_pipes(&mut self) {
        for id in self.pipes.ids() {
            self.give_up_pipe(id, Refusal::ShuttingDown);
            if self.pipes.get(id).is_some() {
                self.commands.push_back(Command::CutPipe { pipe: id });
            }
        }
    }
}

fn too_many(full: Full) -> Refusal {
    match full {
        Full::Callee | Full::Other => Refusal::TooManyDials,
    }
}
