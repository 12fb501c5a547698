//! A peer that stops reading, and what that may cost: its own streams.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use serde_json::{Value, json};
use starpoint_hostile_tests::{Peer, assert_memory_returns, assert_still_serves};
use starpoint_test_support::{Client, Engine, Packet, Reading, Star, StreamItem, within};

const OFFERED_BYTES: usize = 512 << 20;
const CHUNK_BYTES: usize = 64 << 10;

/// How far the star's memory may rise at any moment, in bytes.
const MAX_GROWTH_BYTES: u64 = 32 << 20;

/// Round trips that an undisturbed pair makes in that time, at least.
const MIN_ROUND_TRIPS: u64 = 20;

/// What the star says of a reader that took too little for too long.
const STALLED: &str = "Reader stalled";

#[tokio::test]
async fn a_reader_that_stops_costs_the_star_little_and_others_nothing() {
    for engine in [Engine::V3, Engine::V4] {
        let mut star = Star::with_args([]);
        let mut writer = Peer::join(&star).await;
        let mut reader = Peer::join_with(&star, engine).await;
        writer.connect(&mut reader, "x").await;

        let end = offer_beside_an_undisturbed_pair(&star, &mut writer).await;
        assert_eq!(end, json!([STALLED]), "{engine:?}");
        // The reader finds what it was sent, in order, and then the same error.
        let end = assert_chunks_in_order(&mut reader.client).await;
        assert_eq!(end, json!([STALLED]), "{engine:?}");
        assert_still_serves(&mut star).await;
        star.stop().await;
    }
}

