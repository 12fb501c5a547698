//! Inputs of a broker.

use starpoint_wire::{Call, CallError, legacy::CalleeAnswer, native::PipeToken};

use crate::{
    broker::{Ending, Verdict},
    id::{AckId, ArrivalId, ConnId, LinkId, PipeId, ProofId, SourceId},
};

/// One thing that has happened, for [`Broker::handle`](crate::Broker::handle).
#[derive(Debug)]
pub enum Input {
    /// A connection has come up. It is closed at once while the star drains.
    Connected {
        /// Its id, never used before.
        conn: ConnId,
        /// The network that it comes from.
        source: SourceId,
        /// The profiles that the client speaks.
        offer: Offer,
    },
    /// A connection is gone, by whatever cause. Its addresses are free, and the readers
    /// of its streams get an end behind the bytes that it had sent.
    Disconnected {
        /// Which.
        conn: ConnId,
        /// How it ended.
        ending: Ending,
    },
    /// A client has sent an event. An unreadable one is refused if it wants an answer,
    /// and counted if not (R-CALL-1, R-CALL-2).
    Call {
        /// The sender.
        conn: ConnId,
        /// The event, decoded.
        call: Result<Call, CallError>,
        /// Number of the acknowledgement, if one is wanted.
        ack: Option<AckId>,
    },
    /// A callee has answered a [`Message::Ask`](crate::Message::Ask).
    Answered {
        /// Which.
        link: LinkId,
        /// The answer.
        answer: CalleeAnswer,
    },
    /// The signature of a [`Command::Verify`](crate::Command::Verify) is verified. Does
    /// nothing when the connection is gone or closing.
    Verified {
        /// Whose.
        conn: ConnId,
        /// The ticket of the command.
        ticket: ProofId,
        /// The verdict.
        verdict: Verdict,
    },
    /// A transport has written something since the last report.
    Written {
        /// Which.
        conn: ConnId,
        /// Packets that are written as a whole.
        packets: usize,
        /// Bytes of any packet: they show that a slow reader is alive in the middle of
        /// a large message.
        bytes: usize,
    },
    /// A client wants to open a side of a pipe. The token is used up. Answered by
    /// [`Command::PlacePipe`](crate::Command::PlacePipe) or
    /// [`Command::RefusePipe`](crate::Command::RefusePipe).
    PipeArrived {
        /// Name for the answer.
        arrival: ArrivalId,
        /// The token; `None` is as good as a wrong one.
        token: Option<PipeToken>,
    },
    /// The client on one side of a waiting pipe has gone: the dial is over.
    PipeLeft {
        /// Which.
        pipe: PipeId,
    },
    /// An open pipe has ended, by whatever cause.
    PipeEnded {
        /// Which.
        pipe: PipeId,
    },
    /// The time that [`Output::Wait`](crate::Output::Wait) named may have come.
    Timeout,
    /// Begin to shut down: refuse new joins and dials, close connections without streams
    /// now and others after their last stream.
    Drain,
    /// End every stream and pipe with an error, refuse every waiting dial and close
    /// every connection.
    Cut,
}

/// The profiles that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The legacy profile alone.
    Legacy,
    /// The native profile as well.
    Native {
        /// Time of day, in seconds of Unix time; it goes into the challenge.
        unix_now: u64,
    },
}
