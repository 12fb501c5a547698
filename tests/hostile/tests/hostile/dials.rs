//! Dials that are not allowed, not answered, or of an id that is taken.

use serde_json::{Value, json};
use starpoint_hostile_tests::{
    Peer, assert_still_serves, assert_talk, connected_pair, new_identity, refusal,
};
use starpoint_test_support::{Client, Engine, Packet, Star, StreamItem};

#[tokio::test]
async fn dials_from_addresses_of_others_are_refused() {
    let mut star = Star::with_args([]);
    let mut peer = Peer::join(&star).await;
    let other = Peer::join(&star).await;
    let absent = new_identity().address(star.port());
    let own = peer.address.clone();
    let cases = [
        (
            other.address.as_str(),
            own.as_str(),
            "id",
            "Not authorized for this address",
        ),
        (
            absent.as_str(),
            other.address.as_str(),
            "id",
            "Not authorized for this address",
        ),
        (own.as_str(), absent.as_str(), "id", "Peer not found"),
        (own.as_str(), own.as_str(), "id", "Cannot dial self"),
        (own.as_str(), "nowhere", "id", "Invalid multiaddr"),
        (own.as_str(), other.address.as_str(), "", "Invalid dial id"),
        (
            own.as_str(),
            other.address.as_str(),
            "\u{0}",
            "Invalid dial id",
        ),
        (
            own.as_str(),
            other.address.as_str(),
            "a\"b",
            "Invalid dial id",
        ),
    ];
    for (from, to, dial_id, text) in cases {
        let reply = peer.client.call("ss-dial", [from, to, dial_id]).await;
        assert_eq!(reply, json!([text]), "{from} > {to}, {dial_id:?}");
    }
    let mut stranger = Client::connect(star.port(), Engine::V4).await;
    let reply = stranger
        .call("ss-dial", [own.as_str(), &other.address, "id"])
        .await;
    assert_eq!(reply, json!(["Not authorized for this address"]));
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn odd_dial_ids_connect_as_any_other() {
    let mut star = Star::with_args([]);
    let mut dialer = Peer::join(&star).await;
    let mut callee = Peer::join_with(&star, Engine::V4).await;
    let long = "A".repeat(256);
    for dial_id in [
        "__proto__",
        "constructor",
        ".",
        "a.dialer",
        "a.listener",
        "☎",
        " ",
        &long,
    ] {
        assert_talk(&mut dialer, &mut callee, dial_id).await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_callee_that_never_answers_costs_the_dialer_an_error_at_the_deadline() {
    let mut star = Star::with_args([]);
    let mut dialer = Peer::join(&star).await;
    let mut callee = Peer::join_with(&star, Engine::V4).await;
    let mut dials = Vec::new();
    for number in 0..50 {
        dials.push(
            dialer
                .start_dial(&callee.address, &format!("silent {number}"))
                .await,
        );
    }
    for dial in dials {
        assert_eq!(
            dialer.client.expect_ack(dial).await,
            json!(["Dial timed out"])
        );
    }
    // Too late: nobody hears of it, and the ids are free again.
    for _ in 0..50 {
        let incoming = callee.client.expect_event("ss-incomming").await;
        callee.client.acknowledge(&incoming, json!([])).await;
    }
    callee.client.take_all().await;
    let heard = dialer.client.take_all().await;
    assert!(
        !heard.iter().any(|p| matches!(p, Packet::Ack { .. })),
        "{heard:?}"
    );
    assert_talk(&mut dialer, &mut callee, "answered").await;
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_callee_that_goes_before_it_answers_costs_the_dialer_an_error_at_once() {
    let mut star = Star::with_args([]);
    let mut dialer = Peer::join(&star).await;
    for is_orderly in [true, false] {
        let mut callee = Peer::join(&star).await;
        let dial = dialer.start_dial(&callee.address, "x").await;
        callee.client.expect_event("ss-incomming").await;
        if is_orderly {
            callee.client.disconnect().await;
        } else {
            callee.client.abort();
        }
        assert_eq!(
            dialer.client.expect_ack(dial).await,
            json!(["Peer disconnected"])
        );
        let reply = dialer.dial(&callee.address, "x").await;
        assert_eq!(reply, json!(["Peer not found"]));
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_dialer_that_goes_before_the_answer_leaves_the_callee_an_ended_stream() {
    let mut star = Star::with_args([]);
    for is_orderly in [true, false] {
        let mut dialer = Peer::join(&star).await;
        let mut callee = Peer::join(&star).await;
        dialer.start_dial(&callee.address, "x").await;
        let incoming = callee.client.expect_event("ss-incomming").await;
        if is_orderly {
            dialer.client.disconnect().await;
        } else {
            dialer.client.abort();
        }
        callee.client.accept_stream("x.dialer").await;
        callee.client.acknowledge(&incoming, json!([])).await;
        let (bytes, end) = callee.client.read_to_end("x.dialer").await;
        assert_eq!((bytes.len(), end), (0, json!(["Peer disconnected"])));
        // The id is free for the next one.
        let mut next = Peer::join(&star).await;
        assert_talk(&mut next, &mut callee, "x").await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_dial_id_in_use_is_refused_and_the_first_connection_goes_on() {
    let mut star = Star::with_args([]);
    let (mut dialer, mut callee) = connected_pair(&star).await;
    let mut third = Peer::join(&star).await;
    let duplicates = [
        dialer.dial(&callee.address, "x").await,
        callee.dial(&dialer.address, "x").await,
        third.dial(&callee.address, "x").await,
        third.dial(&dialer.address, "x").await,
        dialer.dial(&third.address, "x").await,
    ];
    for reply in duplicates {
        assert_eq!(reply, json!(["Dial id already in use"]));
    }
    let waiting = dialer.start_dial(&third.address, "waiting").await;
    third.client.expect_event("ss-incomming").await;
    let reply = callee.dial(&third.address, "waiting").await;
    assert_eq!(reply, json!(["Dial id already in use"]));

    dialer.client.write("x.dialer", "undisturbed").await;
    let heard = callee.client.read_exactly("x.dialer", 11).await;
    assert_eq!(heard, b"undisturbed");
    third.client.disconnect().await;
    assert_eq!(
        dialer.client.expect_ack(waiting).await,
        json!(["Peer disconnected"])
    );
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn nobody_writes_into_the_stream_of_strangers() {
    let mut star = Star::with_args([]);
    let (mut dialer, mut callee) = connected_pair(&star).await;
    let mut stranger = Peer::join(&star).await;
    for stream in ["x.dialer", "x.listener"] {
        stranger.client.accept_stream(stream).await;
        stranger.client.write(stream, "forged").await;
        stranger.client.end(stream, json!([true])).await;
    }
    stranger.client.take_all().await;
    // Nor does a side write what the other side writes.
    callee.client.write("x.dialer", "forged").await;
    callee.client.end("x.dialer", json!(["forged"])).await;
    callee.client.take_all().await;
    dialer.client.write("x.listener", "forged").await;
    dialer.client.end("x.listener", json!(["forged"])).await;

    dialer.client.write("x.dialer", "real").await;
    dialer.client.end("x.dialer", json!([true])).await;
    assert_eq!(
        callee.client.read_to_end("x.dialer").await,
        (b"real".to_vec(), json!([true]))
    );
    callee.client.write("x.listener", "real").await;
    callee.client.end("x.listener", json!([true])).await;
    assert_eq!(
        dialer.client.read_to_end("x.listener").await,
        (b"real".to_vec(), json!([true]))
    );
    let overheard = stranger.client.take_all().await;
    assert!(
        !overheard
            .iter()
            .any(|p| matches!(p, Packet::Event(e) if e.name.contains("stream"))),
        "{overheard:?}"
    );
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn whatever_a_callee_answers_reaches_the_dialer_as_one_refusal_or_none() {
    let mut star = Star::with_args([]);
    let mut dialer = Peer::join(&star).await;
    let mut callee = Peer::join_with(&star, Engine::V4).await;
    let answers: [(Value, Value); 10] = [
        (json!(["busy"]), json!(["busy"])),
        (json!(["busy", 1, {}, []]), json!(["busy"])),
        (json!([true]), json!([true])),
        (json!([{}]), json!(["Dial refused"])),
        (json!([[[[]]]]), json!(["Dial refused"])),
        (json!([null]), json!([])),
        (json!([false]), json!([])),
        (json!([""]), json!([])),
        (json!([0]), json!([])),
        (json!([null, "ignored"]), json!([])),
    ];
    for (number, (answer, reply)) in answers.into_iter().enumerate() {
        let dial = dialer
            .start_dial(&callee.address, &format!("{number}"))
            .await;
        let incoming = callee.client.expect_event("ss-incomming").await;
        callee.client.acknowledge(&incoming, answer.clone()).await;
        assert_eq!(
            dialer.client.expect_ack(dial).await,
            reply,
            "answered {answer}"
        );
        // Once more, for a dial that is decided.
        callee.client.acknowledge(&incoming, json!(["again"])).await;
    }
    let dial = dialer.start_dial(&callee.address, "long").await;
    let incoming = callee.client.expect_event("ss-incomming").await;
    callee
        .client
        .acknowledge(&incoming, json!(["☎".repeat(300_000)]))
        .await;
    let reply = dialer.client.expect_ack(dial).await;
    let text = refusal(&reply);
    assert!(
        text.len() <= 1024 && text.starts_with('☎'),
        "{} bytes",
        text.len()
    );
    assert_talk(&mut dialer, &mut callee, "after all that").await;
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn what_a_dialer_sends_ahead_of_the_answer_waits_for_it() {
    let mut star = Star::with_args([]);
    let mut dialer = Peer::join(&star).await;
    let mut callee = Peer::join(&star).await;
    let dial = dialer.start_dial(&callee.address, "x").await;
    dialer.client.write("x.dialer", "early").await;
    dialer.client.end("x.dialer", json!([true])).await;
    // Acknowledgement first, ready to read later: both orders are allowed.
    let incoming = callee.client.expect_event("ss-incomming").await;
    callee.client.acknowledge(&incoming, json!([])).await;
    assert_eq!(dialer.client.expect_ack(dial).await, json!([]));
    callee.client.accept_stream("x.dialer").await;
    assert_eq!(
        callee.client.read("x.dialer").await,
        StreamItem::Chunk("early".into())
    );
    assert_eq!(
        callee.client.read("x.dialer").await,
        StreamItem::End(vec![json!(true)])
    );
    assert_still_serves(&mut star).await;
    star.stop().await;
}
