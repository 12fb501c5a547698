//! What a transport costs that does nothing. A process of its own, because it
//! looks at the whole process.

use std::time::Duration;

use libp2p::{
    Transport as _,
    core::transport::{ListenerId, TransportEvent},
    futures::future::poll_fn,
    identity::Keypair,
};
use libp2p_websocket_star::{self as websocket_star, Config};
use starpoint_test_support::{Star, within};

/// Processor time of this process, in clock ticks of 10 ms.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
    let fields: Vec<_> = fields.split_whitespace().collect();
    // User and system time are fields 14 and 15, the state being the third.
    [11, 12]
        .iter()
        .map(|i| fields[*i].parse::<u64>().expect("times are numbers"))
        .sum()
}

#[tokio::test(flavor = "current_thread")]
async fn r_trans_24_an_idle_home_costs_no_processor_time() {
    let star = tokio::task::spawn_blocking(|| Star::with_args([]))
        .await
        .unwrap();
    let (mut transport, _behaviour) =
        websocket_star::new(Config::default(), Keypair::generate_ed25519());
    let address = format!("/ip4/127.0.0.1/tcp/{}/ws/p2p-websocket-star", star.port());
    transport
        .listen_on(ListenerId::next(), address.parse().unwrap())
        .unwrap();
    let mut n_polls = 0;
    let live = poll_fn(|cx| std::pin::Pin::new(&mut transport).poll(cx));
    let event = within("home", live).await;
    assert!(matches!(event, TransportEvent::NewAddress { .. }));
    let before = cpu_ticks();
    let idle = poll_fn(|cx| {
        n_polls += 1;
        std::pin::Pin::new(&mut transport).poll(cx)
    });
    let nothing = tokio::time::timeout(Duration::from_secs(2), idle).await;
    assert!(nothing.is_err(), "nothing happens");
    let ticks = cpu_ticks() - before;
    assert!(ticks <= 20, "{ticks} ticks of 200");
    assert!(n_polls <= 50, "polled {n_polls} times");
    star.stop().await;
}
