//! Streams that end in odd ways, or carry odd things.

use bytes::Bytes;
use serde_json::{Value, json};
use starpoint_hostile_tests::{Peer, assert_still_serves, connected_pair};
use starpoint_test_support::{Engine, Packet, Star, StreamItem};

const QUEUE: &str = "socket.io-pull-stream.queue.x.dialer";

#[tokio::test]
async fn whatever_ends_a_stream_ends_it_at_the_other_side() {
    let mut star = Star::with_args([]);
    let mut dialer = Peer::join(&star).await;
    let mut callee = Peer::join_with(&star, Engine::V4).await;
    let ends = [
        (json!([true]), json!([true])),
        (json!([false]), json!([true])),
        (json!([""]), json!([true])),
        (json!([null]), json!([true])),
        (json!([0]), json!([true])),
        (json!([]), json!([true])),
        (json!([true, "ignored"]), json!([true])),
        (json!(["went wrong"]), json!(["went wrong"])),
    ];
    for (number, (sent, seen)) in ends.into_iter().enumerate() {
        let dial_id = format!("{number}");
        dialer.connect(&mut callee, &dial_id).await;
        let (there, back) = (format!("{dial_id}.dialer"), format!("{dial_id}.listener"));
        let heard = say(&mut dialer, &mut callee, &there, &sent).await;
        assert_eq!(
            heard,
            (b"last words".to_vec(), seen.clone()),
            "ended with {sent}"
        );
        let heard = say(&mut callee, &mut dialer, &back, &sent).await;
        assert_eq!(heard, (b"last words".to_vec(), seen), "ended with {sent}");
    }
    for odd in [
        json!([{}]),
        json!([[1, 2]]),
        json!([{"length": 100_000_000}]),
        json!([7]),
    ] {
        dialer.connect(&mut callee, "odd").await;
        dialer.client.end("odd.dialer", odd.clone()).await;
        callee.client.end("odd.listener", json!([true])).await;
        let (_, end) = callee.client.read_to_end("odd.dialer").await;
        assert!(end[0].is_string(), "ended with {odd}, seen as {end}");
        dialer.client.read_to_end("odd.listener").await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

/// Writes a chunk and an end; returns what comes out at the other side.
async fn say(from: &mut Peer, to: &mut Peer, stream: &str, end: &Value) -> (Vec<u8>, Value) {
    from.client.write(stream, "last words").await;
    from.client.end(stream, end.clone()).await;
    to.client.read_to_end(stream).await
}

#[tokio::test]
async fn what_follows_an_end_is_dropped() {
    let mut star = Star::with_args([]);
    let (mut dialer, mut callee) = connected_pair(&star).await;
    dialer.client.end("x.dialer", json!([true])).await;
    dialer.client.write("x.dialer", "too late").await;
    dialer.client.end("x.dialer", json!(["too late"])).await;
    dialer.client.take_all().await;
    // The other direction is open still, and is behind all of that.
    callee.client.write("x.listener", "half open").await;
    callee.client.end("x.listener", json!([true])).await;
    let heard = dialer.client.read_to_end("x.listener").await;
    assert_eq!(heard, (b"half open".to_vec(), json!([true])));
    assert_eq!(
        callee.client.read("x.dialer").await,
        StreamItem::End(vec![json!(true)])
    );
    let more = callee.client.take_all().await;
    assert!(
        !more
            .iter()
            .any(|p| matches!(p, Packet::Event(e) if e.name.contains("x.dialer"))),
        "{more:?}"
    );
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn payloads_that_are_no_bytes_are_dropped_and_the_stream_goes_on() {
    let mut star = Star::with_args([]);
    let (mut dialer, mut callee) = connected_pair(&star).await;
    let baseline = star.rss_bytes();
    for payload in [
        json!([{"length": 10_000_000}]),
        json!([{"length": 1_000_000_000}]),
        json!([{"type": "Buffer", "length": 1e9}]),
        json!([{"_placeholder": true, "num": 0}]),
        json!([1]),
        json!([1e9]),
        json!([true]),
        json!([null]),
        json!([{}]),
        json!([]),
    ] {
        dialer.client.emit(QUEUE, payload).await;
    }
    dialer.client.write("x.dialer", "bytes").await;
    dialer.client.emit(QUEUE, json!(["grüße"])).await;
    dialer.client.emit(QUEUE, json!([[1, 2, 255]])).await;
    dialer.client.write("x.dialer", "").await;
    dialer.client.end("x.dialer", json!([true])).await;
    for chunk in ["bytes".as_bytes(), "grüße".as_bytes(), &[1, 2, 255], &[]] {
        let chunk = Bytes::copy_from_slice(chunk);
        assert_eq!(
            callee.client.read("x.dialer").await,
            StreamItem::Chunk(chunk)
        );
    }
    assert_eq!(
        callee.client.read("x.dialer").await,
        StreamItem::End(vec![json!(true)])
    );
    starpoint_hostile_tests::assert_memory_returns(&star, baseline).await;
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn chunks_up_to_sixteen_mebibytes_go_through_whole() {
    let mut star = Star::with_args([]);
    let (mut dialer, mut callee) = connected_pair(&star).await;
    for n_bytes in [1, 65_536, 1 << 20, 4 << 20, 16 << 20] {
        let chunk: Bytes = (0..n_bytes).map(|i: usize| (i * 31 % 251) as u8).collect();
        let there = dialer.client.write("x.dialer", chunk.clone());
        let (_, heard) = tokio::join!(there, callee.client.read_exactly("x.dialer", n_bytes));
        assert!(
            heard == chunk,
            "{n_bytes} bytes are damaged on their way there"
        );
        let back = callee.client.write("x.listener", chunk.clone());
        let (_, heard) = tokio::join!(back, dialer.client.read_exactly("x.listener", n_bytes));
        assert!(
            heard == chunk,
            "{n_bytes} bytes are damaged on their way back"
        );
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn what_was_sent_before_a_goodbye_arrives() {
    let mut star = Star::with_args([]);
    for is_ended in [true, false] {
        for engine in [Engine::V3, Engine::V4] {
            let mut writer = Peer::join_with(&star, engine).await;
            let mut reader = Peer::join(&star).await;
            writer.connect(&mut reader, "x").await;
            let chunk = vec![7; 4096];
            for _ in 0..500 {
                writer.client.write("x.dialer", chunk.clone()).await;
            }
            if is_ended {
                writer.client.end("x.dialer", json!([true])).await;
            }
            let goodbye = writer.client.disconnect();
            let ((), (bytes, end)) = tokio::join!(goodbye, reader.client.read_to_end("x.dialer"));
            assert_eq!(bytes.len(), 500 * 4096, "{engine:?}, ended: {is_ended}");
            let expected = if is_ended {
                json!([true])
            } else {
                json!(["Peer disconnected"])
            };
            assert_eq!(end, expected, "{engine:?}, ended: {is_ended}");
        }
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_cut_stream_never_looks_like_a_clean_end() {
    let mut star = Star::with_args([]);
    for is_dialer_cut in [true, false] {
        let (mut dialer, mut callee) = connected_pair(&star).await;
        dialer.client.write("x.dialer", "there").await;
        callee.client.read_exactly("x.dialer", 5).await;
        callee.client.write("x.listener", "back").await;
        dialer.client.read_exactly("x.listener", 4).await;
        let (survivor, stream) = if is_dialer_cut {
            dialer.client.abort();
            (&mut callee, "x.dialer")
        } else {
            callee.client.abort();
            (&mut dialer, "x.listener")
        };
        let end = survivor.client.read(stream).await;
        assert_eq!(end, StreamItem::End(vec![json!("Peer disconnected")]));
        // What is written to the one that has gone is nobody's.
        let own = if is_dialer_cut {
            "x.listener"
        } else {
            "x.dialer"
        };
        survivor.client.write(own, vec![0; 100_000]).await;
        survivor.client.end(own, json!([true])).await;
        survivor.client.take_all().await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn open_streams_outlive_a_leave() {
    let mut star = Star::with_args([]);
    let (mut dialer, mut callee) = connected_pair(&star).await;
    for peer in [&mut dialer, &mut callee] {
        let address = peer.address.clone();
        assert_eq!(
            peer.client.call("ss-leave", [address.as_str()]).await,
            json!([])
        );
    }
    dialer.client.write("x.dialer", "still here").await;
    dialer.client.end("x.dialer", json!([true])).await;
    let heard = callee.client.read_to_end("x.dialer").await;
    assert_eq!(heard, (b"still here".to_vec(), json!([true])));
    let reply = dialer.dial(&callee.address, "y").await;
    assert_eq!(reply, json!(["Not authorized for this address"]));
    assert_still_serves(&mut star).await;
    star.stop().await;
}
