//! Calls with arguments that no honest peer sends.

use serde_json::{Value, json};
use starpoint_hostile_tests::{Peer, assert_joined, assert_still_serves, new_identity, refusal};
use starpoint_test_support::{Client, Engine, Packet, Star};

/// Calls whose arguments are of the wrong number or type.
fn malformed_calls(address: &str) -> Vec<(&'static str, Value)> {
    let wrong = [
        json!(null),
        json!(1),
        json!(true),
        json!({}),
        json!([]),
        json!({"length": 9}),
    ];
    let mut calls = vec![
        ("ss-join", json!([])),
        ("ss-join", json!([address])),
        ("ss-join", json!([null, null])),
        ("ss-join", json!([1, 2])),
        ("ss-leave", json!([])),
        ("ss-dial", json!([])),
        ("ss-dial", json!([address])),
        ("ss-dial", json!([address, address])),
        ("ss-dial", json!([1, 2, 3])),
    ];
    for wrong in wrong {
        calls.push(("ss-join", json!([wrong, ""])));
        calls.push(("ss-join", json!([address, wrong])));
        calls.push(("ss-leave", json!([wrong])));
        calls.push(("ss-dial", json!([wrong, address, "id"])));
        calls.push(("ss-dial", json!([address, wrong, "id"])));
        calls.push(("ss-dial", json!([address, address, wrong])));
    }
    calls
}

