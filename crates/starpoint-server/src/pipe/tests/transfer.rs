//! Bytes that go through.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use starpoint_wire::pipe::Opcode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::peer::{Heard, close_frame, frame, pair, pair_with, pattern, settings};
use crate::pipe::{PipeEnd, Rate, relay};

/// Frames of changing lengths, some in fragments, some with pings between.
fn frames(mut data: &[u8], seed: usize) -> Vec<u8> {
    let lens = [
        1, 0, 70_000, 5, 125, 126, 9_000, 1, 1, 8_191, 65_535, 65_536, 8_192, 300,
    ];
    let mut bytes = Vec::new();
    let mut at = seed;
    while !data.is_empty() {
        let n = lens[at % lens.len()].min(data.len());
        let (now, later) = data.split_at(n);
        data = later;
        at += 1;
        if at.is_multiple_of(3) && n > 1 {
            let (first, second) = now.split_at(n / 2);
            let mut first = frame(Opcode::Binary, first);
            first[0] &= 0x7f;
            bytes.extend(first);
            bytes.extend(frame(Opcode::Ping, b"between"));
            bytes.extend(frame(Opcode::Continuation, second));
        } else {
            bytes.extend(frame(Opcode::Binary, now));
        }
    }
    bytes
}

#[tokio::test]
async fn r_pipe_1_bytes_arrive_whole_and_in_order_however_they_are_cut() {
    let data = pattern(700_000);
    for (seed, step, buffer_bytes) in [
        (0, usize::MAX, 1 << 20),
        (1, 4_096, 5_000),
        (2, 65_537, 65_536),
        (3, 997, 1_000),
    ] {
        let mut pair = pair(buffer_bytes);
        let mut bytes = frames(&data, seed);
        bytes.extend(frame(Opcode::Text, b"end"));
        let writer = async {
            for part in bytes.chunks(step.min(bytes.len())) {
                pair.a.io.write_all(part).await.expect("the star reads");
                tokio::task::yield_now().await;
            }
        };
        // The pongs are not read: they are few, and dropped beyond that.
        let ((), heard) = tokio::join!(writer, pair.b.hear_past_data());
        assert_eq!(heard, Heard::End, "seed {seed}");
        assert!(pair.b.data == data, "seed {seed}");
        pair.b.end().await;
        assert_eq!(pair.b.hear().await, Heard::Close(1000));
        drop((pair.a, pair.b));
        let report = pair.relay.await.unwrap();
        assert_eq!(report.end, PipeEnd::Done);
        assert_eq!((report.bytes_a, report.bytes_b), (data.len() as u64, 0));
    }
}

#[tokio::test]
async fn r_pipe_1_frames_of_one_byte_are_joined() {
    let mut pair = pair(1 << 20);
    let data = pattern(20_000);
    let bytes: Vec<_> = data
        .chunks(1)
        .flat_map(|byte| frame(Opcode::Binary, byte))
        .collect();
    pair.a.write(&bytes).await;
    let mut n_frames = 0;
    while pair.b.data.len() < data.len() {
        assert_eq!(pair.b.hear().await, Heard::Data);
        n_frames += 1;
    }
    assert!(pair.b.data == data);
    assert!(n_frames < 100, "{n_frames} frames");
    let carried = &pair.settings.carried_a;
    assert_eq!(carried.load(std::sync::atomic::Ordering::Relaxed), 20_000);
}

#[tokio::test]
async fn r_pipe_1_both_directions_at_once_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = || async {
        let address = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (peer.unwrap(), accepted.unwrap().0)
    };
    let ((a, star_a), (b, star_b)) = (connect().await, connect().await);
    let relay = tokio::spawn(async move {
        let settings = settings();
        relay(star_a, star_b, &settings, CancellationToken::new()).await
    });
    let n_bytes = 16 << 20;
    let peer = |stream: TcpStream| async move {
        let (mut read, mut write) = stream.into_split();
        let sender = tokio::spawn(async move {
            let bytes = frame(Opcode::Binary, &pattern(1 << 16));
            for _ in 0..n_bytes >> 16 {
                write.write_all(&bytes).await.unwrap();
            }
            let end = frame(Opcode::Text, b"end");
            write.write_all(&end).await.unwrap();
            write
        });
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        sender.await.unwrap();
        received.len()
    };
    let (from_b, from_a) = tokio::join!(peer(a), peer(b));
    let report = relay.await.unwrap();
    assert_eq!(report.end, PipeEnd::Done);
    assert_eq!((report.bytes_a, report.bytes_b), (n_bytes, n_bytes));
    let heads = 100_000;
    for n in [from_a, from_b] {
        assert!((n_bytes..n_bytes + heads).contains(&(n as u64)), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn r_pipe_10_a_reader_that_stops_stops_its_writer_and_an_idle_pipe_has_no_buffer() {
    let mut pair = pair(4_096);
    assert_eq!(pair.settings.buffers.n_lent(), 0);
    let bytes = frame(Opcode::Binary, &pattern(10_000_000));
    let stopped = tokio::time::timeout(Duration::from_secs(60), pair.a.io.write_all(&bytes));
    assert!(stopped.await.is_err(), "somebody holds 10 MB");
    assert_eq!(pair.settings.buffers.n_lent(), 1);
    // The other direction goes on.
    pair.b.say(Opcode::Binary, b"hello").await;
    assert_eq!(pair.a.hear_past(Heard::Ping).await, Heard::Data);
    assert_eq!(pair.a.data, b"hello");
}

#[tokio::test]
async fn r_pipe_10_without_large_buffers_small_ones_carry() {
    let mut settings = settings();
    settings.buffers = Arc::new(crate::pipe::Buffers::new(0));
    let mut pair = pair_with(1 << 20, settings);
    let data = pattern(300_000);
    pair.a.write(&frames(&data, 5)).await;
    pair.a.write(&close_frame(4000)).await;
    assert_eq!(pair.b.hear_past_data().await, Heard::Close(4000));
    assert!(pair.b.data == data);
}

#[tokio::test(start_paused = true)]
async fn r_pipe_14_a_rate_is_kept_and_shared_fairly() {
    let mut settings = settings();
    let rate = NonZeroU64::new(1_000_000).unwrap();
    settings.rate_a = Some(Arc::new(Rate::new(rate)));
    let start = Instant::now();
    let transfers = [(); 2].map(|()| {
        let mut pair = pair_with(8_192, settings.clone());
        async move {
            let bytes = frame(Opcode::Binary, &pattern(2_000_000));
            let read = async {
                while pair.b.data.len() < 2_000_000 {
                    assert_eq!(pair.b.hear().await, Heard::Data);
                }
            };
            tokio::join!(pair.a.io.write_all(&bytes), read).0.unwrap();
            start.elapsed()
        }
    });
    let [first, second] = transfers;
    let (first, second) = tokio::join!(first, second);
    for elapsed in [first, second] {
        let seconds = elapsed.as_secs_f64();
        assert!((3.5..4.5).contains(&seconds), "{seconds} s");
    }
}
