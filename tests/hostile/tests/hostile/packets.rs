//! Packets that are none, and events that only sound like something.

use serde_json::json;
use starpoint_hostile_tests::{Peer, assert_still_serves, assert_talk, new_identity};
use starpoint_test_support::{Client, Engine, Packet, Star, within};

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It stays, and calls are answered.
    Stays,
    /// It may stay or be closed; it does not hang.
    StaysOrCloses,
}
use Outcome::{Stays, StaysOrCloses};

enum Raw {
    Text(String),
    Binary(Vec<u8>),
}

fn text(text: &str) -> Raw {
    Raw::Text(text.into())
}

fn nested(depth: usize) -> Raw {
    Raw::Text(format!(
        "42[\"a\",{}{}]",
        "[".repeat(depth),
        "]".repeat(depth)
    ))
}

/// What a Socket.IO server has to expect, and what the original does with it.
fn cases() -> Vec<(&'static str, Vec<Raw>, Outcome)> {
    let placeholder = |num: &str| format!("{{\"_placeholder\":true,\"num\":{num}}}");
    let attached = |count: &str, num: &str| {
        let header = format!("45{count}[\"a\",{}]", placeholder(num));
        vec![Raw::Text(header), Raw::Binary(vec![4, 1])]
    };
    vec![
        ("event without a body", vec![text("42")], StaysOrCloses),
        ("event that is a number", vec![text("421")], StaysOrCloses),
        ("number for the name", vec![text("42[5]")], StaysOrCloses),
        (
            "unknown message type",
            vec![text("49"), text("4x")],
            StaysOrCloses,
        ),
        ("connect again", vec![text("40")], StaysOrCloses),
        (
            "connect with a payload",
            vec![text("40{\"a\":1}")],
            StaysOrCloses,
        ),
        (
            "connect to another namespace",
            vec![text("40/other,")],
            StaysOrCloses,
        ),
        (
            "event on another namespace",
            vec![text("42/other,[\"a\"]")],
            StaysOrCloses,
        ),
        (
            "disconnect from another namespace",
            vec![text("41/other,")],
            StaysOrCloses,
        ),
        (
            "error from a client",
            vec![text("44\"error\"")],
            StaysOrCloses,
        ),
        (
            "answer that nobody asked for",
            vec![text("437[]"), text("43999999[1]")],
            Stays,
        ),
        (
            "answer with a huge id",
            vec![text("4399999999999999999999999[]")],
            StaysOrCloses,
        ),
        (
            "call with a huge id",
            vec![text("4299999999999999999999999[\"a\"]")],
            StaysOrCloses,
        ),
        ("nested, 20 000 deep", vec![nested(20_000)], StaysOrCloses),
        ("nested, 200 000 deep", vec![nested(200_000)], StaysOrCloses),
        (
            "duplicate keys",
            vec![text("42[\"a\",{\"__proto__\":1,\"__proto__\":2}]")],
            Stays,
        ),
        (
            "empty binary message",
            vec![Raw::Binary(vec![])],
            StaysOrCloses,
        ),
        (
            "binary of an unknown type",
            vec![Raw::Binary(vec![9, 1])],
            StaysOrCloses,
        ),
        (
            "placeholder alone",
            vec![Raw::Text(format!("42[\"a\",{}]", placeholder("0")))],
            Stays,
        ),
        ("open from a client", vec![text("0{}")], StaysOrCloses),
        (
            "pong, upgrade, noop",
            vec![text("3"), text("5"), text("6")],
            StaysOrCloses,
        ),
        ("close", vec![text("1")], StaysOrCloses),
        ("empty text", vec![text("")], StaysOrCloses),
        ("message without a type", vec![text("4")], StaysOrCloses),
        (
            "broken JSON",
            vec![text("42[\"a\","), text("42[\"a\"]]")],
            StaysOrCloses,
        ),
        ("object for an event", vec![text("42{}")], StaysOrCloses),
        ("null for an event", vec![text("42null")], StaysOrCloses),
        ("text for an event", vec![text("42\"a\"")], StaysOrCloses),
        ("event without a name", vec![text("42[]")], StaysOrCloses),
        ("null for the name", vec![text("42[null]")], StaysOrCloses),
        ("object for the name", vec![text("42[{}]")], StaysOrCloses),
        ("negative id", vec![text("42-1[\"a\"]")], StaysOrCloses),
        (
            "attachment that never comes",
            vec![text("451-[\"a\"]"), text("42[\"b\"]")],
            StaysOrCloses,
        ),
        (
            "attachment nobody announced",
            vec![Raw::Binary(vec![4, 1, 2])],
            StaysOrCloses,
        ),
        (
            "placeholder out of range",
            attached("1-", "7"),
            StaysOrCloses,
        ),
        ("placeholder negative", attached("1-", "-1"), StaysOrCloses),
        ("placeholder a text", attached("1-", "\"0\""), StaysOrCloses),
        (
            "count that is no number",
            attached("x-", "0"),
            StaysOrCloses,
        ),
        ("count missing", attached("", "0"), StaysOrCloses),
        ("count zero", attached("0-", "0"), StaysOrCloses),
        ("count huge", attached("99999999999-", "0"), StaysOrCloses),
        (
            "count beyond memory",
            attached("18446744073709551615-", "0"),
            StaysOrCloses,
        ),
        (
            "unknown packet types",
            vec![text("7"), text("9"), text("x")],
            StaysOrCloses,
        ),
        (
            "base64 over WebSocket",
            vec![text("b4AAAA"), text("bAAAA")],
            StaysOrCloses,
        ),
        (
            "binary answer nobody asked for",
            attached("1-5", "0"),
            StaysOrCloses,
        ),
        (
            "no UTF-8",
            vec![Raw::Binary(vec![0xff; 10_000])],
            StaysOrCloses,
        ),
    ]
}

