//! What a broker asks its driver to do.

use std::time::Instant;

use libp2p_identity::PeerId;
use starpoint_wire::{Proof, Refusal};

use crate::{
    id::{ArrivalId, ConnId, PipeId, PipeSide, ProofId},
    message::Message,
};

/// Answer of [`Broker::poll`](crate::Broker::poll).
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Do this, then poll again.
    Do(Command),
    /// Nothing to do until the given time, or until something has happened. At that time,
    /// [`Input::Timeout`](crate::Input::Timeout) is due.
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
    /// [`Input::Verified`](crate::Input::Verified). Until then, calls and the end of
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
    /// A client that wanted to open a side of a pipe has it, and waits for the other
    /// side: [`Command::OpenPipe`] or [`Command::DropPipe`] follows.
    PlacePipe {
        /// Which client.
        arrival: ArrivalId,
        /// Which pipe.
        pipe: PipeId,
        /// Which of its sides.
        side: PipeSide,
    },
    /// Refuse a client that wanted to open a side of a pipe.
    RefusePipe {
        /// Which client.
        arrival: ArrivalId,
        /// Why.
        refusal: Refusal,
    },
    /// Join the two sides of a pipe, which are both waiting, and report
    /// [`Input::PipeEnded`](crate::Input::PipeEnded) when it is over.
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
    /// follows. The driver reports [`Input::Disconnected`](crate::Input::Disconnected) as for any
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
    /// [`Input::Written`](crate::Input::Written) has to report.
    pub fn sends_to(&self) -> Option<ConnId> {
        match self {
            Self::Send { conn, .. } => Some(*conn),
            Self::Verify { .. }
            | Self::PlacePipe { .. }
            | Self::RefusePipe { .. }
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