#[tokio::test]
async fn a_reader_that_stops_polling_costs_the_star_little_and_others_nothing() {
    let mut star = Star::with_args([]);
    let mut writer = Peer::join(&star).await;
    let client = Client::connect_polling(star.port(), Engine::V4).await;
    let identity = starpoint_hostile_tests::new_identity();
    let mut reader = Peer::join_as(client, &identity).await;
    writer.connect(&mut reader, "x").await;

    let end = offer_beside_an_undisturbed_pair(&star, &mut writer).await;
    assert_eq!(end, json!([STALLED]));
    let end = assert_chunks_in_order(&mut reader.client).await;
    assert_eq!(end, json!([STALLED]));
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_writer_that_posts_waits_for_a_reader_that_stops() {
    const OFFERED_BYTES: usize = 48 << 20;
    let mut star = Star::with_args([]);
    let client = Client::connect_polling(star.port(), Engine::V4).await;
    let identity = starpoint_hostile_tests::new_identity();
    let mut writer = Peer::join_as(client, &identity).await;
    let mut reader = Peer::join(&star).await;
    writer.connect(&mut reader, "x").await;

    let baseline = star.rss_bytes();
    for number in 0..OFFERED_BYTES / CHUNK_BYTES {
        let write = writer.client.try_write("x.dialer", chunk(number));
        within("post", write)
            .await
            .expect("the star keeps the writer");
        let growth = star.rss_bytes().saturating_sub(baseline);
        assert!(growth < MAX_GROWTH_BYTES, "{growth} more at {number}");
    }
    let (_, end) = writer.client.read_to_end("x.listener").await;
    assert_eq!(end, json!([STALLED]));
    let end = assert_chunks_in_order(&mut reader.client).await;
    assert_eq!(end, json!([STALLED]));
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_reader_that_never_accepts_the_stream_costs_the_star_little() {
    let mut star = Star::with_args([]);
    let mut writer = Peer::join(&star).await;
    let mut reader = Peer::join_with(&star, Engine::V4).await;
    let dial = writer.start_dial(&reader.address, "x").await;
    let incoming = reader.client.expect_event("ss-incomming").await;
    reader.client.acknowledge(&incoming, json!([])).await;
    assert_eq!(writer.client.expect_ack(dial).await, json!([]));
    writer.client.accept_stream("x.listener").await;

    let end = offer_beside_an_undisturbed_pair(&star, &mut writer).await;
    assert_eq!(end, json!([STALLED]));
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_callee_that_never_answers_the_dial_costs_the_star_little() {
    let mut star = Star::with_args([]);
    let mut writer = Peer::join(&star).await;
    let reader = Peer::join(&star).await;
    let baseline = star.rss_bytes();
    writer.client.set_reading(Reading::WhileSending);
    let dial = writer.start_dial(&reader.address, "x").await;
    let is_answered = |packet: &Packet| matches!(packet, Packet::Ack { id, .. } if *id == dial);
    let chunk = Bytes::from(vec![0; CHUNK_BYTES]);
    let mut n_bytes = 0;
    let reply = loop {
        if let Some(packet) = writer.client.take_arrived(is_answered).unwrap() {
            break packet;
        }
        assert!(n_bytes < OFFERED_BYTES, "everything was taken for nobody");
        within("write", writer.client.try_write("x.dialer", chunk.clone()))
            .await
            .unwrap();
        n_bytes += CHUNK_BYTES;
        let growth = star.rss_bytes().saturating_sub(baseline);
        assert!(
            growth < MAX_GROWTH_BYTES,
            "{growth} bytes more after {n_bytes}"
        );
    };
    assert_eq!(
        reply,
        Packet::Ack {
            id: dial,
            args: json!(["Dial timed out"])
        }
    );
    assert_still_serves(&mut star).await;
    star.stop().await;
}

/// Offers bytes on `x.dialer` until the star ends the connection of the two;
/// returns the arguments of the end. Meanwhile memory is watched, and another
/// pair goes on.
async fn offer_beside_an_undisturbed_pair(star: &Star, writer: &mut Peer) -> Value {
    let mut near = Peer::join(star).await;
    let mut far = Peer::join_with(star, Engine::V4).await;
    near.connect(&mut far, "echo").await;
    let baseline = star.rss_bytes();
    let is_over = AtomicBool::new(false);
    let peak = AtomicU64::new(baseline);
    let n_round_trips = AtomicU64::new(0);

    let offering = async {
        let end = offer(&mut writer.client).await;
        is_over.store(true, Ordering::Relaxed);
        end
    };
    let watching = async {
        while !is_over.load(Ordering::Relaxed) {
            peak.fetch_max(star.rss_bytes(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let echoing = async {
        while !is_over.load(Ordering::Relaxed) {
            near.client.write("echo.dialer", vec![1; 1000]).await;
            let heard = far.client.read_exactly("echo.dialer", 1000).await;
            far.client.write("echo.listener", heard).await;
            near.client.read_exactly("echo.listener", 1000).await;
            n_round_trips.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (end, (), ()) = tokio::join!(offering, watching, echoing);

    let growth = peak.into_inner().saturating_sub(baseline);
    let n_round_trips = n_round_trips.into_inner();
    eprintln!("{growth} bytes more, {n_round_trips} round trips");
    assert!(
        growth < MAX_GROWTH_BYTES,
        "memory has risen by {growth} bytes"
    );
    assert!(
        n_round_trips >= MIN_ROUND_TRIPS,
        "only {n_round_trips} round trips"
    );
    assert_memory_returns(star, baseline).await;
    end
}

/// Writes numbered chunks until the other stream of the connection ends.
async fn offer(client: &mut Client) -> Value {
    client.set_reading(Reading::WhileSending);
    let is_end = |packet: &Packet| {
        matches!(packet, Packet::Event(event)
            if event.name == "socket.io-pull-stream.error.x.listener")
    };
    for number in 0..OFFERED_BYTES / CHUNK_BYTES {
        if let Some(Packet::Event(event)) = client
            .take_arrived(is_end)
            .expect("the star keeps the writer")
        {
            eprintln!("ended after {} KiB", (number * CHUNK_BYTES) >> 10);
            return event.args.into();
        }
        let written = within("write", client.try_write("x.dialer", chunk(number))).await;
        written.expect("the star keeps the writer");
    }
    panic!("{OFFERED_BYTES} bytes were taken for a reader that does not read");
}

fn chunk(number: usize) -> Bytes {
    let mut bytes = vec![number as u8; CHUNK_BYTES];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    bytes.into()
}

/// Reads what [`offer`] wrote, to the end; returns the arguments of the end.
async fn assert_chunks_in_order(client: &mut Client) -> Value {
    for number in 0.. {
        match client.read("x.dialer").await {
            StreamItem::Chunk(bytes) => {
                assert!(
                    bytes == chunk(number),
                    "chunk {number} is lost, late or damaged"
                );
            }
            StreamItem::End(args) => return args.into(),
        }
    }
    unreachable!("a stream ends")
}
