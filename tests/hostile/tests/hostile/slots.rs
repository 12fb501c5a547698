//! Clients that take every place that a star has for peers.

use std::{net::Ipv4Addr, time::Instant};

use serde_json::Value;
use starpoint_hostile_tests::{
    Peer, assert_joined, assert_still_serves, assert_talk, new_identity, refusal,
};
use starpoint_test_support::{Client, Engine, Identity, Profile, Star, StarOptions, http::metric};

const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const THREE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// Peers that a star for 100 lets in from one address, and so often at once.
const SHARE: usize = 64;

fn star() -> Star {
    Star::with_args(["--max-peers", "100"])
}

/// Joins with a key, at an address that no other join has; returns the refusal.
async fn join(star: &Star, identity: &Identity, number: u16) -> (Client, Option<String>) {
    let client = Client::try_connect_from(ONE, star.port(), Engine::V4, Profile::Legacy).await;
    let mut client = client.expect("the star accepts");
    let address = identity.address(number);
    let reply = client
        .call("ss-join", [address.as_str(), &identity.key()])
        .await;
    let Some([Value::Null, Value::String(nonce)]) = reply.as_array().map(Vec::as_slice) else {
        let text = refusal(&reply).to_owned();
        return (client, Some(text));
    };
    let signature = identity.sign(nonce);
    let reply = client.call("ss-join", [address.as_str(), &signature]).await;
    if reply[0].is_null() {
        assert_joined(&reply);
        return (client, None);
    }
    let text = refusal(&reply).to_owned();
    (client, Some(text))
}

async fn assert_others_talk(star: &Star) {
    let mut callee = Peer::join_from(star, TWO).await;
    let mut dialer = Peer::join_from(star, THREE).await;
    assert_talk(&mut dialer, &mut callee, "past a crowd").await;
}

#[tokio::test]
async fn joins_of_one_address_keep_nobody_out() {
    let star = star();
    let mut clients = Vec::new();
    let mut refusals = Vec::new();
    for number in 0..100 {
        let (client, refused) = join(&star, &new_identity(), number).await;
        clients.push(client);
        refusals.extend(refused);
    }
    assert!(refusals.len() >= 100 - SHARE, "{}", refusals.len());
    assert_others_talk(&star).await;
    for client in clients {
        client.disconnect().await;
    }
    star.stop().await;
}

#[tokio::test]
async fn joins_of_one_key_keep_nobody_out() {
    let mut options = StarOptions::args(["--max-peers", "100"]);
    // More than that are let in from anywhere, and may come at once.
    let setting = ("STARPOINT_MAX_PEERS_PER_IP".to_owned(), "400".to_owned());
    options.env.push(setting);
    let mut star = Star::start(&options);
    let identity = new_identity();
    let mut clients = Vec::new();
    for number in 0..100 {
        let (client, refused) = join(&star, &identity, 1_000 + number).await;
        assert_eq!(refused, None);
        clients.push(client);
    }
    assert_eq!(metric(&star, "rendezvous_peers").await, 16);
    assert_others_talk(&star).await;
    for client in clients {
        client.disconnect().await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn eight_connections_do_not_fill_what_a_newcomer_is_told() {
    let mut star = Star::with_args(["--no-challenge"]);
    let honest = Peer::join_from(&star, TWO).await;
    let mut evil = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(star.port(), Engine::V4).await;
        for _ in 0..16 {
            let address = new_identity().address(star.port());
            assert_joined(&client.call("ss-join", [address.as_str(), ""]).await);
        }
        evil.push(client);
    }
    for from in [ONE, THREE] {
        let client = Client::try_connect_from(from, star.port(), Engine::V4, Profile::Legacy);
        let mut client = client.await.expect("the star accepts");
        let address = new_identity().address(star.port());
        let reply = client.call("ss-join", [address.as_str(), ""]).await;
        let listed = reply[2].as_array().expect("a list");
        assert!(listed.contains(&Value::String(honest.address.clone())));
        assert!(listed.len() > 100, "{}", listed.len());
        client.disconnect().await;
    }
    for client in evil {
        client.disconnect().await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn joins_with_long_addresses_cost_others_little() {
    let mut star = Star::with_args(["--no-challenge", "--announce-interval=1h"]);
    let mut readers = Vec::new();
    for _ in 0..60 {
        readers.push(Peer::join_from(&star, TWO).await);
    }
    let before = metric(&star, "starpoint_announcements_total").await;
    let started = Instant::now();
    let mut evil = Vec::new();
    for number in 0..100 {
        let mut client = Client::connect(star.port(), Engine::V4).await;
        let name = format!("{number:03}.").repeat(230);
        let address = format!("/dns4/{name}/tcp/443/wss/p2p-websocket-star");
        assert_joined(&client.call("ss-join", [address.as_str(), ""]).await);
        evil.push(client);
    }
    // An announcement has almost a KiB.
    let most = 140 + 35 * (started.elapsed().as_secs() + 1) + 100;
    let n_told = metric(&star, "starpoint_announcements_total").await - before;
    assert!((100..=most).contains(&n_told), "{n_told} of {most}");
    let mut newcomer = Peer::join_from(&star, THREE).await;
    let reader = &mut readers[0];
    let told = reader.client.expect("news of a peer", |packet| {
        let text = format!("{packet:?}");
        text.contains("ws-peer") && text.contains(&newcomer.address)
    });
    told.await;
    assert_talk(reader, &mut newcomer, "past long names").await;
    for client in evil {
        client.disconnect().await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn reconnecting_gives_no_more_attempts_to_join() {
    let star = star();
    let identity = new_identity();
    let mut n_refused = 0;
    for number in 0..SHARE + 16 {
        let number = u16::try_from(number).expect("few");
        let (client, refused) = join(&star, &identity, number).await;
        client.disconnect().await;
        if let Some(text) = refused {
            assert_eq!(text, "Too many requests");
            n_refused += 1;
        }
    }
    assert!(n_refused > 0);
    assert_others_talk(&star).await;
    star.stop().await;
}
