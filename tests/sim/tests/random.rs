//! Clients that do what comes to their minds, and a model that knows what should
//! come of it.

use std::time::Duration;

use starpoint_broker::Challenge;
use starpoint_sim_tests::{Plan, World, with_seeds};
use starpoint_wire::Cut;

/// Lets things happen, then come to rest, then everybody go.
fn play(seed: u64, plan: Plan, steps: usize) -> World {
    let mut world = World::new(seed, plan);
    for step in 0..steps {
        world.step();
        if step % 50 == 0 {
            world.check();
        }
    }
    world.come_to_rest();
    world
}

fn small() -> Plan {
    Plan {
        challenge: Challenge::Off,
        clients: 40,
        identities: 30,
        one_stopped_of: 0,
        chunk_bytes: 40 * 1024,
        pause: Duration::from_millis(100),
    }
}

#[test]
fn a_small_star_where_everybody_reads() {
    with_seeds(&[1, 2, 3], |seed| {
        let mut world = play(seed, small(), 3_000);
        let counters = world.counters();
        assert!(counters.dials_succeeded > 20, "{counters:?}");
        assert!(
            counters.pauses > 0 && counters.takeovers > 0,
            "{counters:?}"
        );
        assert!(counters.bytes_relayed > 1_000_000, "{counters:?}");
        world.leave_all();
    });
}

#[test]
fn a_small_star_where_some_stop_reading() {
    with_seeds(&[4, 5, 6], |seed| {
        let plan = Plan {
            one_stopped_of: 5,
            pause: Duration::from_millis(800),
            ..small()
        };
        let mut world = play(seed, plan, 3_000);
        assert!(world.counters().cuts[&Cut::ReaderStalled] > 0);
        world.leave_all();
    });
}

#[test]
fn a_star_that_challenges() {
    with_seeds(&[7, 8], |seed| {
        let plan = Plan {
            challenge: Challenge::Required,
            clients: 20,
            identities: 15,
            pause: Duration::from_millis(300),
            ..small()
        };
        let mut world = play(seed, plan, 3_000);
        let counters = world.counters();
        assert!(counters.joins_succeeded > 20, "{counters:?}");
        assert!(
            counters.joins_failed > 5 && counters.takeovers > 0,
            "{counters:?}"
        );
        world.leave_all();
    });
}

#[test]
fn thousands_of_peers() {
    with_seeds(&[9], |seed| {
        let plan = Plan {
            clients: 2_000,
            identities: 1_900,
            pause: Duration::from_millis(20),
            ..small()
        };
        let mut world = World::new(seed, plan);
        for _ in 0..2_000 {
            world.arrive();
        }
        for _ in 0..2_000 {
            world.step();
        }
        world.check();
        assert!(world.counters().dials_succeeded > 20);
        world.leave_all();
    });
}
