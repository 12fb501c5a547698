//! Signatures: the driver verifies them, and the broker waits for its verdict.

use std::time::Instant;

use rand_core::CryptoRng;
use starpoint_wire::{Proof, Refusal};

use super::Broker;
use crate::{
    command::Command,
    connection::{Claim, OpenProof},
    id::{AckId, ConnId, ProofId},
};

/// What a driver has found out about a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It verifies.
    Valid,
    /// It does not.
    Invalid,
    /// Too many others wait: it was not verified.
    Overloaded,
}

impl Verdict {
    /// Returns nothing for a valid signature, and the refusal for another.
    pub(super) fn check(self) -> Result<(), Refusal> {
        match self {
            Self::Valid => Ok(()),
            Self::Invalid => Err(Refusal::SignatureInvalid),
            Self::Overloaded => Err(Refusal::TooManyRequests),
        }
    }
}

impl<R: CryptoRng> Broker<R> {
    /// Returns whether a signature of the connection is being verified.
    pub(super) fn is_proving(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|c| c.proof.is_some())
    }

    /// Has a signature verified; the join goes on with
    /// [`verified`](Self::verified).
    pub(super) fn verify(&mut self, conn: ConnId, ack: AckId, claim: Claim, proof: Box<Proof>) {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        self.last_proof += 1;
        let ticket = ProofId(self.last_proof);
        connection.proof = Some(Box::new(OpenProof { ticket, ack, claim }));
        self.commands.push_back(Command::Verify {
            conn,
            ticket,
            proof,
        });
    }

    pub(super) fn verified(
        &mut self,
        conn: ConnId,
        ticket: ProofId,
        verdict: Verdict,
        now: Instant,
    ) {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        let is_open = connection.proof.as_ref().map(|open| open.ticket) == Some(ticket);
        let Some(open) = connection.proof.take_if(|_| is_open) else {
            return;
        };
        if connection.is_closing {
            return;
        }
        match open.claim {
            Claim::Legacy(address) => {
                let result = self.challenge_answered(conn, address, verdict, now);
                self.join_done(conn, open.ack, result);
            }
            Claim::Native(peer, join) => {
                let result = self.star_join_proved(conn, peer, *join, verdict, now);
                self.star_join_done(conn, open.ack, result);
            }
        }
    }
}
