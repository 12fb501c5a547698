use starpoint_wire::CallKind;

use super::*;

const INTERVAL: Duration = Duration::from_secs(10);

/// Joins; returns the addresses that the answer lists.
fn listed(star: &mut Star, conn: ConnId, address: &str) -> Vec<String> {
    let reply = star.reply_to(conn, join(address, ""));
    let legacy::Reply::Joined(others) = reply else {
        panic!("refused: {reply:?}")
    };
    others
}

/// Joins peers that name no key, one connection each.
fn crowd(star: &mut Star, count: usize) -> Vec<ConnId> {
    let mut conns = Vec::new();
    for host in 0..count {
        let conn = star.conn();
        star.ask(conn, join(&anonymous(host), ""));
        conns.push(conn);
    }
    conns
}

#[test]
fn r_peer_1_others_hear_of_a_join_at_once() {
    let mut star = Star::open();
    let (a, b, silent) = (star.joined(1), star.joined(2), star.conn());
    let c = star.conn();
    let (ack, commands) = star.ask(c, join(&address(3), ""));
    assert_eq!(
        commands,
        [
            peer_event(a, &address(3)),
            peer_event(b, &address(3)),
            reply(c, ack, legacy::Reply::Joined(vec![address(1), address(2)])),
        ]
    );
    assert_eq!(
        announced_to(&star.advance(INTERVAL), silent),
        [""; 0],
        "it has not joined"
    );
}

#[test]
fn r_peer_2_each_interval_everyone_hears_of_the_others() {
    let mut star = Star::open();
    let peers: Vec<_> = (1..=4).map(|peer| (peer, star.joined(peer))).collect();
    for _ in 0..3 {
        let told = star.advance(INTERVAL);
        for (peer, conn) in &peers {
            let others: Vec<_> = (1..=4).filter(|p| p != peer).map(address).collect();
            let mut heard = announced_to(&told, *conn);
            heard.sort_by_key(|address| others.iter().position(|other| other == address));
            assert_eq!(heard, others, "each once");
        }
    }
    star.tell(peers[0].1, leave(&address(1)));
    let told = star.advance(INTERVAL);
    assert_eq!(
        announced_to(&told, peers[0].1),
        [""; 0],
        "who has left hears nothing"
    );
    assert!(
        !announced_to(&told, peers[1].1).contains(&address(1)),
        "and is not heard of"
    );
}

#[test]
fn r_peer_2_the_interval_is_the_operators() {
    let mut star = Star::with(Config {
        challenge: Challenge::Off,
        announce_interval: Duration::from_secs(3),
        ..config()
    });
    let (a, _) = (star.joined(1), star.joined(2));
    let told = star.advance(30 * SECOND);
    assert_eq!(announced_to(&told, a).len(), 10);
}

#[test]
fn r_peer_2_a_star_that_was_asleep_does_not_catch_up() {
    let mut star = Star::open();
    let (a, _) = (star.joined(1), star.joined(2));
    star.now += 100 * INTERVAL + SECOND;
    star.broker.handle(Input::Timeout, star.now);
    let told = star.drain();
    assert_eq!(announced_to(&told, a).len(), 1);
    assert_eq!(announced_to(&star.advance(INTERVAL), a).len(), 1);
}

#[test]
fn r_peer_2_no_interval_is_too_short_or_too_long() {
    for announce_interval in [Duration::ZERO, Duration::MAX] {
        let mut star = Star::with(Config {
            challenge: Challenge::Off,
            announce_interval,
            ..config()
        });
        let (a, _) = (star.joined(1), star.joined(2));
        let told = star.advance(quota::MIN_ANNOUNCE_INTERVAL);
        let count = usize::from(announce_interval.is_zero());
        assert_eq!(announced_to(&told, a).len(), count);
    }
}

#[test]
fn r_peer_3_a_connection_gets_its_share_of_the_budget_in_turn() {
    let mut star = Star::open();
    let count = 300;
    let conns = crowd(&mut star, count);
    // Until nobody is new to anybody.
    star.advance(10 * INTERVAL);
    let share = quota::ANNOUNCE_BUDGET / count;
    let rounds = (count - 1).div_ceil(share);
    let mut heard = BTreeMap::<ConnId, BTreeSet<String>>::new();
    for _ in 0..rounds {
        let told = star.advance(INTERVAL);
        for conn in &conns {
            let addresses = announced_to(&told, *conn);
            assert!(addresses.len() <= share, "{} of {share}", addresses.len());
            heard.entry(*conn).or_default().extend(addresses);
        }
    }
    for (index, conn) in conns.iter().enumerate() {
        assert_eq!(heard[conn].len(), count - 1);
        assert!(!heard[conn].contains(&anonymous(index)));
    }
}

