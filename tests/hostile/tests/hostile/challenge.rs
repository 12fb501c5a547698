//! Signatures that are wrong, used before, stolen, or for something else.

use serde_json::json;
use starpoint_hostile_tests::{Peer, assert_joined, assert_still_serves, new_identity, refusal};
use starpoint_test_support::{Client, Engine, Identity, KeyKind, Star, address_of};

async fn client(star: &Star) -> Client {
    Client::connect(star.port(), Engine::V3).await
}

#[tokio::test]
async fn keys_that_do_not_belong_to_the_address_are_refused() {
    let mut star = Star::with_args([]);
    let (victim, thief) = (new_identity(), new_identity());
    let address = victim.address(star.port());
    let mut client = client(&star).await;
    let cases = [
        (
            String::new(),
            "Crypto Challenge required but no Id provided",
        ),
        (thief.key(), "Id is not matching"),
        ("zz".into(), "Invalid public key"),
        ("ab".repeat(300), "Invalid public key"),
        (victim.key()[..40].into(), "Invalid public key"),
    ];
    for (key, text) in cases {
        let reply = client.call("ss-join", [address.as_str(), &key]).await;
        assert_eq!(reply, json!([text]), "key {key:?}");
    }
    let nobody = format!("/ip4/127.0.0.1/tcp/{}/ws/p2p-websocket-star", star.port());
    refusal(
        &client
            .call("ss-join", [nobody.as_str(), &thief.key()])
            .await,
    );
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_nonce_dies_with_its_first_answer() {
    let mut star = Star::with_args([]);
    for kind in [KeyKind::Ed25519, KeyKind::Secp256k1] {
        let identity = Identity::of_kind(kind, 77);
        let address = identity.address(star.port());
        let mut client = client(&star).await;

        let nonce = client.ask_challenge(&identity, &address).await;
        let wrong = identity.sign("something else");
        let reply = client.call("ss-join", [address.as_str(), &wrong]).await;
        assert_eq!(reply, json!(["Signature Invalid"]), "{kind:?}");
        let right = identity.sign(&nonce);
        refusal(&client.call("ss-join", [address.as_str(), &right]).await);

        client.ask_challenge(&identity, &address).await;
        let reply = client.call("ss-join", [address.as_str(), "abcd"]).await;
        assert_eq!(reply, json!(["Crypto error"]), "{kind:?}");

        client.join(&identity, &address).await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_signature_opens_one_join_only() {
    let mut star = Star::with_args([]);
    let identity = new_identity();
    let address = identity.address(star.port());
    let mut client = client(&star).await;
    let nonce = client.ask_challenge(&identity, &address).await;
    let signature = identity.sign(&nonce);
    assert_joined(&client.call("ss-join", [address.as_str(), &signature]).await);

    // Again at once, after a leave, and on a challenge made since.
    refusal(&client.call("ss-join", [address.as_str(), &signature]).await);
    assert_eq!(client.call("ss-leave", [address.as_str()]).await, json!([]));
    refusal(&client.call("ss-join", [address.as_str(), &signature]).await);
    let fresh = client.ask_challenge(&identity, &address).await;
    assert_ne!(fresh, nonce, "a nonce is given out twice");
    let reply = client.call("ss-join", [address.as_str(), &signature]).await;
    assert_eq!(reply, json!(["Signature Invalid"]));

    // Honest again: the same socket may join, leave and join as before.
    for _ in 0..3 {
        client.join(&identity, &address).await;
        assert_eq!(client.call("ss-leave", [address.as_str()]).await, json!([]));
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_stolen_signature_is_worth_nothing_on_another_socket() {
    let mut star = Star::with_args([]);
    let victim = new_identity();
    let address = victim.address(star.port());
    let mut honest = client(&star).await;
    let nonce = honest.ask_challenge(&victim, &address).await;
    let signature = victim.sign(&nonce);

    let mut thief = client(&star).await;
    refusal(&thief.call("ss-join", [address.as_str(), &signature]).await);
    // Anybody knows the public key, so anybody may ask for a challenge.
    let own_nonce = thief.ask_challenge(&victim, &address).await;
    assert_ne!(own_nonce, nonce, "two sockets have the same nonce");
    let reply = thief.call("ss-join", [address.as_str(), &signature]).await;
    assert_eq!(reply, json!(["Signature Invalid"]));

    // Nothing that the thief did cost the honest peer its challenge.
    assert_joined(&honest.call("ss-join", [address.as_str(), &signature]).await);
    let reply = thief
        .call("ss-dial", [address.as_str(), &address, "id"])
        .await;
    assert_eq!(reply, json!(["Not authorized for this address"]));
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn an_answer_is_bound_to_the_address_that_was_asked_for() {
    let mut star = Star::with_args([]);
    let identity = new_identity();
    let first = identity.address(star.port());
    let second = address_of(1, &identity.peer_id());
    let mut client = client(&star).await;
    let first_nonce = client.ask_challenge(&identity, &first).await;
    let second_nonce = client.ask_challenge(&identity, &second).await;
    assert_ne!(first_nonce, second_nonce);
    let swapped = identity.sign(&first_nonce);
    let reply = client.call("ss-join", [second.as_str(), &swapped]).await;
    assert_eq!(reply, json!(["Signature Invalid"]));
    assert_joined(&client.call("ss-join", [first.as_str(), &swapped]).await);
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn guessing_signatures_ends_with_the_connection() {
    let mut star = Star::with_args([]);
    let victim = new_identity();
    let address = victim.address(star.port());
    let mut thief = client(&star).await;
    let guess = "ab".repeat(64);
    let mut n_guesses = 0;
    loop {
        thief.ask_challenge(&victim, &address).await;
        let reply = thief.call("ss-join", [address.as_str(), &guess]).await;
        n_guesses += 1;
        match refusal(&reply) {
            "Too many attempts" => break,
            "Signature Invalid" => assert!(n_guesses < 32, "{n_guesses} guesses are allowed"),
            other => panic!("refused with {other:?}"),
        }
    }
    thief.expect_closed().await;
    Peer::join_as(client(&star).await, &victim).await;
    assert_still_serves(&mut star).await;
    star.stop().await;
}
