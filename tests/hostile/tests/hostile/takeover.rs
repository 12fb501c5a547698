//! Two sockets and one address.

use serde_json::json;
use starpoint_hostile_tests::{Peer, assert_still_serves, assert_talk, new_identity, refusal};
use starpoint_test_support::{Client, Engine, Packet, Star};

#[tokio::test]
async fn a_second_socket_with_proof_takes_the_address_and_the_first_is_told() {
    let mut star = Star::with_args([]);
    let identity = new_identity();
    let port = star.port();
    let old = Client::connect(port, Engine::V3).await;
    let mut old = Peer::join_as(old, &identity).await;
    let mut other = Peer::join(&star).await;

    let new = Client::connect(port, Engine::V4).await;
    let mut new = Peer::join_as(new, &identity).await;
    let evicted = old.client.expect_event("ss-evicted").await;
    assert_eq!(evicted.args, [json!(old.address)]);

    let reply = old.dial(&other.address, "old").await;
    assert_eq!(reply, json!(["Not authorized for this address"]));
    refusal(&old.client.call("ss-leave", [old.address.as_str()]).await);
    assert_talk(&mut other, &mut new, "to the new one").await;
    assert_talk(&mut new, &mut other, "from the new one").await;

    // The end of the old socket does not take the address with it.
    old.client.disconnect().await;
    assert_talk(&mut other, &mut new, "still the new one").await;
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn streams_of_the_first_socket_survive_a_takeover() {
    let mut star = Star::with_args([]);
    let identity = new_identity();
    let old = Client::connect(star.port(), Engine::V3).await;
    let mut old = Peer::join_as(old, &identity).await;
    let mut other = Peer::join(&star).await;
    old.connect(&mut other, "x").await;
    let new = Client::connect(star.port(), Engine::V4).await;
    let mut new = Peer::join_as(new, &identity).await;
    old.client.expect_event("ss-evicted").await;

    // The new owner of the address is not a side of the old connection.
    new.client.write("x.dialer", "forged").await;
    new.client.end("x.dialer", json!([true])).await;
    new.client.take_all().await;
    old.client.write("x.dialer", "own").await;
    old.client.end("x.dialer", json!([true])).await;
    let heard = other.client.read_to_end("x.dialer").await;
    assert_eq!(heard, (b"own".to_vec(), json!([true])));
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_socket_without_proof_never_gets_an_address_that_is_in_use() {
    let mut star = Star::with_args([]);
    let identity = new_identity();
    let victim = Client::connect(star.port(), Engine::V3).await;
    let mut victim = Peer::join_as(victim, &identity).await;
    let mut other = Peer::join(&star).await;
    let address = victim.address.clone();
    let other_spelling = address.replace("/ipfs/", "/p2p/");

    let mut thief = Client::connect(star.port(), Engine::V4).await;
    for address in [&address, &other_spelling] {
        refusal(&thief.call("ss-join", [address.as_str(), ""]).await);
        refusal(
            &thief
                .call("ss-join", [address.as_str(), &new_identity().key()])
                .await,
        );
        thief.ask_challenge(&identity, address).await;
        refusal(
            &thief
                .call("ss-join", [address.as_str(), &"00".repeat(64)])
                .await,
        );
        refusal(&thief.call("ss-leave", [address.as_str()]).await);
        let dial = thief
            .call("ss-dial", [address.as_str(), &other.address, "id"])
            .await;
        assert_eq!(refusal(&dial), "Not authorized for this address");
    }

    assert_talk(&mut other, &mut victim, "to the victim").await;
    assert_talk(&mut victim, &mut other, "from the victim").await;
    let heard = victim.client.take_all().await;
    let is_evicted = heard
        .iter()
        .any(|packet| matches!(packet, Packet::Event(event) if event.name == "ss-evicted"));
    assert!(!is_evicted, "{heard:?}");
    assert_still_serves(&mut star).await;
    star.stop().await;
}
