//! Announcements cost what they may, and everyone hears of everyone.

use std::{collections::BTreeSet, time::Duration};

use starpoint_broker::{Challenge, quota};
use starpoint_sim_tests::{Plan, World};
use starpoint_wire::limits::ANNOUNCE_INTERVAL;

/// Joins so many peers, each with its own identity, and lets them settle.
fn idle(peers: usize) -> World {
    let plan = Plan {
        challenge: Challenge::Off,
        clients: peers,
        identities: 0,
        one_stopped_of: 0,
        chunk_bytes: 0,
        pause: Duration::ZERO,
    };
    let mut world = World::new(1, plan);
    for number in 0..peers {
        world.arrive_as(number);
        // They come over an interval, as they would.
        world.advance(ANNOUNCE_INTERVAL / u32::try_from(peers).expect("a small number"));
    }
    world.advance(2 * ANNOUNCE_INTERVAL);
    world
}

fn share(peers: usize) -> usize {
    (quota::ANNOUNCE_BUDGET / peers).clamp(quota::MIN_ANNOUNCEMENTS, quota::MAX_ANNOUNCEMENTS)
}

/// Returns how many announcements an interval makes.
fn per_interval(world: &mut World) -> usize {
    let before = world.counters().announcements;
    world.advance(ANNOUNCE_INTERVAL);
    usize::try_from(world.counters().announcements - before).expect("a small number")
}

/// Returns how many others each has heard of since the last time.
fn heard_of(world: &mut World) -> BTreeSet<usize> {
    let heard = std::mem::take(&mut world.heard);
    let different = |addresses: &Vec<String>| addresses.iter().collect::<BTreeSet<_>>().len();
    heard.values().map(different).collect()
}

#[test]
fn in_a_small_star_everybody_hears_of_everybody_each_interval() {
    for peers in [50, 100] {
        let mut world = idle(peers);
        assert_eq!(per_interval(&mut world), peers * (peers - 1));
    }
}

#[test]
fn a_thousand_peers_all_hear_of_all() {
    let peers = 1_000;
    let mut world = idle(peers);
    world.keeps_heard = true;
    let intervals = (peers - 1).div_ceil(share(peers));
    for _ in 0..2 * intervals {
        let budget = peers * share(peers);
        assert!(budget <= quota::ANNOUNCE_BUDGET);
        assert_eq!(per_interval(&mut world), budget);
    }
    assert_eq!(
        heard_of(&mut world),
        [peers - 1].into(),
        "whatever was told before"
    );
    for _ in 0..intervals {
        world.advance(ANNOUNCE_INTERVAL);
    }
    assert_eq!(
        heard_of(&mut world),
        [peers - 1].into(),
        "as nobody has come"
    );
}

#[test]
fn ten_thousand_peers_hear_of_others_in_turn() {
    let peers = 10_000;
    let mut world = idle(peers);
    world.keeps_heard = true;
    let intervals = 3;
    for _ in 0..intervals {
        assert_eq!(per_interval(&mut world), peers * quota::MIN_ANNOUNCEMENTS);
    }
    let all = intervals * quota::MIN_ANNOUNCEMENTS;
    assert_eq!(heard_of(&mut world), [all].into(), "none twice");
}
