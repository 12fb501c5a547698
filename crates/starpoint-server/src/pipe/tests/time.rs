//! Keep-alive and deadlines, with tokio's clock stopped.

use std::time::Duration;

use starpoint_wire::pipe::Opcode;
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, sleep, timeout},
};

use super::peer::{Heard, close_frame, frame, pair, pattern};
use crate::pipe::{PipeEnd, PipeSide};

#[tokio::test]
async fn r_pipe_8_a_ping_is_answered_with_its_payload() {
    let mut pair = pair(65_536);
    pair.a.say(Opcode::Ping, b"payload").await;
    let mut bytes = [0; 9];
    tokio::io::AsyncReadExt::read_exact(&mut pair.a.io, &mut bytes)
        .await
        .unwrap();
    assert_eq!(&bytes, b"\x8a\x07payload");
    for _ in 0..1_000 {
        pair.a.say(Opcode::Ping, &[7; 125]).await;
    }
    assert_eq!(pair.a.hear().await, Heard::Pong);
    pair.b.say(Opcode::Binary, b"x").await;
    assert_eq!(pair.a.hear_past(Heard::Pong).await, Heard::Data);
}

#[tokio::test(start_paused = true)]
async fn r_pipe_9_a_quiet_pipe_is_pinged_and_lives() {
    let mut pair = pair(4_096);
    let start = Instant::now();
    for round in 1..=20u64 {
        assert_eq!(pair.a.hear().await, Heard::Ping);
        assert_eq!(pair.b.hear().await, Heard::Ping);
        assert_eq!(start.elapsed().as_secs(), 25 * round);
        pair.a.say(Opcode::Pong, b"").await;
        pair.b.say(Opcode::Pong, b"").await;
    }
    pair.a.say(Opcode::Binary, b"x").await;
    assert_eq!(pair.b.hear().await, Heard::Data);
}

#[tokio::test(start_paused = true)]
async fn r_pipe_9_a_silent_peer_is_lost() {
    let mut pair = pair(4_096);
    let start = Instant::now();
    let answer = async {
        loop {
            let heard = pair.a.hear().await;
            if heard != Heard::Ping {
                return heard;
            }
            pair.a.say(Opcode::Pong, b"").await;
        }
    };
    assert_eq!(answer.await, Heard::Close(4001));
    assert_eq!(start.elapsed().as_secs(), 90);
    drop(pair.a);
    let mut heard = pair.b.hear().await;
    while heard == Heard::Ping {
        heard = pair.b.hear().await;
    }
    assert_eq!(heard, Heard::Close(4004));
    drop(pair.b);
    assert_eq!(pair.relay.await.unwrap().end, PipeEnd::Idle(PipeSide::B));
}

#[tokio::test(start_paused = true)]
async fn r_pipe_9_who_waits_for_a_slow_reader_is_not_silent() {
    let mut pair = pair(4_096);
    let bytes = frame(Opcode::Binary, &pattern(200_000));
    let slow = async {
        sleep(Duration::from_secs(300)).await;
        pair.b.hear_past(Heard::Ping).await
    };
    let (written, heard) = tokio::join!(pair.a.io.write_all(&bytes), slow);
    written.unwrap();
    assert_eq!(heard, Heard::Data);
}

#[tokio::test(start_paused = true)]
async fn r_pipe_11_a_reader_that_takes_nothing_is_lost_in_the_end() {
    let mut pair = pair(4_096);
    let start = Instant::now();
    let bytes = frame(Opcode::Binary, &pattern(1_000_000));
    let answer = async {
        let _ = pair.a.io.write_all(&bytes).await;
        pair.a.hear_past(Heard::Ping).await
    };
    assert_eq!(answer.await, Heard::Close(4001));
    assert_eq!(start.elapsed().as_secs(), 600);
    assert_eq!(pair.relay.await.unwrap().end, PipeEnd::Idle(PipeSide::B));
}

#[tokio::test(start_paused = true)]
async fn r_pipe_11_what_a_lost_peer_had_sent_waits_ten_seconds_for_its_reader() {
    let mut pair = pair(16_384);
    let start = Instant::now();
    let mut bytes = frame(Opcode::Binary, &pattern(30_000));
    bytes.extend(close_frame(4000));
    pair.a.write(&bytes).await;
    drop(pair.a);
    let relay = timeout(Duration::from_secs(60), pair.relay).await;
    let report = relay.expect("it ends").unwrap();
    assert_eq!(report.end, PipeEnd::Reset(PipeSide::A));
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(pair.settings.buffers.n_lent(), 0);
}