#[test]
fn r_peer_3_new_peers_do_not_keep_the_old_ones_from_being_heard_of() {
    let mut star = Star::open();
    let old = 100;
    crowd(&mut star, old);
    let listener = star.joined(1);
    let mut heard = BTreeSet::new();
    // It has room for at least 25 old ones in an interval.
    for round in 1..=4 {
        // Too busy to hear of them at once, it has them all before it.
        star.stop_reading(listener);
        for _ in 0..quota::WINDOW_PACKETS {
            star.ask_raw(
                listener,
                Err(CallError {
                    kind: CallKind::Leave,
                }),
            );
        }
        let newcomers: Vec<_> = (0..2 * quota::MAX_ANNOUNCEMENTS)
            .map(|host| {
                let conn = star.conn();
                star.ask(conn, join(&anonymous(1000 * round + host), ""));
                conn
            })
            .collect();
        heard.extend(announced_to(&star.read_on(listener), listener));
        heard.extend(announced_to(&star.advance(INTERVAL), listener));
        for conn in newcomers {
            star.disconnect(conn);
        }
    }
    let missed: Vec<_> = (0..old)
        .map(anonymous)
        .filter(|address| !heard.contains(address))
        .collect();
    assert_eq!(missed, [""; 0]);
}

#[test]
fn r_peer_4_the_answer_to_a_join_lists_some_of_the_others() {
    let mut star = Star::open();
    let count = quota::MAX_JOIN_LIST + 50;
    crowd(&mut star, count);
    let all: BTreeSet<_> = (0..count).map(anonymous).collect();
    let lists = [(); 2].map(|()| {
        let conn = star.conn();
        let list = listed(&mut star, conn, &address(1));
        assert_eq!(list.len(), quota::MAX_JOIN_LIST);
        let list: BTreeSet<_> = list.into_iter().collect();
        assert_eq!(list.len(), quota::MAX_JOIN_LIST, "none twice");
        assert!(list.is_subset(&all));
        list
    });
    assert_ne!(lists[0], lists[1]);
}

#[test]
fn r_peer_4_one_source_cannot_fill_the_list() {
    let mut star = Star::open();
    for (host, source) in (0..100).zip((0..20).cycle()) {
        let honest = star.conn_from(source);
        star.ask(honest, join(&anonymous(host), ""));
    }
    for number in 1..=8 {
        let evil = star.conn_from(66);
        for n in 0..quota::MAX_ADDRESSES {
            star.ask(evil, join(&anonymous(1_000 * number + n), ""));
        }
    }
    let conn = star.conn();
    let list = listed(&mut star, conn, &address(1));
    let missed: Vec<_> = (0..100)
        .map(anonymous)
        .filter(|address| !list.contains(address))
        .collect();
    assert_eq!(missed, [""; 0]);
    assert_eq!(list.len(), quota::MAX_JOIN_LIST);
}

#[test]
fn r_peer_4_a_peer_is_listed_once_with_the_newest_address_that_it_has() {
    let mut star = Star::open();
    let conns: Vec<_> = (0..3).map(|_| star.conn()).collect();
    for (port, conn) in (1..).zip(&conns) {
        star.ask(*conn, join(&address_at(port, 1), ""));
    }
    let behind_its_id = format!("{}/p2p-circuit", address_at(9, 1));
    star.ask(conns[2], join(&behind_its_id, ""));
    let reader = star.conn();
    assert_eq!(listed(&mut star, reader, &address(2)), [address_at(3, 1)]);
    star.tell(conns[2], leave(&address_at(3, 1)));
    assert_eq!(listed(&mut star, reader, &address(2)), [address_at(2, 1)]);
    star.disconnect(conns[0]);
    star.disconnect(conns[1]);
    assert_eq!(listed(&mut star, reader, &address(2)), [""; 0]);
}

