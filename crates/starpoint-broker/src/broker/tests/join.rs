use starpoint_wire::{Nonce, legacy, limits::NONCE_LIFETIME};

use super::*;

fn nonce_of(star: &mut Star, conn: ConnId, peer: u8) -> Nonce {
    let reply = star.reply_to(conn, join(&address(peer), &public_key(peer)));
    let legacy::Reply::Challenge(nonce) = reply else {
        panic!("no challenge: {reply:?}")
    };
    nonce
}

fn evicted(conn: ConnId, peer: u8) -> Command {
    let address = address(peer);
    emit(conn, legacy::Event::Evicted { address })
}

#[test]
fn r_join_2_the_key_of_the_peer_is_answered_with_a_fresh_nonce() {
    let mut star = Star::guarded();
    let (a, b) = (star.conn(), star.conn());
    let first = nonce_of(&mut star, a, 1);
    let second = nonce_of(&mut star, b, 1);
    assert_eq!(first.as_str().len(), 72);
    assert_ne!(first, second);
    assert_eq!(star.gauges().peers, 0, "nothing is registered yet");
}

#[test]
fn r_join_2_no_key_a_bad_key_and_the_key_of_another_are_refused() {
    let mut star = Star::guarded();
    let a = star.conn();
    for (call, refusal) in [
        (join(&address(1), ""), Refusal::KeyMissing),
        (join(&address(1), "zz"), Refusal::InvalidKey),
        (join(&address(1), &public_key(2)), Refusal::IdMismatch),
        (join(&anonymous(1), &public_key(1)), Refusal::IdMismatch),
        (join("nowhere", &public_key(1)), Refusal::InvalidAddress),
    ] {
        assert_eq!(star.refusal_of(a, call), refusal);
    }
    assert_eq!(star.broker.counters().joins_failed, 5);
    assert_eq!(star.gauges().peers, 0);
}

#[test]
fn r_join_3_a_signature_registers_and_the_reply_lists_the_others() {
    let mut star = Star::guarded();
    let a = star.joined(1);
    let b = star.conn();
    let nonce = nonce_of(&mut star, b, 2);
    let (ack, commands) = star.ask(b, join(&address(2), &signature(2, nonce.as_str())));
    assert_eq!(
        commands,
        [
            peer_event(a, &address(2)),
            reply(b, ack, legacy::Reply::Joined(vec![address(1)])),
        ],
        "the others hear of it before the answer, as recorded"
    );
    assert_eq!(star.gauges().peers, 2);
    let counters = star.broker.counters();
    assert_eq!(
        (
            counters.joins,
            counters.joins_succeeded,
            counters.joins_failed
        ),
        (2, 2, 0)
    );
}

#[test]
fn r_join_4_a_right_answer_cannot_be_replayed() {
    let mut star = Star::guarded();
    let a = star.conn();
    let nonce = nonce_of(&mut star, a, 1);
    let answer = join(&address(1), &signature(1, nonce.as_str()));
    assert_eq!(
        star.reply_to(a, answer.clone()),
        legacy::Reply::Joined(vec![])
    );
    star.tell(a, leave(&address(1)));
    assert_eq!(star.refusal_of(a, answer), Refusal::InvalidKey);
    assert_eq!(star.gauges().peers, 0);
}

#[test]
fn r_join_4_a_wrong_answer_uses_the_nonce_up() {
    let mut star = Star::guarded();
    let a = star.conn();
    let nonce = nonce_of(&mut star, a, 1);
    let wrong = signature(2, nonce.as_str());
    assert_eq!(
        star.refusal_of(a, join(&address(1), &wrong)),
        Refusal::SignatureInvalid
    );
    let right = signature(1, nonce.as_str());
    assert_eq!(
        star.refusal_of(a, join(&address(1), &right)),
        Refusal::InvalidKey
    );

    nonce_of(&mut star, a, 1);
    assert_eq!(
        star.refusal_of(a, join(&address(1), "abcd")),
        Refusal::SignatureMalformed
    );
}

#[test]
fn r_join_5_a_challenge_expires() {
    let mut star = Star::guarded();
    let a = star.conn();
    let nonce = nonce_of(&mut star, a, 1);
    star.advance(NONCE_LIFETIME);
    let late = join(&address(1), &signature(1, nonce.as_str()));
    assert_eq!(star.refusal_of(a, late), Refusal::ChallengeExpired);

    let nonce = nonce_of(&mut star, a, 1);
    star.advance(NONCE_LIFETIME - Duration::from_millis(1));
    let in_time = join(&address(1), &signature(1, nonce.as_str()));
    assert_eq!(star.reply_to(a, in_time), legacy::Reply::Joined(vec![]));
}

#[test]
fn r_join_6_a_nonce_is_for_one_connection_and_one_address() {
    let mut star = Star::guarded();
    let (a, thief) = (star.conn(), star.conn());
    let nonce = nonce_of(&mut star, a, 1);
    let stolen = signature(1, nonce.as_str());
    assert_eq!(
        star.refusal_of(thief, join(&address(1), &stolen)),
        Refusal::InvalidKey
    );
    nonce_of(&mut star, thief, 1);
    assert_eq!(
        star.refusal_of(thief, join(&address(1), &stolen)),
        Refusal::SignatureInvalid,
        "its own challenge has another nonce"
    );
    let elsewhere = join(&address_at(444, 1), &stolen);
    assert_eq!(star.refusal_of(a, elsewhere), Refusal::InvalidKey);
    assert_eq!(
        star.reply_to(a, join(&address(1), &stolen)),
        legacy::Reply::Joined(vec![])
    );
}

