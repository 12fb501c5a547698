//! Slots of visitors and of peers in their grace period.

use super::*;

fn star(max_peers: usize, per_source: usize) -> Star {
    Star::with(Config {
        max_peers: max_peers.try_into().unwrap(),
        max_peers_per_source: per_source.try_into().ok(),
        ..config()
    })
}

fn visit(star: &mut Star, source: u64, peer: u8) -> (ConnId, native::Reply) {
    let (conn, hello) = star.greeted_from(source);
    let mut join = unsigned_join(peer, vec![]);
    join.address = None;
    let join = signed(join, peer, &hello);
    (conn, star.join_as(conn, join))
}

fn is_in(reply: &native::Reply) -> bool {
    matches!(reply, native::Reply::Joined { .. })
}

#[test]
fn r_limit_24_visitors_take_slots_until_they_leave() {
    let mut star = star(10, 2);
    let (first, reply) = visit(&mut star, 66, 1);
    assert!(is_in(&reply));
    let (second, reply) = visit(&mut star, 66, 2);
    assert!(is_in(&reply));
    let full = native::Reply::Refused {
        refusal: Refusal::SourceFull,
        retry: Some(Duration::from_secs(10)),
    };
    assert_eq!(visit(&mut star, 66, 3).1, full);
    assert!(is_in(&visit(&mut star, 1, 4).1), "others may come");
    star.star_reply(first, native::Call::Leave);
    assert!(is_in(&visit(&mut star, 66, 3).1));
    star.disconnect(second);
    assert!(is_in(&visit(&mut star, 66, 5).1));
    assert_eq!(visit(&mut star, 66, 6).1, full);
}

#[test]
fn r_limit_25_peers_in_grace_make_room_and_the_first_to_end_goes_first() {
    let mut star = star(10, 3);
    let reader = star.native(1);
    for peer in 2..5 {
        let conn = star.native_from(66, peer);
        star.advance(SECOND);
        star.disconnect(conn);
    }
    assert_eq!(star.gauges().away, 3);
    star.native_from(66, 5);
    assert_eq!(star.gauges().away, 2);
    let told = batches(&star.advance(SECOND), reader);
    let left: Vec<_> = told.iter().flat_map(|batch| names(&batch.left)).collect();
    assert_eq!(left, [text(2)], "its leaving is told");
    star.native_from(66, 3);
    assert_eq!(star.gauges().away, 1, "the other is back");
}

#[test]
fn r_limit_25_a_source_with_many_in_grace_takes_nobody_elses() {
    let mut star = star(6, 6);
    for (source, peer) in [(7, 1), (66, 2), (66, 3), (66, 4), (8, 5)] {
        let conn = star.native_from(source, peer);
        star.disconnect(conn);
        star.advance(Duration::from_millis(1));
    }
    let in_grace = |star: &Star| star.broker.away.keys().copied().collect::<BTreeSet<_>>();
    let of = |peers: &[u8]| peers.iter().map(|peer| id(*peer)).collect::<BTreeSet<_>>();
    star.native(10);
    star.native(11);
    assert_eq!(in_grace(&star), of(&[1, 3, 4, 5]));
    star.native(12);
    assert_eq!(in_grace(&star), of(&[1, 4, 5]));
}

#[test]
fn r_limit_25_peers_in_grace_are_bounded_for_a_source() {
    let mut star = star(10_000, 100);
    let n_most = u8::try_from(quota::share_of(100)).unwrap();
    for peer in 1..=n_most + 6 {
        let conn = star.native_from(66, peer);
        star.disconnect(conn);
        star.advance(SECOND / 10);
    }
    assert_eq!(star.gauges().away, usize::from(n_most));
    assert!(!star.broker.away.contains_key(&id(6)));
    assert!(star.broker.away.contains_key(&id(7)));
}

#[test]
fn r_limit_26_failed_signatures_are_attempts_and_reconnecting_gives_no_more() {
    let mut star = star(100, 8);
    let attempt = |star: &mut Star, source| {
        let (conn, hello) = star.greeted_from(source);
        // Signed by another key.
        let mut join = native_join(1, &hello, default_space());
        join.signature.reverse();
        let reply = star.join_as(conn, join);
        star.disconnect(conn);
        refused(reply)
    };
    for _ in 0..quota::MIN_SHARE {
        assert_eq!(attempt(&mut star, 66), Refusal::SignatureInvalid);
    }
    let n_before = star.broker.last_proof;
    assert_eq!(attempt(&mut star, 66), Refusal::TooManyRequests);
    assert_eq!(star.broker.last_proof, n_before, "nothing to verify");
    assert_eq!(attempt(&mut star, 1), Refusal::SignatureInvalid);
}

/// Asks for a page; returns its bytes, or when to ask again.
fn read_page(star: &mut Star, conn: ConnId, after: Option<PeerId>) -> Result<Page, Duration> {
    let namespace = Namespace::default();
    match star.star_reply(conn, native::Call::Peers { namespace, after }) {
        native::Reply::Page(page) => Ok(page),
        native::Reply::Refused { refusal, retry } => {
            assert_eq!(refusal, Refusal::TooManyRequests);
            Err(retry.expect("a hint"))
        }
        other @ (native::Reply::Joined { .. }
        | native::Reply::Dialed { .. }
        | native::Reply::Done) => {
            panic!("no page: {other:?}")
        }
    }
}

/// Reads pages until it is told to wait; returns their bytes and for how long.
fn read_pages(star: &mut Star, conn: ConnId) -> (usize, Duration) {
    let mut n_bytes = 0;
    for _ in 0..100_000 {
        match read_page(star, conn, None) {
            Ok(page) => n_bytes += page.weight(),
            Err(wait) => return (n_bytes, wait),
        }
    }
    panic!("never told to wait: {n_bytes}")
}

#[test]
fn r_limit_28_pages_are_weighed_by_connection_and_by_source() {
    let mut star = star(10_000, 1_000);
    for peer in 30..=255 {
        star.native(peer);
    }
    let conns: Vec<_> = (1..20).map(|peer| star.native_from(66, peer)).collect();
    let honest = star.native(20);
    let (burst, _) = quota::PAGE_BYTES;
    let (n_bytes, wait) = read_pages(&mut star, conns[0]);
    let most = burst as usize + 64 * 1024;
    assert!((burst as usize..most).contains(&n_bytes), "{n_bytes}");
    star.now += wait;
    assert!(
        read_page(&mut star, conns[0], None).is_ok(),
        "the hint is true"
    );

    let mut n_bytes = n_bytes;
    for conn in &conns[1..] {
        let (more, _) = read_pages(&mut star, *conn);
        n_bytes += more;
    }
    let (of_source, _) = quota::PAGE_BYTES_OF_SOURCE;
    assert!(n_bytes < of_source as usize + 1024 * 1024, "{n_bytes}");
    assert!(read_page(&mut star, conns[18], None).is_err());
    assert!(read_page(&mut star, honest, None).is_ok(), "others may");
}