#[test]
fn r_peer_5_a_join_is_told_to_some_at_once_and_to_the_rest_at_their_interval() {
    let mut star = Star::open();
    let count = quota::MAX_IMMEDIATE_NOTICES + 50;
    let conns = crowd(&mut star, count);
    star.advance(2 * INTERVAL);
    let newcomer = star.conn();
    let (_, commands) = star.ask(newcomer, join(&address(1), ""));
    let at_once = |commands: &[Command], about: &str| -> BTreeSet<ConnId> {
        let told = conns.iter().copied();
        told.filter(|conn| announced_to(commands, *conn).contains(&about.to_owned()))
            .collect()
    };
    let first = at_once(&commands, &address(1));
    assert!(first.len() <= quota::MAX_IMMEDIATE_NOTICES);
    assert!(
        first.len() >= quota::MAX_IMMEDIATE_NOTICES - 1,
        "{}",
        first.len()
    );

    let told = star.advance(INTERVAL);
    let rest = at_once(&told, &address(1));
    assert_eq!(
        first.union(&rest).count(),
        count,
        "everybody within one interval"
    );

    let second = star.conn();
    let (_, commands) = star.ask(second, join(&address(2), ""));
    let next = at_once(&commands, &address(2));
    assert!(!next.is_subset(&first), "others are first this time");
}

/// An address as long as one may be.
fn long(host: usize) -> String {
    let name = format!("{host:04}").repeat(230);
    format!("/dns4/{name}/tcp/443/wss/p2p-websocket-star")
}

/// Bytes of the announcements to everybody but one.
fn announced_bytes(commands: &[Command], but: ConnId) -> usize {
    let events = commands.iter().filter_map(|command| {
        let Command::Send {
            conn,
            message: Message::Event(event),
        } = command
        else {
            return None;
        };
        (*conn != but).then(|| event.weight())
    });
    events.sum()
}

#[test]
fn r_limit_29_joins_of_one_source_cost_others_so_many_bytes_at_once() {
    let mut star = Star::open();
    let readers = crowd(&mut star, 250);
    star.advance(10 * INTERVAL);
    let (burst, per_second) = quota::ANNOUNCED_BYTES_OF_SOURCE;
    let mut n_bytes = 0;
    let join_all = |star: &mut Star, n_bytes: &mut usize, hosts: std::ops::Range<usize>| {
        for host in hosts {
            let evil = star.conn_from(66);
            let (_, commands) = star.ask(evil, join(&long(host), ""));
            *n_bytes += announced_bytes(&commands, evil);
        }
    };
    join_all(&mut star, &mut n_bytes, 0..16);
    let one = legacy::Event::Peer { address: long(0) }.weight();
    let most = burst as usize;
    assert!((most..most + one).contains(&n_bytes), "{n_bytes} of {most}");
    let honest = star.conn();
    let (_, commands) = star.ask(honest, join(&address(1), ""));
    for reader in &readers {
        let heard = announced_to(&commands, *reader);
        assert_eq!(heard, [address(1)], "others are told of as ever");
    }
    star.broker.handle(Input::Timeout, star.now);
    star.now += 2 * SECOND;
    n_bytes = 0;
    join_all(&mut star, &mut n_bytes, 16..32);
    let most = 2 * per_second as usize;
    assert!(
        (most - one..most + one).contains(&n_bytes),
        "{n_bytes} of {most}"
    );
}

#[test]
fn r_limit_29_what_is_over_the_budget_is_told_later_unless_it_has_left() {
    let mut star = Star::open();
    let readers = crowd(&mut star, 250);
    star.advance(10 * INTERVAL);
    let mut evil = Vec::new();
    let mut told = Vec::new();
    for host in 0..8 {
        let conn = star.conn_from(66);
        told.extend(star.ask(conn, join(&long(host), "")).1);
        evil.push(conn);
    }
    let n_told = |told: &[Command], host: usize| {
        let readers = readers.iter().copied();
        let has_heard = |conn| announced_to(told, conn).contains(&long(host));
        readers.filter(|conn| has_heard(*conn)).count()
    };
    assert_eq!(n_told(&told, 7), 0, "nothing was left for it");
    star.disconnect(evil[7]);
    told.extend(star.advance(INTERVAL));
    let n_told: Vec<_> = (0..8).map(|host| n_told(&told, host)).collect();
    assert_eq!(n_told, [250, 250, 250, 250, 250, 250, 250, 0]);
}