#[tokio::test]
async fn broken_packets_cost_at_most_their_sender_the_connection() {
    let mut star = Star::with_args([]);
    let mut dialer = Peer::join(&star).await;
    let mut callee = Peer::join_with(&star, Engine::V4).await;
    let breaking = async {
        for engine in [Engine::V3, Engine::V4] {
            for (name, raws, outcome) in cases() {
                let client = Client::connect(star.port(), engine).await;
                let is_alive = survives(client, raws).await;
                eprintln!(
                    "{engine:?}: {name}: {}",
                    if is_alive { "stays" } else { "closes" }
                );
                assert!(
                    is_alive || outcome == StaysOrCloses,
                    "{engine:?}: {name}: closed"
                );
                star.assert_healthy();
            }
        }
    };
    dialer
        .client
        .idle_during(callee.client.idle_during(breaking))
        .await;
    assert_talk(&mut dialer, &mut callee, "undisturbed").await;
    assert_still_serves(&mut star).await;
    star.stop().await;
}

/// Sends packets, then a call; returns whether the connection was there to answer.
async fn survives(mut client: Client, raws: Vec<Raw>) -> bool {
    for raw in raws {
        let sent = match raw {
            Raw::Text(text) => client.try_send_text(text).await,
            Raw::Binary(bytes) => client.try_send_raw_binary(bytes.into()).await,
        };
        if sent.is_err() {
            return false;
        }
    }
    if client.try_send_text("42123456[\"ss-join\"]").await.is_err() {
        return false;
    }
    loop {
        match within("an answer or the end", client.receive()).await {
            Ok(Packet::Ack { id: 123_456, args }) => {
                assert_eq!(args, json!(["Invalid arguments"]));
                return true;
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Names that mean something to an event emitter, a prototype, or a star.
const NAMES: [&str; 24] = [
    "error",
    "disconnect",
    "disconnecting",
    "connect",
    "connection",
    "connect_error",
    "newListener",
    "removeListener",
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "packet",
    "close",
    "end",
    "message",
    "ss-incomming",
    "ss-evicted",
    "ws-peer",
    "",
    "socket.io-pull-stream.accept.",
    "socket.io-pull-stream.queue.nobody.dialer",
    "socket.io-pull-stream.error.x",
    "socket.io-pull-stream.queue",
];

#[tokio::test]
async fn events_with_the_names_of_others_change_nothing() {
    let mut star = Star::with_args([]);
    let mut other = Peer::join(&star).await;
    for engine in [Engine::V3, Engine::V4] {
        let mut peer = Peer::join_with(&star, engine).await;
        other.connect(&mut peer, "open").await;
        for name in NAMES {
            for args in [
                json!([]),
                json!(["transport close"]),
                json!([{"a": 1}, null]),
            ] {
                peer.client.emit(name, args).await;
            }
        }
        // Connection, registration and open streams are as they were.
        other.client.write("open.dialer", "as before").await;
        peer.client.read_exactly("open.dialer", 9).await;
        assert_talk(&mut other, &mut peer, "to it").await;
        assert_talk(&mut peer, &mut other, "from it").await;
        peer.client.disconnect().await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_disconnect_in_the_middle_of_a_join_frees_everything() {
    let mut star = Star::with_args([]);
    for _ in 0..20 {
        let identity = new_identity();
        let address = identity.address(star.port());
        let mut client = Client::connect(star.port(), Engine::V4).await;
        client.ask_challenge(&identity, &address).await;
        client.disconnect().await;
        let client = Client::connect(star.port(), Engine::V3).await;
        Peer::join_as(client, &identity)
            .await
            .client
            .disconnect()
            .await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}
