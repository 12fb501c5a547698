//! Signatures that take their time.

use super::*;

impl Star {
    fn with_slow_proofs() -> Self {
        let mut star = Self::guarded();
        star.has_slow_proofs = true;
        star
    }

    /// Asks for a challenge and answers it; the signature waits.
    fn answered(&mut self, conn: ConnId, peer: u8, signer: u8) -> AckId {
        let reply = self.reply_to(conn, join(&address(peer), &public_key(peer)));
        let legacy::Reply::Challenge(nonce) = reply else {
            panic!("not challenged: {reply:?}")
        };
        let proof = signature(signer, nonce.as_str());
        let (ack, commands) = self.ask(conn, join(&address(peer), &proof));
        assert_eq!(commands, [], "nothing before the verdict");
        ack
    }

    /// Reports the oldest verdict.
    fn settle_proof(&mut self) -> Vec<Command> {
        let (conn, ticket, verdict) = self.proofs.remove(0);
        self.broker.handle(
            Input::Verified {
                conn,
                ticket,
                verdict,
            },
            self.now,
        );
        self.drain()
    }
}

#[test]
fn r_chal_5_a_join_waits_for_the_verdict_and_others_do_not() {
    let mut star = Star::with_slow_proofs();
    let (first, second) = (star.conn(), star.conn());
    let ack = star.answered(first, 1, 1);
    let other_ack = star.answered(second, 2, 1);
    assert_eq!((star.proofs.len(), star.gauges().peers), (2, 0));
    let commands = star.settle_proof();
    assert!(matches!(
        reply_in(&commands, first, ack),
        legacy::Reply::Joined(_)
    ));
    let commands = star.settle_proof();
    let refused = legacy::Reply::Refused(Refusal::SignatureInvalid);
    assert_eq!(reply_in(&commands, second, other_ack), refused);
    assert_eq!(star.gauges().peers, 1);
}

#[test]
fn r_chal_5_an_address_goes_to_the_one_that_is_verified_last() {
    let mut star = Star::with_slow_proofs();
    let (first, second) = (star.conn(), star.conn());
    star.answered(first, 1, 1);
    star.answered(second, 1, 1);
    star.settle_proof();
    let commands = star.settle_proof();
    let evicted = events(&commands, first).any(|e| matches!(e, legacy::Event::Evicted { .. }));
    assert!(evicted, "{commands:?}");
    assert_eq!(star.gauges().peers, 1);
}

#[test]
fn r_chal_5_a_verdict_about_a_connection_that_is_gone_changes_nothing() {
    let mut star = Star::with_slow_proofs();
    let conn = star.conn();
    star.answered(conn, 1, 1);
    star.disconnect(conn);
    assert_eq!(star.settle_proof(), []);
    assert_eq!(star.gauges(), Gauges::default());
}

#[test]
fn r_chal_5_a_verdict_counts_once() {
    let mut star = Star::with_slow_proofs();
    let conn = star.conn();
    star.answered(conn, 1, 2);
    let (_, ticket, _) = star.proofs[0];
    star.settle_proof();
    star.broker.handle(
        Input::Verified {
            conn,
            ticket,
            verdict: Verdict::Valid,
        },
        star.now,
    );
    assert_eq!(star.drain(), []);
    assert_eq!(star.gauges().peers, 0);
    assert_eq!(star.broker.counters().joins_failed, 1);
}

#[test]
fn r_chal_5_one_signature_of_a_connection_is_verified_at_a_time() {
    let mut star = Star::with_slow_proofs();
    let conn = star.conn();
    star.answered(conn, 1, 1);
    let refusal = star.refusal_of(conn, join(&address(2), &public_key(2)));
    assert_eq!(refusal, Refusal::TooManyRequests);
    assert_eq!(star.proofs.len(), 1);
}

#[test]
fn r_chal_6_without_room_for_its_signature_a_join_is_refused_and_not_failed() {
    let mut star = Star::with_slow_proofs();
    let conn = star.conn();
    for _ in 0..2 * quota::MAX_FAILED_ANSWERS {
        let ack = star.answered(conn, 1, 1);
        star.proofs[0].2 = Verdict::Overloaded;
        let commands = star.settle_proof();
        let refused = legacy::Reply::Refused(Refusal::TooManyRequests);
        assert_eq!(reply_in(&commands, conn, ack), refused);
    }
    let ack = star.answered(conn, 1, 1);
    let commands = star.settle_proof();
    assert!(matches!(
        reply_in(&commands, conn, ack),
        legacy::Reply::Joined(_)
    ));
}

#[test]
fn r_stop_1_a_join_that_is_verified_in_a_shutdown_is_refused() {
    let mut star = Star::with_slow_proofs();
    let conn = star.conn();
    star.answered(conn, 1, 1);
    star.broker.handle(Input::Drain, star.now);
    let commands = star.drain();
    assert!(matches!(commands[..], [Command::Close { .. }]));
    assert_eq!(star.settle_proof(), [], "it is closing");
    assert_eq!(star.gauges().peers, 0);
}