#[test]
fn r_join_7_too_many_failed_answers_close_the_connection() {
    let mut star = Star::guarded();
    let a = star.conn();
    for failed in 1..=quota::MAX_FAILED_ANSWERS {
        let peer = if failed % 2 == 0 { 1 } else { 2 };
        nonce_of(&mut star, a, peer);
        let (ack, commands) = star.ask(a, join(&address(peer), "abcd"));
        if failed < quota::MAX_FAILED_ANSWERS {
            let refused = legacy::Reply::Refused(Refusal::SignatureMalformed);
            assert_eq!(commands, [reply(a, ack, refused)]);
            continue;
        }
        let refused = legacy::Reply::Refused(Refusal::TooManyAttempts);
        let reason = CloseReason::TooManyAttempts;
        assert_eq!(
            commands,
            [reply(a, ack, refused), Command::Close { conn: a, reason }]
        );
    }
    let (_, commands) = star.ask(a, join(&address(1), &public_key(1)));
    assert_eq!(commands, [], "nothing is heard on its way out");
}

#[test]
fn r_join_8_the_newest_proof_takes_the_address_over() {
    let mut star = Star::guarded();
    let (old, other) = (star.joined(1), star.joined(2));
    star.open_link((old, 1), (other, 2), "d");
    let new = star.conn();
    let nonce = nonce_of(&mut star, new, 1);
    let (ack, commands) = star.ask(new, join(&address(1), &signature(1, nonce.as_str())));
    assert_eq!(
        commands,
        [
            evicted(old, 1),
            peer_event(other, &address(1)),
            reply(new, ack, legacy::Reply::Joined(vec![address(2)])),
        ]
    );
    assert_eq!(star.broker.counters().takeovers, 1);
    assert_eq!(star.gauges().peers, 2);

    let as_it = dial(&address(1), &address(2), "e");
    assert_eq!(star.refusal_of(old, as_it), Refusal::NotAuthorized);
    let commands = star.tell(old, queue("d", DIALER, "on"));
    assert_eq!(
        commands,
        [chunk_event(other, "d", DIALER, "on")],
        "its streams go on"
    );

    star.dial((other, 2), 1, "f");
    assert_eq!(
        star.refusal_of(old, leave(&address(1))),
        Refusal::NotAuthorized
    );
    assert_eq!(
        star.gauges().peers,
        2,
        "and it cannot give it away any more"
    );
}

#[test]
fn r_join_9_without_proof_nobody_takes_an_address_over() {
    let mut star = Star::guarded();
    let (owner, thief) = (star.joined(1), star.conn());
    for proof in ["", "zz", &public_key(2), &signature(1, "something else")] {
        star.refusal_of(thief, join(&address(1), proof));
    }
    nonce_of(&mut star, thief, 1);
    star.refusal_of(thief, join(&address(1), &signature(2, "x")));
    assert_eq!(star.broker.counters().takeovers, 0);
    let caller = star.joined(3);
    let (_, commands) = star.ask(caller, dial(&address(3), &address(1), "d"));
    let (callee, _, _) = asked(&commands).expect("the callee is asked");
    assert_eq!(callee, owner);
}

#[test]
fn r_join_10_without_a_challenge_the_newest_wins_at_once() {
    let mut star = Star::open();
    let old = star.conn();
    assert_eq!(
        star.reply_to(old, join(&address(1), "anything")),
        legacy::Reply::Joined(vec![])
    );
    let new = star.conn();
    let (ack, commands) = star.ask(new, join(&address(1), ""));
    assert_eq!(
        commands,
        [
            evicted(old, 1),
            reply(new, ack, legacy::Reply::Joined(vec![]))
        ]
    );
    let whoever = star.conn();
    assert_eq!(
        star.reply_to(whoever, join(&anonymous(1), "")),
        legacy::Reply::Joined(vec![address(1)]),
        "an address needs no peer"
    );
}

#[test]
fn r_join_11_joining_an_own_address_again_changes_nothing() {
    for mut star in [Star::open(), Star::guarded()] {
        let (a, b) = (star.joined(1), star.joined(2));
        let announcements = star.broker.counters().announcements;
        assert_eq!(star.join(a, 1), legacy::Reply::Joined(vec![address(2)]));
        assert_eq!(star.broker.counters().announcements, announcements);
        assert_eq!(star.broker.counters().takeovers, 0);
        let told = star.advance(10 * SECOND);
        assert_eq!(announced_to(&told, a), [address(2)], "one timer, not two");
        assert_eq!(announced_to(&told, b), [address(1)]);
        star.tell(a, leave(&address(1)));
        assert_eq!(announced_to(&star.advance(20 * SECOND), b), [""; 0]);
    }
}

#[test]
fn r_join_12_the_key_again_begins_anew() {
    let mut star = Star::guarded();
    let a = star.conn();
    let first = nonce_of(&mut star, a, 1);
    let second = nonce_of(&mut star, a, 1);
    assert_ne!(first, second);
    let stale = join(&address(1), &signature(1, first.as_str()));
    assert_eq!(star.refusal_of(a, stale), Refusal::SignatureInvalid);
    let third = nonce_of(&mut star, a, 1);
    star.advance(2 * NONCE_LIFETIME);
    let fourth = nonce_of(&mut star, a, 1);
    assert_ne!(
        third, fourth,
        "and so it does when the challenge has expired"
    );
    let fresh = join(&address(1), &signature(1, fourth.as_str()));
    assert_eq!(star.reply_to(a, fresh), legacy::Reply::Joined(vec![]));
}
