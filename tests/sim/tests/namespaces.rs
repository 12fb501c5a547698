//! Whatever happens on the way, members of a namespace come to know who is in it.

use std::time::Duration;

use starpoint_broker::{Ending, quota};
use starpoint_sim_tests::{
    client::Pace,
    native::{NativePlan, NativeWorld},
    with_seeds,
};
use starpoint_wire::native::BATCH_CHANGES;

fn small() -> NativePlan {
    NativePlan {
        members: 30,
        identities: 40,
        namespaces: 3,
        one_stopped_of: 0,
        pause: Duration::from_millis(100),
    }
}

/// Lets things happen, then come to rest, and again.
fn play(seed: u64, plan: NativePlan, steps: usize) -> NativeWorld {
    let mut world = NativeWorld::new(seed, plan);
    for _ in 0..2 {
        for _ in 0..steps {
            world.step();
        }
        world.come_to_rest();
    }
    world
}

#[test]
fn r_pres_9_members_know_who_is_here_whatever_was_lost_on_the_way() {
    with_seeds(&[1, 2, 3], |seed| {
        let mut world = play(seed, small(), 600);
        assert!(world.n_resumed > 20, "{}", world.n_resumed);
        assert!(world.counters().takeovers > 20, "{:?}", world.counters());
        world.leave_all();
    });
}

#[test]
fn r_pres_4_who_comes_and_goes_between_two_batches_is_no_ghost() {
    with_seeds(&[10, 11], |seed| {
        let plan = NativePlan {
            members: 12,
            identities: 300,
            namespaces: 1,
            pause: Duration::from_millis(8),
            ..small()
        };
        // Those who would have a ghost do not stay for long.
        let mut world = NativeWorld::new(seed, plan);
        for _ in 0..25 {
            for _ in 0..60 {
                world.step();
            }
            world.come_to_rest();
        }
        world.leave_all();
    });
}

#[test]
fn r_pres_6_few_identities_that_come_back_all_the_time() {
    with_seeds(&[4, 5], |seed| {
        let plan = NativePlan {
            members: 12,
            identities: 10,
            namespaces: 1,
            pause: Duration::from_millis(800),
            ..small()
        };
        let mut world = play(seed, plan, 500);
        assert!(world.n_resumed > 20, "{}", world.n_resumed);
        world.leave_all();
    });
}

#[test]
fn r_pres_7_members_that_stop_reading_are_told_and_ask_anew() {
    with_seeds(&[6, 7], |seed| {
        let plan = NativePlan {
            members: 100,
            identities: 600,
            namespaces: 1,
            one_stopped_of: 2,
            pause: Duration::from_millis(300),
        };
        let mut world = play(seed, plan, 1_000);
        assert!(world.n_lost > 5, "{}", world.n_lost);
        world.leave_all();
    });
}

#[test]
fn r_pres_2_a_namespace_of_many_pages_is_known_whole_while_it_changes() {
    with_seeds(&[8], |seed| {
        let n_peers = 800;
        let plan = NativePlan {
            members: n_peers,
            identities: u16::try_from(n_peers).expect("a small number"),
            namespaces: 1,
            one_stopped_of: 0,
            pause: Duration::from_millis(50),
        };
        let mut world = NativeWorld::new(seed, plan);
        let namespace = world.namespace(0);
        for identity in 0..n_peers {
            world.arrive_as(identity, vec![namespace.clone()], Pace::Fast);
            if identity % 100 == 99 {
                world.run(Duration::from_millis(100));
            }
        }
        world.run(Duration::from_secs(1));
        for _ in 0..40 {
            world.step();
        }
        world.come_to_rest();
        world.leave_all();
    });
}

#[test]
fn r_pres_4_a_storm_of_thousands_costs_each_member_few_batches() {
    let n_peers = 2_500;
    let plan = NativePlan {
        members: n_peers,
        identities: u16::try_from(n_peers).expect("a small number"),
        namespaces: 1,
        one_stopped_of: 0,
        pause: Duration::ZERO,
    };
    let mut world = NativeWorld::new(9, plan);
    let namespace = vec![world.namespace(0)];
    let readers: Vec<_> = (0..20)
        .map(|identity| world.arrive_as(identity, namespace.clone(), Pace::Fast))
        .collect();
    world.run(Duration::from_secs(1));
    let n_read = |world: &NativeWorld| -> Vec<usize> {
        let members = readers.iter().map(|conn| world.member(*conn));
        members.map(|member| member.n_batches).collect()
    };
    // All at once.
    let before = n_read(&world);
    let crowd: Vec<_> = (20..n_peers)
        .map(|identity| world.arrive_as(identity, namespace.clone(), Pace::Fast))
        .collect();
    world.run(2 * quota::MAX_BATCH_INTERVAL);
    // The first may go out alone, before the others have been heard.
    let bound = n_peers.div_ceil(BATCH_CHANGES) + 1;
    for (now, before) in n_read(&world).into_iter().zip(&before) {
        assert!(now - before <= bound, "{} batches", now - before);
    }
    // All of them go and come again, over seconds.
    let before = n_read(&world);
    for conn in crowd {
        world.end_as(conn, Ending::Silent);
        if conn.0 % 300 == 0 {
            world.run(Duration::from_millis(200));
        }
    }
    world.run(2 * quota::MAX_BATCH_INTERVAL);
    let n_intervals = 12_000 / quota::MIN_BATCH_INTERVAL.as_millis();
    let bound = usize::try_from(n_intervals).expect("a small number") + bound;
    for (now, before) in n_read(&world).into_iter().zip(&before) {
        assert!(now - before <= bound, "{} batches", now - before);
    }
    world.come_to_rest();
    world.leave_all();
}