#[tokio::test]
async fn malformed_calls_with_an_acknowledgement_are_refused() {
    let mut star = Star::with_args([]);
    for engine in [Engine::V3, Engine::V4] {
        let mut client = Client::connect(star.port(), engine).await;
        let address = new_identity().address(star.port());
        for (name, args) in malformed_calls(&address) {
            let reply = client.call(name, args.clone()).await;
            assert_eq!(reply, json!(["Invalid arguments"]), "{name} {args}");
        }
        Peer::join_as(client, &new_identity()).await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn malformed_calls_without_an_acknowledgement_are_met_with_silence() {
    let mut star = Star::with_args([]);
    let mut client = Client::connect(star.port(), Engine::V3).await;
    let identity = new_identity();
    let address = identity.address(star.port());
    for (name, args) in malformed_calls(&address) {
        client.emit(name, args).await;
    }
    // Valid but for the acknowledgement that they need.
    client
        .emit("ss-join", [address.as_str(), &identity.key()])
        .await;
    client
        .emit("ss-dial", [address.as_str(), &address, "id"])
        .await;
    assert_eq!(client.take_all().await, []);
    Peer::join_as(client, &identity).await;
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn binary_in_place_of_text_is_a_malformed_call() {
    let mut star = Star::with_args([]);
    for engine in [Engine::V3, Engine::V4] {
        let mut client = Client::connect(star.port(), engine).await;
        let placeholder = json!({"_placeholder": true, "num": 0});
        let calls = [
            json!(["ss-join", placeholder, ""]),
            json!(["ss-join", "/ip4/127.0.0.1", placeholder]),
            json!(["ss-dial", placeholder, placeholder, placeholder]),
            json!(["ss-leave", placeholder]),
            json!(["ss-join", {"nested": placeholder}, ""]),
        ];
        for (ack_id, call) in (1_000..).zip(calls) {
            client.send_text(format!("451-{ack_id}{call}")).await;
            let bytes = match engine {
                Engine::V3 => vec![4, 1, 2, 3],
                Engine::V4 => vec![1, 2, 3],
            };
            client.try_send_raw_binary(bytes.into()).await.unwrap();
            let reply = client.expect_ack(ack_id).await;
            assert_eq!(reply, json!(["Invalid arguments"]), "{call}");
        }
        Peer::join_as(client, &new_identity()).await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn more_arguments_than_expected_are_ignored() {
    let mut star = Star::with_args(["--no-challenge"]);
    let mut client = Client::connect(star.port(), Engine::V3).await;
    let address = new_identity().address(star.port());
    let reply = client
        .call("ss-join", json!([address, "", 1, {}, [], null, "more"]))
        .await;
    assert_joined(&reply);
    let reply = client
        .call("ss-leave", json!([address, 1, 2, 3, 4, 5, 6]))
        .await;
    assert_eq!(reply, json!([]));
    assert_still_serves(&mut star).await;
    star.stop().await;
}

/// Addresses that mean something to a program and nothing to a star, or that
/// only look like addresses.
const STRANGE: [&str; 24] = [
    "__proto__",
    "/__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "/",
    "",
    " ",
    "/ip4",
    "/ip4/",
    "/ip4/1.2.3",
    "/tcp/99999",
    "/ipfs/",
    "/ipfs/0OIl",
    "/ip4/127.0.0.1/tcp/1/ws/p2p-websocket-star/ipfs/__proto__",
    "/dns4/__proto__/tcp/1/ws/p2p-websocket-star",
    "/dns4/constructor",
    "/ip4/127.0.0.1\u{0}",
    "/dns4/\u{fffd}",
    "/ip4/127.0.0.1/../../../etc/passwd",
    "/unix/../../../../../../../../etc/passwd",
    "//ip4/127.0.0.1//tcp/1",
    "☎",
    "\u{202e}/ip4/127.0.0.1",
];

#[tokio::test]
async fn strange_addresses_are_answered_and_harm_nobody() {
    let mut star = Star::with_args(["--no-challenge"]);
    let mut neighbor = Peer::join(&star).await;
    for address in STRANGE {
        let mut client = Client::connect(star.port(), Engine::V4).await;
        let reply = client.call("ss-join", [address, ""]).await;
        let is_joined = reply.as_array().is_some_and(|args| args.len() == 3);
        if is_joined {
            let reply = client.call("ss-dial", [address, &neighbor.address, "id"]);
            let (reply, dial_id) = tokio::join!(reply, neighbor.client.accept_dial());
            assert_eq!((reply, dial_id.as_str()), (json!([]), "id"), "{address:?}");
        } else {
            assert_eq!(refusal(&reply), "Invalid multiaddr", "{address:?}");
            refusal(
                &client
                    .call("ss-dial", [address, &neighbor.address, "id"])
                    .await,
            );
        }
        refusal(
            &client
                .call("ss-dial", [neighbor.address.as_str(), address, "id"])
                .await,
        );
        let reply = client.call("ss-leave", [address]).await;
        assert!(!is_joined || reply == json!([]), "{address:?}: {reply}");
        client.disconnect().await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn huge_texts_are_refused_and_told_to_nobody() {
    let mut star = Star::with_args(["--no-challenge"]);
    let mut neighbor = Peer::join(&star).await;
    let huge = "a".repeat(500_000);
    let valid = new_identity().address(star.port());
    let addresses = [
        format!("/dns4/{huge}/tcp/1/ws/p2p-websocket-star"),
        format!("/unix/{huge}"),
        "/ip4/127.0.0.1".repeat(20_000),
        huge.clone(),
    ];
    let mut client = Client::connect(star.port(), Engine::V3).await;
    // Before a join, no message is that long (R-LIMIT-21).
    assert_joined(&client.call("ss-join", [valid.as_str(), ""]).await);
    for address in &addresses {
        let reply = client.call("ss-join", [address.as_str(), ""]).await;
        assert_eq!(refusal(&reply), "Invalid multiaddr");
        refusal(&client.call("ss-leave", [address.as_str()]).await);
        refusal(
            &client
                .call("ss-dial", [address.as_str(), &neighbor.address, "id"])
                .await,
        );
        refusal(
            &client
                .call("ss-dial", [valid.as_str(), address, "id"])
                .await,
        );
    }
    let key = "ab".repeat(450_000);
    refusal(&client.call("ss-join", [valid.as_str(), &key]).await);
    assert_joined(&client.call("ss-join", [valid.as_str(), ""]).await);
    let reply = client
        .call("ss-dial", [valid.as_str(), &neighbor.address, &huge])
        .await;
    assert_eq!(refusal(&reply), "Invalid dial id");
    client.emit(&"e".repeat(900_000), json!([])).await;

    let heard = neighbor.client.take_all().await;
    let mut announced = Vec::new();
    for packet in &heard {
        if let Packet::Event(event) = packet {
            announced.push(event.args[0].as_str().expect("an address is text"));
        }
    }
    assert!(
        announced.iter().all(|address| *address == valid),
        "{announced:?}"
    );
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_message_over_the_limit_costs_its_sender_the_connection_and_nobody_else() {
    let mut star = Star::with_args(["--max-message", "65536"]);
    let mut neighbor = Peer::join(&star).await;
    for engine in [Engine::V3, Engine::V4] {
        let mut client = Client::connect(star.port(), engine).await;
        // The star may cut the connection before it has read everything.
        let _ = client
            .try_send_text(format!("42[\"{}\"]", "a".repeat(1 << 20)))
            .await;
        client.expect_closed().await;
        let mut client = Client::connect(star.port(), engine).await;
        let _ = client.try_send_raw_binary(vec![4; 1 << 20].into()).await;
        client.expect_closed().await;
    }
    let mut other = Peer::join(&star).await;
    starpoint_hostile_tests::assert_talk(&mut other, &mut neighbor, "undisturbed").await;
    assert_still_serves(&mut star).await;
    star.stop().await;
}
