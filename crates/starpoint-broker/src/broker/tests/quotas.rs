//! Bounds on links, in both directions and by source.

use super::*;

/// A connection from a source that has joined as a peer.
fn joined_from(star: &mut Star, source: u64, peer: u8) -> ConnId {
    let conn = star.conn_from(source);
    star.join(conn, peer);
    conn
}

fn open(star: &mut Star, from: (ConnId, u8), to: (ConnId, u8), id: &str) {
    star.open_link(from, to, id);
    star.advance(Duration::from_millis(10));
}

/// Fills a callee: 384 links of source 66, then 128 of source 77.
fn fill(star: &mut Star, callee: ConnId) {
    let evil = [joined_from(star, 66, 10), joined_from(star, 66, 11)];
    for n in 0..quota::MAX_LINKS_OF_SOURCE {
        let peer = 10 + u8::try_from(n % 2).expect("one of two");
        open(star, (evil[n % 2], peer), (callee, 1), &n.to_string());
    }
    let other = joined_from(star, 77, 12);
    for n in quota::MAX_LINKS_OF_SOURCE..quota::MAX_LINKS {
        open(star, (other, 12), (callee, 1), &n.to_string());
    }
}

#[test]
fn r_limit_7_a_callee_that_is_full_still_dials() {
    let mut star = Star::open();
    let (callee, honest) = (star.joined(1), star.joined(2));
    fill(&mut star, callee);
    let call = dial(&address(2), &address(1), "in");
    assert_eq!(star.refusal_of(honest, call), Refusal::TooManyDials);
    star.open_link((callee, 1), (honest, 2), "out");
}

#[test]
fn r_limit_14_a_source_has_a_quarter_of_what_may_wait_for_a_callee() {
    let mut star = Star::open();
    let (_callee, honest) = (star.joined(1), star.joined(2));
    let evil = [
        joined_from(&mut star, 66, 10),
        joined_from(&mut star, 66, 11),
    ];
    for n in 0..quota::MAX_WAITING_OF_SOURCE {
        let peer = 10 + u8::try_from(n % 2).expect("one of two");
        star.dial((evil[n % 2], peer), 1, &n.to_string());
    }
    for (conn, peer) in [(evil[0], 10), (evil[1], 11)] {
        let more = dial(&address(peer), &address(1), "more");
        assert_eq!(star.refusal_of(conn, more), Refusal::TooManyDials);
    }
    star.dial((honest, 2), 1, "honest");
    star.dial((evil[0], 10), 2, "elsewhere");
}

#[test]
fn r_limit_14_a_source_has_three_quarters_of_the_links_of_a_callee() {
    let mut star = Star::open();
    let (callee, honest) = (star.joined(1), star.joined(2));
    let evil = [
        joined_from(&mut star, 66, 10),
        joined_from(&mut star, 66, 11),
    ];
    for n in 0..quota::MAX_LINKS_OF_SOURCE {
        let peer = 10 + u8::try_from(n % 2).expect("one of two");
        open(&mut star, (evil[n % 2], peer), (callee, 1), &n.to_string());
    }
    let more = dial(&address(10), &address(1), "more");
    assert_eq!(star.refusal_of(evil[0], more), Refusal::TooManyDials);
    star.dial((honest, 2), 1, "honest");
}

#[test]
fn r_limit_15_a_full_callee_loses_the_longest_idle_link_of_the_greediest_source() {
    let mut star = Star::open();
    let (callee, honest) = (star.joined(1), star.joined(2));
    fill(&mut star, callee);
    let call = dial(&address(2), &address(1), "new");
    star.advance(quota::IDLE_LINK / 2);
    assert_eq!(star.refusal_of(honest, call.clone()), Refusal::TooManyDials);
    // Whatever is in use stays: the first two of the greediest, and all of the other.
    star.tell(callee, queue("0", LISTENER, "used"));
    star.advance(quota::IDLE_LINK / 2);
    star.tell(callee, queue("1", LISTENER, "used"));
    let (_, commands) = star.ask(honest, call);
    assert!(asked(&commands).is_some(), "{commands:?}");
    let is_cut = |id: &str| {
        commands.contains(&emit(
            callee,
            legacy::Event::StreamError {
                stream: stream(id, DIALER),
                end: StreamEnd::Error(Cut::Idle.text().into()),
            },
        ))
    };
    let cut: Vec<_> = (0..quota::MAX_LINKS)
        .filter(|n| is_cut(&n.to_string()))
        .collect();
    assert_eq!(cut, [2]);
    assert_eq!(star.broker.counters().cuts[&Cut::Idle], 2, "both streams");
    assert_eq!(star.gauges().links, quota::MAX_LINKS);
}
