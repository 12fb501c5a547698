//! Who is here, as peers hear of it when connections break.

use std::time::{Duration, Instant};

use serde_json::json;
use starpoint_hostile_tests::{
    native::{NativePeer, assert_serves_natively, new_token},
    new_identity,
};
use starpoint_test_support::{Engine, Packet, Star, code_of};

/// Waits until a reader has heard of a peer; returns the number of that batch.
async fn hear_of(reader: &mut NativePeer, id: &str) -> u64 {
    loop {
        let batch = reader.expect_batch().await;
        if batch.joined.iter().any(|joined| joined == id) {
            return batch.seq;
        }
    }
}

/// Waits until the star knows that a peer's connection is broken.
async fn expect_away(reader: &mut NativePeer, id: &str) {
    let token = new_token();
    let dial = reader.client.start_star_dial(id, &token).await;
    // If the star still thinks it here, the dial ends with the connection.
    let reply = reader.client.expect_ack(dial).await;
    assert_eq!(code_of(&reply), "peer-gone");
}

#[tokio::test]
async fn r_pres_6_a_peer_that_was_killed_has_left_when_the_grace_is_over() {
    let mut star = Star::with_args(["--grace", "300ms"]);
    let mut reader = NativePeer::join(&star).await;
    let lost = NativePeer::join(&star).await;
    let id = lost.id();
    let seq = hear_of(&mut reader, &id).await;
    let begun = Instant::now();
    lost.client.abort();
    let batch = reader.expect_batch().await;
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!((batch.seq, batch.joined), (seq + 1, vec![]));
    assert_eq!(batch.left, [id]);
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_pres_6_a_peer_that_comes_back_in_time_has_never_left() {
    let mut star = Star::with_args([]);
    let mut reader = NativePeer::join(&star).await;
    for engine in [Engine::V3, Engine::V4] {
        let lost = NativePeer::join_as(&star, engine, new_identity()).await;
        assert!(!lost.is_resumed);
        let id = lost.id();
        let seq = hear_of(&mut reader, &id).await;
        let identity = lost.identity.clone();
        lost.client.abort();
        expect_away(&mut reader, &id).await;
        let back = NativePeer::join_as(&star, engine, identity).await;
        assert!(back.is_resumed);
        // Whatever the star had to say of it would come before or with this.
        let next = NativePeer::join(&star).await;
        let batch = reader.expect_batch().await;
        assert_eq!((batch.seq, batch.left), (seq + 1, vec![]));
        assert_eq!(batch.joined, [next.id()]);
        back.client.disconnect().await;
        next.client.disconnect().await;
    }
    assert_serves_natively(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_pres_1_nothing_is_said_while_nobody_comes_or_goes() {
    let mut star = Star::with_args([]);
    let mut reader = NativePeer::join(&star).await;
    let mut other = NativePeer::join(&star).await;
    hear_of(&mut reader, &other.id()).await;
    other
        .client
        .call("star-peers", json!([{"ns": "default"}]))
        .await;
    reader.client.take_all().await;
    // Many times the shortest time between two batches.
    let quiet = tokio::time::sleep(Duration::from_millis(1_500));
    reader.client.idle_during(quiet).await;
    let is_presence =
        |packet: &Packet| matches!(packet, Packet::Event(event) if event.name == "star-presence");
    let said = reader.client.take_all().await;
    assert!(!said.iter().any(is_presence), "{said:?}");
    other.client.call("star-leave", json!([])).await;
    let batch = reader.expect_batch().await;
    assert_eq!(batch.left, [other.id()]);
    assert_serves_natively(&mut star).await;
    star.stop().await;
}
