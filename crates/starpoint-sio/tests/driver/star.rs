//! Against the program itself.

use bytes::Bytes;
use serde_json::{Value, json};
use starpoint_sio::{Closed, Config, EngineVersion};
use starpoint_test_support::{DEADLINE, Signal, Star, client::address_of};

use crate::peer::{Peer, open};

const ENGINES: [EngineVersion; 2] = [EngineVersion::V3, EngineVersion::V4];
const PLACEHOLDER: &str = r#"[{"_placeholder":true,"num":0}]"#;

fn config(engine: EngineVersion) -> Config {
    Config {
        engine,
        close_deadline: DEADLINE,
        ..Config::default()
    }
}

async fn start(args: &'static [&'static str]) -> Star {
    let start = move || Star::start(&starpoint_test_support::StarOptions::args(args.to_vec()));
    tokio::task::spawn_blocking(start)
        .await
        .expect("the star starts")
}

/// Opens a connection and joins with an address that nobody else has.
async fn join(star: &Star, engine: EngineVersion, name: &str) -> (Peer, String) {
    let url = format!("ws://127.0.0.1:{}", star.port());
    let mut peer = open(&url, config(engine)).await.expect("the star answers");
    let id = format!("QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSooo4{name}");
    let address = address_of(star.port(), &id);
    let args = json!([address, ""]).to_string();
    let call = peer.call("ss-join", &args).await;
    let answer = peer.answer(call).await;
    assert!(answer[2].is_array(), "{answer}");
    (peer, address)
}

#[tokio::test]
async fn r_sio_4_a_real_star_carries_chunks_between_both_versions() {
    let star = start(&["--no-challenge"]).await;
    for (from, to) in [(ENGINES[0], ENGINES[1]), (ENGINES[1], ENGINES[0])] {
        let (mut dialer, dialer_address) = join(&star, from, "A").await;
        let (mut callee, callee_address) = join(&star, to, "B").await;
        let args = json!([dialer_address, callee_address, "d"]).to_string();
        let dial = dialer.call("ss-dial", &args).await;

        let (args, _, ack) = callee.event("ss-incomming").await;
        assert_eq!(args[0], "d");
        let accept = "socket.io-pull-stream.accept.d.dialer";
        callee.emit(accept, "[]", vec![]).await;
        callee
            .0
            .acknowledge(ack.expect("a dial wants an answer"), "[]");
        let opened = callee.event("socket.io-pull-stream.accept.d.listener");
        opened.await;
        assert_eq!(dialer.answer(dial).await, json!([]));

        let chunk = Bytes::from(vec![7; 300_000]);
        for _ in 0..4 {
            let name = "socket.io-pull-stream.queue.d.dialer";
            dialer.emit(name, PLACEHOLDER, vec![chunk.clone()]).await;
        }
        let name = "socket.io-pull-stream.error.d.dialer";
        dialer.emit(name, "[true]", vec![]).await;
        let writing = async {
            // Drives the writes until the star has closed the dialer's connection.
            dialer.close().await;
        };
        let reading = async {
            for _ in 0..4 {
                let name = "socket.io-pull-stream.queue.d.dialer";
                let (_, attachments, _) = callee.event(name).await;
                assert_eq!(attachments, std::slice::from_ref(&chunk));
            }
            let (args, ..) = callee.event("socket.io-pull-stream.error.d.dialer").await;
            assert_eq!(args, json!([true]));
        };
        tokio::join!(writing, reading);
        callee.close().await;
    }
    star.stop().await;
}

#[tokio::test]
async fn r_sio_5_a_real_star_answers_calls() {
    let star = start(&[]).await;
    for engine in ENGINES {
        let url = format!("ws://localhost:{}/", star.port());
        let mut peer = open(&url, config(engine)).await.expect("the star answers");
        let first = peer.call("ss-join", "[]").await;
        let second = peer.call("ss-dial", r#"["/a","/b","c"]"#).await;
        assert_eq!(peer.answer(first).await, json!(["Invalid arguments"]));
        let Value::Array(refusal) = peer.answer(second).await else {
            panic!("not an array")
        };
        assert_eq!(refusal.len(), 1);
        peer.close().await;
    }
    star.stop().await;
}

#[tokio::test]
async fn r_sio_10_a_star_that_stops_or_dies_ends_the_connection() {
    for signal in [Signal::Terminate, Signal::Kill] {
        let star = start(&["--no-challenge"]).await;
        let (mut peer, _) = join(&star, EngineVersion::V3, "A").await;
        star.signal(signal);
        let reason = peer.end().await;
        assert!(
            matches!(
                reason,
                Closed::ByServer | Closed::Disconnected | Closed::Socket(_)
            ),
            "{signal:?}: {reason:?}"
        );
        assert_eq!(peer.end().await.to_string(), reason.to_string());
    }
}
