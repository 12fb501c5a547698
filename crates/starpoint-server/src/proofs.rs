//! Verifying signatures beside the star's task.

use std::{collections::VecDeque, num::NonZero, thread};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use starpoint_broker::{ConnId, ProofId, Verdict};
use starpoint_wire::Proof;

/// Signatures that may wait for a processor. One more is not verified.
const MAX_WAITING: usize = 4096;

/// A verified signature.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) conn: ConnId,
    pub(crate) ticket: ProofId,
    pub(crate) verdict: Verdict,
}

#[derive(Debug)]
struct Job {
    conn: ConnId,
    ticket: ProofId,
    proof: Box<Proof>,
}

/// Verifies as many signatures at a time as there are processors, the oldest first.
/// Dropping it leaves those that run, each for at most a millisecond.
#[derive(Debug)]
pub(crate) struct Proofs {
    max_running: usize,
    max_waiting: usize,
    running: FuturesUnordered<BoxFuture<'static, Verified>>,
    waiting: VecDeque<Job>,
    /// What was not verified, for want of room.
    turned_away: VecDeque<Verified>,
}

impl Default for Proofs {
    fn default() -> Self {
        Self {
            max_running: thread::available_parallelism().map_or(1, NonZero::get),
            max_waiting: MAX_WAITING,
            running: FuturesUnordered::new(),
            waiting: VecDeque::new(),
            turned_away: VecDeque::new(),
        }
    }
}

impl Proofs {
    /// Takes a signature; [`next`](Self::next) returns its verdict.
    pub(crate) fn verify(&mut self, conn: ConnId, ticket: ProofId, proof: Box<Proof>) {
        if self.waiting.len() >= self.max_waiting {
            let verdict = Verdict::Overloaded;
            return self.turned_away.push_back(Verified {
                conn,
                ticket,
                verdict,
            });
        }
        self.waiting.push_back(Job {
            conn,
            ticket,
            proof,
        });
        self.start();
    }

    fn start(&mut self) {
        while self.running.len() < self.max_running
            && let Some(job) = self.waiting.pop_front()
        {
            let Job {
                conn,
                ticket,
                proof,
            } = job;
            // As long as a TLS handshake, at most: not worth a change of threads.
            let verified = tokio::spawn(async move { proof.verify() });
            let verified = verified.map(move |verified| Verified {
                conn,
                ticket,
                verdict: match verified {
                    Ok(true) => Verdict::Valid,
                    // A panic of the library proves nothing either.
                    Ok(false) | Err(_) => Verdict::Invalid,
                },
            });
            self.running.push(verified.boxed());
        }
    }

    /// Waits for a verdict, for ever when nothing is verified. Cancel safe.
    pub(crate) async fn next(&mut self) -> Verified {
        if let Some(verified) = self.turned_away.pop_front() {
            return verified;
        }
        match self.running.next().await {
            Some(verified) => {
                self.start();
                verified
            }
            None => std::future::pending().await,
        }
    }

    /// Returns a verdict if there is one.
    pub(crate) fn next_now(&mut self) -> Option<Verified> {
        self.next().now_or_never()
    }
}

#[cfg(test)]
mod tests {
    use starpoint_wire::{Nonce, challenge};

    use super::*;

    fn proof(keypair: &libp2p_identity::Keypair, nonce: &Nonce, signature: &str) -> Box<Proof> {
        let proof = challenge::proof(&keypair.public(), nonce, signature);
        Box::new(proof.expect("it has the form of a signature"))
    }

    #[tokio::test]
    async fn r_chal_6_signatures_are_verified_and_the_queue_is_bounded() {
        let keypair = libp2p_identity::Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let nonce = Nonce::from_random([2; 32]);
        let good = challenge::sign(&keypair, nonce.as_str()).unwrap();
        let bad = challenge::sign(&keypair, "another").unwrap();
        let mut proofs = Proofs {
            max_running: 1,
            max_waiting: 20,
            ..Proofs::default()
        };
        assert_eq!(proofs.next_now(), None);
        let n_taken = proofs.max_waiting + 1;
        for number in 0..n_taken + 2 {
            let conn = ConnId(u64::try_from(number).unwrap());
            let signature = if number % 2 == 0 { &good } else { &bad };
            let ticket = ProofId(conn.0);
            proofs.verify(conn, ticket, proof(&keypair, &nonce, signature));
        }
        for number in [n_taken, n_taken + 1] {
            let verified = proofs.next_now().expect("it was turned away at once");
            assert_eq!(verified.conn, ConnId(u64::try_from(number).unwrap()));
            assert_eq!(verified.verdict, Verdict::Overloaded);
        }
        for number in 0..n_taken {
            let verified = proofs.next().await;
            assert_eq!(verified.conn, ConnId(u64::try_from(number).unwrap()));
            let expected = [Verdict::Valid, Verdict::Invalid][number % 2];
            assert_eq!(verified.verdict, expected);
        }
        assert_eq!(proofs.next_now(), None);
    }
}
