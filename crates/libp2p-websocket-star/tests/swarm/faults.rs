//! Stars that fail, and homes that come back.

use std::time::Duration;

use libp2p::{
    futures::{AsyncReadExt as _, AsyncWriteExt as _},
    identity::Keypair,
    swarm::SwarmEvent,
};
use libp2p_websocket_star::{Config, Error, Event as StarEvent};
use starpoint_test_support::{Signal, Star, StarOptions, within};

use crate::{
    node::{News, Node, connected},
    peer::{
        BehaviourEvent, Event, Peer, config, peer_address, profiles, star, star_address, star_with,
    },
};

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

async fn star_at(port: u16) -> Star {
    star_with(StarOptions {
        port: Some(port),
        ..StarOptions::default()
    })
    .await
}

async fn kill(mut star: Star) -> u16 {
    star.signal(Signal::Kill);
    star.wait().await;
    star.port()
}

fn star_event(event: &Event) -> Option<&StarEvent> {
    match event {
        SwarmEvent::Behaviour(BehaviourEvent::Star(event)) => Some(event),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_3_a_home_that_is_down_at_start_comes_up_by_itself() {
    let port = free_port();
    let mut peer = Peer::new();
    peer.swarm.listen_on(star_address(port)).unwrap();
    peer.until("an error of the listener", |event| {
        matches!(event, SwarmEvent::ListenerError { error, .. }
            if matches!(Error::find(error), Some(Error::StarUnreachable(_))))
        .then_some(())
    })
    .await;
    peer.until("the loss is told", |event| match star_event(event) {
        Some(StarEvent::HomeLost { retry_in, .. }) => retry_in.map(|_| ()),
        _ => None,
    })
    .await;
    let star = peer.during(star_at(port)).await;
    peer.until_live(port).await;
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_18_a_star_killed_in_mid_transfer_comes_back() {
    for config in profiles() {
        let star = star().await;
        let port = star.port();
        let (dialer, mut there, mut listener, mut here) = connected(port, &config).await;
        let own = peer_address(port, listener.id);
        let writer = tokio::spawn(async move {
            let chunk = vec![7; 64 * 1024];
            loop {
                if let Err(error) = there.write_all(&chunk).await {
                    return error;
                }
            }
        });
        let mut start = vec![0; 1024 * 1024];
        within("a start", here.read_exact(&mut start))
            .await
            .unwrap();
        kill(star).await;
        within("end of the writer", writer).await.unwrap();
        let mut rest = Vec::new();
        let end = within("end of the reader", here.read_to_end(&mut rest)).await;
        assert!(end.is_err(), "{} bytes and a clean end", rest.len());
        listener.until(&News::AddressExpired(own.clone())).await;
        let star = star_at(port).await;
        listener.until(&News::NewAddress(own.clone())).await;
        let mut there = dialer.dial(own).await.expect("the next dial works");
        there.write_all(b"again").await.unwrap();
        there.close().await.unwrap();
        let mut again = Vec::new();
        let mut here = listener.accept().await;
        within("bytes", here.read_to_end(&mut again)).await.unwrap();
        assert_eq!(again, b"again");
        star.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_2_of_two_homes_one_may_be_lost() {
    // Both have the key of this machine: one star by two names, and it says so.
    let named = || star_with(StarOptions::args(["--host", "127.0.0.1"]));
    let (first, second) = tokio::join!(named(), named());
    let ports = (first.port(), second.port());
    let mut peer = Peer::at(ports.0).await;
    peer.listen(ports.1).await;
    let own = [ports.0, ports.1].map(|port| peer_address(port, peer.id()));
    peer.until_holds("both are external addresses", |peer| {
        own.iter()
            .all(|a| peer.swarm.external_addresses().any(|b| a == b))
    })
    .await;
    let friend = Peer::at(ports.0).await;
    let friend_id = friend.id();
    let friend = friend.spawn();
    peer.until_holds("the friend is known", |peer| {
        peer.swarm
            .behaviour()
            .star
            .peers()
            .any(|(id, _)| id == friend_id)
    })
    .await;
    peer.during(kill(first)).await;
    peer.until_holds("the friend is gone with the home", |peer| {
        peer.swarm.behaviour().star.peers().count() == 0
            && peer.swarm.listeners().count() == 1
            && peer.swarm.external_addresses().count() == 1
    })
    .await;
    let listeners: Vec<_> = peer.swarm.listeners().cloned().collect();
    assert_eq!(listeners, [own[1].clone()]);
    let external: Vec<_> = peer.swarm.external_addresses().cloned().collect();
    assert_eq!(external, [own[1].clone()]);
    drop(friend);
    let peer = peer.spawn();
    let mut late = Peer::at(ports.1).await;
    assert_eq!(late.dial(own[1].clone()).await.unwrap(), peer.id);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_12_a_peer_that_goes_away_has_left() {
    let star = star_with(StarOptions::args(["--announce-interval", "100ms"])).await;
    let quick = Config {
        announce_interval: Duration::from_millis(100),
        ..config()
    };
    let mut peer = Peer::with(quick, Keypair::generate_ed25519());
    peer.listen(star.port()).await;
    let friend = Peer::at(star.port()).await;
    let friend_id = friend.id();
    let friend = friend.spawn();
    peer.until("the friend joins", |event| match star_event(event) {
        Some(StarEvent::PeerJoined { peer, .. }) if *peer == friend_id => Some(()),
        _ => None,
    })
    .await;
    drop(friend);
    peer.until("the friend leaves", |event| match star_event(event) {
        Some(StarEvent::PeerLeft { peer, .. }) if *peer == friend_id => Some(()),
        _ => None,
    })
    .await;
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_7_two_processes_with_one_key_do_not_fight() {
    let star = star().await;
    let keypair = Keypair::generate_ed25519();
    let mut first = Peer::with(config(), keypair.clone());
    first.listen(star.port()).await;
    let mut second = Peer::with(config(), keypair);
    second.listen(star.port()).await;
    let second = second.spawn();
    let retry_in = first
        .until("the takeover is told", |event| match star_event(event) {
            Some(StarEvent::HomeLost {
                reason: Error::TakenOver,
                retry_in,
                ..
            }) => *retry_in,
            _ => None,
        })
        .await;
    assert!(retry_in >= Duration::from_secs(15), "{retry_in:?}");
    let address = peer_address(star.port(), libp2p::PeerId::random());
    let error = first.dial(address).await.unwrap_err();
    let errors = crate::peer::star_errors(&error);
    assert!(matches!(errors[..], [Error::TakenOver]), "{errors:?}");
    let events = second.events.lock().unwrap().join("\n");
    assert!(!events.contains("HomeLost"), "{events}");
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_7_streams_outlive_a_takeover() {
    for config in profiles() {
        let star = star().await;
        let (mut dialer, mut there, _listener, mut here) = connected(star.port(), &config).await;
        let twin = dialer.twin(star.port()).await;
        let own = peer_address(star.port(), dialer.id);
        dialer.until(&News::AddressExpired(own)).await;
        there.write_all(b"still").await.unwrap();
        there.close().await.unwrap();
        let mut still = Vec::new();
        within("bytes", here.read_to_end(&mut still)).await.unwrap();
        assert_eq!(still, b"still");
        twin.stop().await;
        star.stop().await;
    }
}

/// Moves the time of day only where a test has asked for it.
fn jumping_clock() -> std::time::SystemTime {
    use std::sync::atomic::{AtomicU64, Ordering};
    static HOURS: AtomicU64 = AtomicU64::new(0);
    let hours = HOURS.fetch_add(1, Ordering::Relaxed);
    std::time::SystemTime::now() + Duration::from_secs(hours * 3600)
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_8_after_sleep_a_star_that_answers_is_kept_and_a_dead_one_is_left() {
    let star = star().await;
    let sleeper = Config {
        wake_check: Duration::from_millis(100),
        wall_clock: jumping_clock,
        ..config()
    };
    let mut node = Node::at_with(star.port(), sleeper).await;
    // Each look is a sleep of an hour; the star answers each probe.
    let gauges = node.gauges.clone();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(gauges.connections(), 1);
    // Stopped, it neither answers nor closes.
    let pid = star.pid();
    signal(pid, rustix::process::Signal::STOP);
    let expired = News::AddressExpired(peer_address(star.port(), node.id));
    node.until(&expired).await;
    assert_eq!(
        node.next_news().await,
        News::Error(Error::Slept.to_string())
    );
    signal(pid, rustix::process::Signal::CONT);
    node.until(&News::NewAddress(peer_address(star.port(), node.id)))
        .await;
    star.stop().await;
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}