#[test]
fn r_peer_3_long_addresses_are_told_more_slowly() {
    let mut star = Star::open();
    for host in 0..200 {
        let conn = star.conn();
        star.ask(conn, join(&long(host), ""));
    }
    let reader = star.joined(1);
    star.advance(INTERVAL);
    let mut heard = BTreeSet::new();
    for _ in 0..20 {
        let told = star.advance(INTERVAL);
        let now = announced_to(&told, reader);
        let n_bytes: usize = now.iter().map(String::len).sum();
        let most = quota::ANNOUNCE_BUDGET / 200 * quota::ANNOUNCEMENT_BYTES;
        assert!(n_bytes <= most + 1024, "{n_bytes} of {most}");
        heard.extend(now);
    }
    assert_eq!(heard.len(), 200);
}

#[test]
fn r_peer_6_nobody_is_told_of_its_own_addresses() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.joined(2));
    let (_, commands) = star.ask(a, join(&address_at(444, 1), ""));
    assert_eq!(announced_to(&commands, a), [""; 0]);
    assert_eq!(announced_to(&commands, b), [address_at(444, 1)]);
    let told = star.advance(3 * INTERVAL);
    assert_eq!(announced_to(&told, a), vec![address(2); 3]);
    assert_eq!(
        star.reply_to(a, join(&anonymous(1), "")),
        legacy::Reply::Joined(vec![address(2)])
    );
}

#[test]
fn r_peer_7_everyone_reads_the_spelling_that_it_writes() {
    let mut star = Star::open();
    let p2p = |peer| address(peer).replace("/ipfs/", "/p2p/");
    let old = star.joined(1);
    let new = star.conn();
    assert_eq!(
        star.reply_to(new, join(&p2p(2), "")),
        legacy::Reply::Joined(vec![p2p(1)])
    );
    let third = star.conn();
    let (_, commands) = star.ask(third, join(&address(3), ""));
    assert_eq!(announced_to(&commands, old), [address(3)]);
    assert_eq!(announced_to(&commands, new), [p2p(3)]);
    let told = star.advance(INTERVAL);
    assert_eq!(announced_to(&told, old), [address(2), address(3)]);
    assert_eq!(announced_to(&told, new), [p2p(1), p2p(3)]);

    let (_, commands) = star.ask(old, dial(&address(1), &address(2), "d"));
    let Some((_, _, legacy::Event::Incoming { from, .. })) = asked(&commands) else {
        panic!("nobody is asked")
    };
    assert_eq!(from, p2p(1));
}

#[test]
fn a_peer_that_takes_nothing_is_told_nothing_more() {
    let mut star = Star::open();
    let (a, _) = (star.joined(1), star.joined(2));
    star.stop_reading(a);
    let told = star.advance(1000 * INTERVAL);
    assert_eq!(announced_to(&told, a).len(), quota::WINDOW_PACKETS);
    star.read_on(a);
    assert_eq!(announced_to(&star.advance(INTERVAL), a).len(), 1);
}

#[test]
fn deadlines_do_not_pile_up_while_a_peer_comes_and_goes() {
    let mut star = Star::open();
    let a = star.joined(1);
    star.joined(2);
    for _ in 0..200 {
        star.tell(a, leave(&address(1)));
        star.advance(SECOND);
        star.ask(a, join(&address(1), ""));
        assert!(star.broker.deadlines.len() <= 2);
    }
    let told = star.advance(INTERVAL);
    assert_eq!(announced_to(&told, a).len(), 1);
    star.tell(a, leave(&address(1)));
    star.advance(INTERVAL);
    assert_eq!(star.broker.deadlines.len(), 1);
}

#[test]
fn r_peer_8_nobody_is_told_of_what_original_peers_cannot_read() {
    let mut star = Star::open();
    let (a, b) = (star.joined(1), star.conn());
    let relayed = format!("{}/p2p-circuit", address(2));
    let (_, commands) = star.ask(b, join(&relayed, ""));
    assert_eq!(announced_to(&commands, a), [""; 0]);
    assert_eq!(announced_to(&star.advance(3 * INTERVAL), a), [""; 0]);
    let c = star.conn();
    let (ack, commands) = star.ask(c, join(&address(3), ""));
    let listed = reply(c, ack, legacy::Reply::Joined(vec![address(1)]));
    let told = [
        peer_event(a, &address(3)),
        peer_event(b, &address(3)),
        listed,
    ];
    assert_eq!(commands, told, "it hears of the others all the same");
    let told = star.advance(INTERVAL);
    assert_eq!(announced_to(&told, b), [address(3), address(1)]);
    assert_eq!(
        asked(&star.ask(a, dial(&address(1), &relayed, "d")).1).map(|a| a.0),
        Some(b)
    );
}
