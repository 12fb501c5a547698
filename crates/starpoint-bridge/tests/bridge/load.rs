//! Many connections, and slow ones.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    channel::{Weather, channel},
    service::{
        Bridge, InMemory, PATIENCE, Shared, check_echo, echo_and_digest, in_memory, noise, serve,
    },
};

const KIB: usize = 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_bridge_14_parallel_connections_carry_their_own_bytes() {
    let service = serve(echo_and_digest).await;
    let bridge = Bridge::to(vec![service], Weather::stormy(21)).await;
    for round in 0..3 {
        let mut checks = JoinSet::new();
        for n in 0..100_u64 {
            let len = match n {
                0 => 5 * KIB * KIB,
                1..20 => (n as usize) * 17 * KIB + 1,
                20..30 => 0,
                30.. => n as usize,
            };
            checks.spawn(check_echo(bridge.connect().await, round * 1_000 + n, len));
        }
        while let Some(check) = checks.join_next().await {
            check.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_bridge_14_much_goes_both_ways_at_once() {
    let service = serve(echo_and_digest).await;
    let bridge = Bridge::to(vec![service], Weather::CALM).await;
    check_echo(bridge.connect().await, 22, 64 * KIB * KIB).await;
}

/// Says the same 64 KiB again and again until they are back, and returns the
/// slowest time.
async fn slowest_echo(mut stream: DuplexStream, n_times: usize) -> Duration {
    let sent = noise(5, 64 * KIB);
    let mut back = vec![0; sent.len()];
    let mut slowest = Duration::ZERO;
    for _ in 0..n_times {
        let start = Instant::now();
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let (written, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut back));
        written.and(read.map(|_| ())).unwrap();
        assert!(back == sent);
        slowest = slowest.max(start.elapsed());
    }
    slowest
}

/// A service that says noise without end to who begins with `p`, counting it, and
/// echoes to everybody else.
async fn push_or_echo(mut stream: DuplexStream, pushed: Shared<usize>) {
    let mut first = [0; 1];
    if stream.read_exact(&mut first).await.is_err() {
        return;
    }
    if first == *b"p" {
        for n in 0.. {
            if stream.write_all(&noise(n, 16 * KIB)).await.is_err() {
                return;
            }
            *pushed.lock().unwrap() += 16 * KIB;
        }
    }
    let mut space = vec![0; 16 * KIB];
    while let Ok(n @ 1..) = stream.read(&mut space).await {
        if stream.write_all(&space[..n]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r_bridge_7_stalled_readers_stop_their_writers_and_nobody_else() {
    const N_STALLED: usize = 20;
    let (target, mut accepted) = InMemory::new(16 * KIB);
    let streams = in_memory(channel(Weather::stormy(23)), target);
    let pushed = Shared::<usize>::default();
    let counted = pushed.clone();
    tokio::spawn(async move {
        while let Some(stream) = accepted.recv().await {
            tokio::spawn(push_or_echo(stream, counted.clone()));
        }
    });
    let mut stalled = Vec::new();
    for _ in 0..N_STALLED {
        let (mut app, end) = duplex(16 * KIB);
        app.write_all(b"p").await.unwrap();
        streams.send(end).await.unwrap();
        stalled.push(app);
    }
    sleep(Duration::from_secs(60)).await;
    let before = *pushed.lock().unwrap();
    let (mut app, end) = duplex(16 * KIB);
    streams.send(end).await.unwrap();
    app.write_all(b"e").await.unwrap();
    let slowest = timeout(PATIENCE, slowest_echo(app, 100)).await.unwrap();
    // Ten chunks and some room, each late by up to 5 ms and waiting for none.
    assert!(slowest < Duration::from_millis(250), "{slowest:?}");
    let after = *pushed.lock().unwrap();
    assert_eq!(before, after, "the writers wait");
    let window = 256 * KIB + 64 * KIB;
    let buffers = 2 * 16 * KIB + 2 * 16 * KIB;
    assert!(after <= N_STALLED * (window + buffers), "{after}");
    // They lose nothing by it.
    for app in &mut stalled {
        for n in 0..40 {
            let mut piece = vec![0; 16 * KIB];
            let read = timeout(PATIENCE, app.read_exact(&mut piece)).await;
            read.expect("goes on").unwrap();
            assert!(piece == noise(n, 16 * KIB));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r_bridge_14_10_000_small_messages_come_back_in_order() {
    let (target, mut accepted) = InMemory::new(KIB);
    let streams = in_memory(channel(Weather::stormy(24)), target);
    let (mut app, end) = duplex(KIB);
    streams.send(end).await.unwrap();
    app.write_all(b"e").await.unwrap();
    let service = accepted.recv().await.unwrap();
    tokio::spawn(push_or_echo(service, Shared::default()));
    let (mut reader, mut writer) = tokio::io::split(app);
    tokio::spawn(async move {
        for n in 0..10_000_u32 {
            writer.write_all(&n.to_be_bytes()).await.unwrap();
        }
    });
    for n in 0..10_000 {
        let back = timeout(PATIENCE, reader.read_u32()).await;
        assert_eq!(back.expect("in time").unwrap(), n);
    }
}
