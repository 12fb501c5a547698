//! What a broker asks its driver to do.

use std::time::Instant;

use libp2p_identity::PeerId;
use starpoint_wire::{Proof, Refusal};

use crate::{
    id::{ConnId, PipeId, ProofId},
    message::Message,
};

/// Answer of [`Broker::poll`](crate::Broker::poll).
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Do this, then poll again.
    Do(Command),
    /// Nothing to do. Call [`Broker::handle_timeout`](crate::Broker::handle_timeout)
    /// at the given time, or when something has happened.
    Wait(Option<Instant>),
}

/// One thing to do. Commands are carried out in order.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Send a message.
    Send {
        /// The receiver.
        conn: ConnId,
        /// The message.
        message: Message,
    },
    /// Verify a signature elsewhere, and report
    /// [`Broker::verified`](crate::Broker::verified). Until then, calls and the end of
    /// the connection have to wait, in order: what a client sends behind a join is
    /// handled behind the join.
    Verify {
        /// Whose.
        conn: ConnId,
        /// Name for the verdict.
        ticket: ProofId,
        /// What.
        proof: Box<Proof>,
    },
    /// Join the two sides of a pipe, which are both waiting, and report
    /// [`Broker::pipe_ended`](crate::Broker::pipe_ended) when it is over.
    OpenPipe {
        /// Which.
        pipe: PipeId,
        /// Who dialed.
        dialer: PeerId,
        /// Who was dialed.
        callee: PeerId,
    },
    /// Refuse whoever waits for the other side of a pipe. It is forgotten.
    DropPipe {
        /// Which.
        pipe: PipeId,
        /// Why.
        refusal: Refusal,
    },
    /// End an open pipe because the star is shutting down.
    CutPipe {
        /// Which.
        pipe: PipeId,
    },
    /// Read nothing more from the connection until [`Command::Resume`].
    Pause {
        /// Whose calls.
        conn: ConnId,
    },
    /// Read from the connection again.
    Resume {
        /// Whose calls.
        conn: ConnId,
    },
    /// Close the connection when what was sent to it is written; no command for it
    /// follows. The driver reports [`Broker::disconnected`](crate::Broker::disconnected) as for any
    /// other end.
    Close {
        /// Which.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
}

impl Command {
    /// Returns whether the command sends something that
    /// [`Broker::written`](crate::Broker::written) has to report.
    pub fn sends_to(&self) -> Option<ConnId> {
        match self {
            Self::Send { conn, .. } => Some(*conn),
            Self::Verify { .. }
            | Self::OpenPipe { .. }
            | Self::DropPipe { .. }
            | Self::CutPipe { .. }
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Close { .. } => None,
        }
    }
}

/// Why a broker closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Too many failed answers to challenges.
    TooManyAttempts,
    /// The star is shutting down.
    ShuttingDown,
}
