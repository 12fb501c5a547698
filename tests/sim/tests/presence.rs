//! Announcements cost what they may, and everyone hears of everyone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

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

#[test]
fn announcements_grow_with_the_peers_and_not_with_their_square() {
    for peers in [50, 100] {
        assert_eq!(per_interval(&mut idle(peers)), peers * (peers - 1), "as of old");
    }
    for peers in [300, 1_000] {
        assert_eq!(per_interval(&mut idle(peers)), peers * share(peers));
        assert!(peers * share(peers) <= quota::ANNOUNCE_BUDGET);
    }
}

#[test]
fn a_thousand_peers_all_hear_of_all() {
    let peers = 1_000;
    let mut world = idle(peers);
    world.keeps_heard = true;
    let intervals = (peers - 1).div_ceil(share(peers));
    for _ in 0..intervals {
        world.advance(ANNOUNCE_INTERVAL);
        for (conn, heard) in &world.heard {
            assert!(heard.len() <= intervals * share(peers), "{conn:?}");
        }
    }
    assert_eq!(world.heard.len(), peers);
    for (conn, heard) in &world.heard {
        let different: BTreeSet<_> = heard.iter().collect();
        assert_eq!(different.len(), peers - 1, "{conn:?}");
    }
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
    let mut told_of = BTreeMap::<&str, usize>::new();
    for (conn, heard) in &world.heard {
        let different: BTreeSet<_> = heard.iter().collect();
        assert_eq!(different.len(), intervals * quota::MIN_ANNOUNCEMENTS, "{conn:?}: none twice");
        for address in heard {
            *told_of.entry(address).or_default() += 1;
        }
    }
    assert!(!told_of.is_empty());
}
