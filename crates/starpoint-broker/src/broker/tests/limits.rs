use starpoint_wire::limits::{MAX_ADDRESS_BYTES, MAX_DIAL_ID_BYTES};

use super::*;

#[test]
fn r_limit_1_a_huge_address_is_refused() {
    let mut star = Star::open();
    let a = star.joined(1);
    let huge = format!("/dns4/{}/tcp/443/ws", "a".repeat(MAX_ADDRESS_BYTES));
    let refused = [join(&huge, ""), leave(&huge), dial(&address(1), &huge, "d")];
    for call in refused {
        assert_eq!(star.refusal_of(a, call), Refusal::InvalidAddress);
    }
}

#[test]
fn r_limit_2_a_huge_dial_id_is_refused() {
    let mut star = Star::open();
    let (a, _) = (star.joined(1), star.joined(2));
    let longest = "d".repeat(MAX_DIAL_ID_BYTES);
    let huge = dial(&address(1), &address(2), &format!("{longest}d"));
    assert_eq!(star.refusal_of(a, huge), Refusal::InvalidDialId);
    star.dial((a, 1), 2, &longest);
}

#[test]
fn r_limit_5_a_connection_has_so_many_addresses() {
    let mut star = Star::open();
    let a = star.conn();
    for host in 0..quota::MAX_ADDRESSES {
        let joined = star.reply_to(a, join(&anonymous(host), ""));
        assert_eq!(joined, legacy::Reply::Joined(vec![]));
    }
    let more = join(&anonymous(99), "");
    assert_eq!(star.refusal_of(a, more.clone()), Refusal::TooManyAddresses);
    let again = join(&anonymous(0), "");
    assert_eq!(
        star.reply_to(a, again),
        legacy::Reply::Joined(vec![]),
        "its own it may"
    );
    star.tell(a, leave(&anonymous(0)));
    assert_eq!(star.reply_to(a, more), legacy::Reply::Joined(vec![]));
}

#[test]
fn r_limit_6_a_connection_has_so_many_open_challenges() {
    let mut star = Star::guarded();
    let a = star.conn();
    let ask = |port| join(&address_at(port, 1), &public_key(1));
    for port in 0..16 {
        let reply = star.reply_to(a, ask(port));
        assert!(matches!(reply, legacy::Reply::Challenge(_)), "{reply:?}");
    }
    assert_eq!(star.refusal_of(a, ask(16)), Refusal::TooManyRequests);
    let again = star.reply_to(a, ask(3));
    assert!(
        matches!(again, legacy::Reply::Challenge(_)),
        "an old one anew: {again:?}"
    );
    star.advance(60 * SECOND);
    let later = star.reply_to(a, ask(17));
    assert!(
        matches!(later, legacy::Reply::Challenge(_)),
        "they expire: {later:?}"
    );
}

#[test]
fn r_limit_7_a_connection_has_so_many_links_at_either_side() {
    let mut star = Star::open();
    let callee = star.joined(1);
    let dialers = [(star.joined(2), 2), (star.joined(3), 3)];
    for number in 0..quota::MAX_LINKS {
        let (conn, peer) = dialers[number % 2];
        star.open_link((conn, peer), (callee, 1), &number.to_string());
        star.advance(Duration::from_millis(10));
    }
    let more = dial(&address(2), &address(1), "more");
    assert_eq!(
        star.refusal_of(dialers[0].0, more.clone()),
        Refusal::TooManyDials
    );
    let out = dial(&address(1), &address(2), "more");
    assert_eq!(star.refusal_of(callee, out), Refusal::TooManyDials);
    let elsewhere = dial(&address(2), &address(3), "more");
    assert_eq!(
        star.ask(dialers[0].0, elsewhere).1.len(),
        2,
        "others are not full"
    );

    star.tell(dialers[1].0, end("1", DIALER));
    star.tell(callee, end("1", LISTENER));
    let more = dial(&address(3), &address(1), "again");
    assert_eq!(star.ask(dialers[1].0, more).1.len(), 2);
}

#[test]
fn r_limit_10_one_peer_cannot_take_all_that_another_may_have() {
    let mut star = Star::open();
    let (a, b, c) = (star.joined(1), star.joined(2), star.joined(3));
    for number in 0..quota::MAX_LINKS_OF_PAIR {
        star.open_link((a, 1), (b, 2), &number.to_string());
        star.advance(Duration::from_millis(10));
    }
    let more = dial(&address(1), &address(2), "more");
    assert_eq!(star.refusal_of(a, more), Refusal::TooManyDials);
    let back = dial(&address(2), &address(1), "back");
    assert_eq!(star.refusal_of(b, back), Refusal::TooManyDials);
    let other = dial(&address(3), &address(2), "other");
    assert_eq!(star.ask(c, other).1.len(), 2, "others still get through");
}

#[test]
fn r_limit_8_joins_and_leaves_have_a_rate() {
    let mut star = Star::open();
    let a = star.conn();
    for _ in 0..32 {
        star.ask(a, join(&address(1), ""));
        star.ask(a, leave(&address(1)));
    }
    let call = join(&address(1), "");
    assert_eq!(star.refusal_of(a, call.clone()), Refusal::TooManyRequests);
    assert_eq!(
        star.refusal_of(a, leave(&address(1))),
        Refusal::TooManyRequests
    );
    let other = star.joined(2);
    assert_eq!(star.gauges().peers, 1, "each connection has its own");
    star.advance(Duration::from_millis(50));
    assert_eq!(
        star.reply_to(a, call),
        legacy::Reply::Joined(vec![address(2)])
    );
    assert_eq!(
        star.refusal_of(a, leave(&address(1))),
        Refusal::TooManyRequests
    );
    star.disconnect(other);
}

#[test]
fn r_limit_8_the_rate_does_not_use_a_challenge_up() {
    let mut star = Star::guarded();
    let a = star.conn();
    let mut nonce = None;
    for _ in 0..64 {
        if let legacy::Reply::Challenge(next) = star.reply_to(a, join(&address(1), &public_key(1)))
        {
            nonce = Some(next);
        }
    }
    let answer = join(&address(1), &signature(1, nonce.expect("a nonce").as_str()));
    assert_eq!(star.refusal_of(a, answer.clone()), Refusal::TooManyRequests);
    star.advance(Duration::from_millis(50));
    assert_eq!(star.reply_to(a, answer), legacy::Reply::Joined(vec![]));
}

#[test]
fn r_limit_9_dials_have_a_rate() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    let nobody = dial(&address(1), &anonymous(1), "d");
    for _ in 0..512 {
        assert_eq!(star.refusal_of(a, nobody.clone()), Refusal::PeerNotFound);
    }
    assert_eq!(star.refusal_of(a, nobody.clone()), Refusal::TooManyRequests);
    star.dial((b, 2), 1, "each has its own");
    star.advance(Duration::from_millis(10));
    assert_eq!(star.refusal_of(a, nobody.clone()), Refusal::PeerNotFound);
    assert_eq!(star.refusal_of(a, nobody), Refusal::TooManyRequests);
}
