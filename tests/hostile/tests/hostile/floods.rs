//! More of everything than anybody needs.

use std::time::Duration;

use serde_json::{Value, json};
use starpoint_hostile_tests::{
    Peer, assert_memory_returns, assert_still_serves, assert_talk, new_identity, refusal,
};
use starpoint_test_support::{Client, Engine, Packet, Star};
use tokio::task::JoinSet;

/// Calls that are sent before their answers are read.
const BATCH: usize = 200;

/// How far memory may rise while a flood is on, in bytes.
const MAX_GROWTH_BYTES: u64 = 32 * 1024 * 1024;

/// Makes calls, a batch at a time; returns the answers in order.
async fn call_all(client: &mut Client, name: &str, calls: Vec<Value>) -> Vec<Value> {
    let mut replies = Vec::new();
    for batch in calls.chunks(BATCH) {
        let mut ack_ids = Vec::new();
        for args in batch {
            ack_ids.push(client.start_call(name, args.clone()).await);
        }
        for ack_id in ack_ids {
            replies.push(client.expect_ack(ack_id).await);
        }
    }
    replies
}

#[tokio::test]
async fn a_flood_of_joins_from_one_socket_is_answered_and_bounded() {
    let mut star = Star::with_args(["--no-challenge"]);
    let mut neighbor = Peer::join(&star).await;
    let mut client = Client::connect(star.port(), Engine::V3).await;
    let addresses: Vec<_> = (0..2_000)
        .map(|_| new_identity().address(star.port()))
        .collect();
    let calls = addresses
        .iter()
        .map(|address| json!([address, ""]))
        .collect();
    let mut n_joined = 0;
    for reply in call_all(&mut client, "ss-join", calls).await {
        if reply[0].is_null() {
            n_joined += 1;
        } else {
            let text = refusal(&reply);
            assert!(
                ["Too many addresses", "Too many requests"].contains(&text),
                "{text}"
            );
        }
    }
    assert!(
        (1..=16).contains(&n_joined),
        "{n_joined} addresses on one socket"
    );
    // The original drops what asks for no answer; so do we, however much it is.
    for address in addresses.iter().cycle().take(20_000) {
        client.emit("ss-join", [address.as_str(), ""]).await;
    }
    client.disconnect().await;

    let mut other = Peer::join(&star).await;
    assert_talk(&mut other, &mut neighbor, "undisturbed").await;
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_flood_of_dials_is_answered_and_bounded() {
    let mut star = Star::with_args(["--no-challenge"]);
    let mut dialer = Peer::join(&star).await;
    let mut silent = Peer::join_with(&star, Engine::V4).await;
    let absent = new_identity().address(star.port());
    let to_nobody = (0..3_000)
        .map(|n| json!([dialer.address, absent, format!("{n}")]))
        .collect();
    for reply in call_all(&mut dialer.client, "ss-dial", to_nobody).await {
        let text = refusal(&reply);
        assert!(
            ["Peer not found", "Too many requests"].contains(&text),
            "{text}"
        );
    }
    let mut flooder = Peer::join(&star).await;
    let to_silent = (0..3_000).map(|n| json!([flooder.address, silent.address, format!("{n}")]));
    let to_silent = to_silent.collect();
    for reply in call_all(&mut flooder.client, "ss-dial", to_silent).await {
        let text = refusal(&reply);
        let expected = ["Dial timed out", "Too many requests", "Too many dials"];
        assert!(expected.contains(&text), "{text}");
    }
    // The silent one is not the one to blame, and can be dialed again.
    flooder.client.disconnect().await;
    silent.client.take_all().await;
    let mut other = Peer::join(&star).await;
    assert_talk(&mut other, &mut silent, "after the flood").await;
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn thousands_of_joins_and_silent_dials_from_many_sockets_leave_nothing_behind() {
    let mut star = Star::with_args(["--no-challenge"]);
    let silent = Peer::join(&star).await;
    join_and_vanish(&star, &silent.address, 300).await;
    let baseline = star.rss_bytes();
    for _ in 0..4 {
        join_and_vanish(&star, &silent.address, 500).await;
    }
    silent.client.abort();
    assert_memory_returns(&star, baseline).await;
    assert_still_serves(&mut star).await;
    star.stop().await;
}

/// Joins from many sockets that are open at once, dials from each, and cuts all.
async fn join_and_vanish(star: &Star, callee: &str, n_sockets: usize) {
    let port = star.port();
    let mut joins = JoinSet::new();
    for number in 0..n_sockets {
        let engine = if number % 2 == 0 {
            Engine::V3
        } else {
            Engine::V4
        };
        joins.spawn(async move {
            let client = Client::connect(port, engine).await;
            Peer::join_as(client, &new_identity()).await
        });
    }
    let mut peers = joins.join_all().await;
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.start_dial(callee, &format!("{number}")).await;
    }
    for peer in peers {
        peer.client.abort();
    }
}

#[tokio::test]
async fn thousands_of_meaningless_events_and_frames_are_swallowed() {
    let mut star = Star::with_args([]);
    for engine in [Engine::V3, Engine::V4] {
        let mut peer = Peer::join_with(&star, engine).await;
        for number in 0..20_000 {
            peer.client
                .emit(&format!("unknown {number}"), json!([number]))
                .await;
        }
        for _ in 0..20_000 {
            peer.client
                .emit("socket.io-pull-stream.accept.nobody.dialer", json!([]))
                .await;
        }
        assert_eq!(
            peer.client.call("ss-leave", [peer.address.as_str()]).await,
            json!([])
        );
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

/// Asks and asks, and never reads an answer.
#[tokio::test]
async fn a_caller_that_reads_no_answers_makes_nothing_grow() {
    let mut star = Star::with_args([]);
    let mut neighbor = Peer::join(&star).await;
    let mut client = Client::connect(star.port(), Engine::V3).await;
    let baseline = star.rss_bytes();
    let mut n_calls = 0_u32;
    loop {
        let call = client.start_call("ss-join", json!([]));
        let is_sent = tokio::time::timeout(Duration::from_secs(2), call)
            .await
            .is_ok();
        n_calls += 1;
        if n_calls.is_multiple_of(1_000) {
            let growth = star.rss_bytes().saturating_sub(baseline);
            assert!(
                growth < MAX_GROWTH_BYTES,
                "{growth} bytes more after {n_calls} calls"
            );
        }
        // Blocked: the star has stopped to read. Or it takes them all.
        if !is_sent || n_calls == 300_000 {
            break;
        }
    }
    eprintln!("{n_calls} calls were taken");
    let growth = star.rss_bytes().saturating_sub(baseline);
    assert!(
        growth < MAX_GROWTH_BYTES,
        "{growth} bytes more after {n_calls} calls"
    );
    let mut other = Peer::join(&star).await;
    assert_talk(&mut other, &mut neighbor, "undisturbed").await;
    client.abort();
    let heard = neighbor.client.take_all().await;
    assert!(
        !heard.iter().any(|p| matches!(p, Packet::Disconnect)),
        "{heard:?}"
    );
    assert_still_serves(&mut star).await;
    star.stop().await;
}
