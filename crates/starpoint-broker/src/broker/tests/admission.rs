//! Slots of peers, in total and for each source.

use super::*;

/// A star that lets anybody join, with so many slots for one source.
fn open_star(max_peers: usize, per_source: usize) -> Star {
    Star::with(Config {
        challenge: Challenge::Off,
        max_peers: max_peers.try_into().unwrap(),
        max_peers_per_source: per_source.try_into().ok(),
        ..config()
    })
}

fn joins(star: &mut Star, conn: ConnId, address: &str) -> Result<(), Refusal> {
    match star.reply_to(conn, join(address, "")) {
        legacy::Reply::Joined(_) => Ok(()),
        legacy::Reply::Refused(refusal) => Err(refusal),
        other @ (legacy::Reply::Challenge(_)
        | legacy::Reply::Done
        | legacy::Reply::RefusedByPeer(_)) => {
            panic!("no answer to a join: {other:?}")
        }
    }
}

#[test]
fn r_join_13_a_full_star_takes_nobody_but_in_place_of_another() {
    let mut star = open_star(3, 3);
    let (first, _second) = (star.joined(1), star.joined(2));
    let third = star.conn();
    assert_eq!(joins(&mut star, first, &address_at(444, 1)), Ok(()));
    assert_eq!(
        joins(&mut star, third, &address(3)),
        Err(Refusal::StarFull),
        "each address is one"
    );
    assert_eq!(joins(&mut star, third, &address(1)), Ok(()), "in its place");
    assert_eq!(joins(&mut star, third, &address(3)), Err(Refusal::StarFull));
    star.disconnect(first);
    assert_eq!(joins(&mut star, third, &address(3)), Ok(()));
}

#[test]
fn r_limit_24_a_source_has_so_many_peers_and_others_have_the_rest() {
    let mut star = open_star(10, 3);
    let evil: Vec<_> = (0..8).map(|_| star.conn_from(66)).collect();
    let taken: Vec<_> = (0..8)
        .map(|n| joins(&mut star, evil[n], &anonymous(n)))
        .collect();
    assert_eq!(taken[..3], [Ok(()); 3]);
    assert_eq!(taken[3..], [Err(Refusal::SourceFull); 5]);
    let honest = star.conn();
    for n in 10..17 {
        let other = if n < 13 { honest } else { star.conn() };
        assert_eq!(joins(&mut star, other, &anonymous(n)), Ok(()));
    }
    assert_eq!(
        joins(&mut star, evil[7], &anonymous(10)),
        Err(Refusal::SourceFull),
        "it may not take over what others have"
    );
    assert_eq!(
        joins(&mut star, evil[7], &anonymous(0)),
        Ok(()),
        "but its own"
    );
    star.disconnect(evil[1]);
    assert_eq!(joins(&mut star, evil[3], &anonymous(3)), Ok(()));
}

#[test]
fn r_limit_24_without_a_setting_a_source_has_a_quarter_and_a_small_one_64() {
    let of = |max_peers: usize| {
        let max_peers = max_peers.try_into().unwrap();
        Config {
            max_peers,
            ..config()
        }
        .max_peers_per_source()
    };
    assert_eq!(of(10_000), 2_500);
    assert_eq!(of(100), 64);
}

#[test]
fn r_limit_26_a_source_that_reconnects_may_not_join_faster() {
    let mut star = Star::guarded();
    let ask = join(&address(1), &public_key(1));
    let attempt = |star: &mut Star, source| {
        let conn = star.conn_from(source);
        let reply = star.reply_to(conn, ask.clone());
        star.disconnect(conn);
        match reply {
            legacy::Reply::Challenge(_) => Ok(()),
            legacy::Reply::Refused(refusal) => Err(refusal),
            other @ (legacy::Reply::Joined(_)
            | legacy::Reply::Done
            | legacy::Reply::RefusedByPeer(_)) => {
                panic!("no challenge: {other:?}")
            }
        }
    };
    let burst = quota::share_of(2_500);
    for _ in 0..burst {
        assert_eq!(attempt(&mut star, 66), Ok(()));
    }
    assert_eq!(attempt(&mut star, 66), Err(Refusal::TooManyRequests));
    assert_eq!(attempt(&mut star, 1), Ok(()), "others may");
    star.advance(quota::SOURCE_JOINS_PERIOD / 2);
    let n_later = (0..burst)
        .filter(|_| attempt(&mut star, 66).is_ok())
        .count();
    assert!(
        (burst / 2 - 1..=burst / 2 + 1).contains(&n_later),
        "{n_later}"
    );
}

#[test]
fn r_limit_27_one_key_cannot_fill_a_star() {
    let mut star = open_star(100, 100);
    let mut conns = Vec::new();
    for port in 0..100 {
        let conn = star.conn();
        assert_eq!(joins(&mut star, conn, &address_at(port, 1)), Ok(()));
        conns.push(conn);
    }
    assert_eq!(star.gauges().peers, quota::MAX_ADDRESSES_OF_PEER);
    let (_, told) = star.ask(conns[0], join(&address_at(200, 1), ""));
    let evicted = told.iter().find_map(|command| {
        let Command::Send {
            conn,
            message: Message::Event(event),
        } = command
        else {
            return None;
        };
        let legacy::Event::Evicted { address } = event else {
            return None;
        };
        Some((*conn, address.clone()))
    });
    assert_eq!(
        evicted,
        Some((conns[84], address_at(84, 1))),
        "its oldest goes"
    );
    for peer in 2..80 {
        star.joined(peer);
    }
    assert_eq!(star.gauges().peers, quota::MAX_ADDRESSES_OF_PEER + 78);
}
