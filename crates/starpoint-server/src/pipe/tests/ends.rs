//! How pipes end.

use starpoint_wire::pipe::Opcode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peer::{Heard, close_frame, frame, pair, pattern};
use crate::pipe::{PipeEnd, PipeSide};

#[tokio::test]
async fn r_pipe_3_either_direction_ends_alone() {
    for a_ends_first in [true, false] {
        let mut pair = pair(65_536);
        let (first, second) = if a_ends_first {
            (&mut pair.a, &mut pair.b)
        } else {
            (&mut pair.b, &mut pair.a)
        };
        first.say(Opcode::Binary, b"question").await;
        first.end().await;
        assert_eq!(second.hear_past_data().await, Heard::End);
        assert_eq!(second.data, b"question");
        for _ in 0..3 {
            second.say(Opcode::Binary, b"answer").await;
            assert_eq!(first.hear().await, Heard::Data);
        }
        second.end().await;
        assert_eq!(first.hear().await, Heard::End);
        assert_eq!(first.hear().await, Heard::Close(1000));
        assert_eq!(second.hear().await, Heard::Close(1000));
        assert_eq!(first.hear().await, Heard::Eof);
    }
}

#[tokio::test]
async fn r_pipe_4_who_has_said_and_heard_everything_may_go() {
    let mut pair = pair(4_096);
    let data = pattern(100_000);
    pair.b.end().await;
    assert_eq!(pair.a.hear().await, Heard::End);
    let mut bytes = frame(Opcode::Binary, &data);
    bytes.extend(frame(Opcode::Text, b"end"));
    bytes.extend(close_frame(1000));
    let write = async {
        pair.a.io.write_all(&bytes).await.unwrap();
        drop(pair.a);
    };
    let ((), heard) = tokio::join!(write, pair.b.hear_past_data());
    assert_eq!(heard, Heard::End);
    assert!(pair.b.data == data);
    assert_eq!(pair.b.hear().await, Heard::Close(1000));
    drop(pair.b);
    assert_eq!(pair.relay.await.unwrap().end, PipeEnd::Done);
}

#[tokio::test]
async fn r_pipe_5_a_reset_reaches_the_remote_behind_the_data() {
    for status in [4000, 1000, 1001] {
        let mut pair = pair(4_096);
        let data = pattern(50_000);
        let mut bytes = frame(Opcode::Binary, &data);
        bytes.extend(close_frame(status));
        let (written, heard) = tokio::join!(pair.a.io.write_all(&bytes), pair.b.hear_past_data());
        written.unwrap();
        assert_eq!(heard, Heard::Close(4000));
        assert!(pair.b.data == data);
        assert_eq!(pair.a.hear().await, Heard::Close(4000));
        drop((pair.a, pair.b));
        let end = pair.relay.await.unwrap().end;
        assert_eq!(end, PipeEnd::Reset(PipeSide::A));
    }
}

#[tokio::test]
async fn r_pipe_5_an_end_before_a_reset_is_still_an_end() {
    let mut pair = pair(4_096);
    let mut bytes = frame(Opcode::Binary, b"last");
    bytes.extend(frame(Opcode::Text, b"end"));
    bytes.extend(close_frame(4000));
    pair.a.write(&bytes).await;
    assert_eq!(pair.b.hear_past_data().await, Heard::End);
    assert_eq!(pair.b.data, b"last");
    assert_eq!(pair.b.hear().await, Heard::Close(4000));
}

#[tokio::test]
async fn r_pipe_6_a_peer_that_vanishes_is_no_end() {
    for has_ended in [false, true] {
        let mut pair = pair(1 << 20);
        let data = pattern(300_000);
        pair.b.say(Opcode::Binary, &data).await;
        if has_ended {
            pair.b.end().await;
        }
        drop(pair.b);
        let heard = pair.a.hear_past_data().await;
        if has_ended {
            assert_eq!(heard, Heard::End);
            assert_eq!(pair.a.hear().await, Heard::Close(4001));
        } else {
            assert_eq!(heard, Heard::Close(4001));
        }
        assert!(pair.a.data == data);
        drop(pair.a);
        let end = pair.relay.await.unwrap().end;
        assert_eq!(end, PipeEnd::Lost(PipeSide::B));
    }
}

#[tokio::test]
async fn r_pipe_6_bytes_of_a_peer_that_no_longer_reads_still_arrive() {
    let mut pair = pair(4_096);
    let data = pattern(4_000);
    pair.a.say(Opcode::Binary, &data).await;
    drop(pair.a);
    // The write to the first peer fails before its bytes are read to the end.
    pair.b.say(Opcode::Binary, &data).await;
    assert_eq!(pair.b.hear_past_data().await, Heard::Close(4001));
    assert!(pair.b.data == data);
}

#[tokio::test]
async fn r_pipe_7_who_breaks_the_protocol_is_told_and_its_remote_loses_it() {
    let end = frame(Opcode::Text, b"end");
    for malformed in [
        frame(Opcode::Text, b"END"),
        vec![0x82, 0x01, 0x00],
        vec![0xc2, 0x80, 0, 0, 0, 0],
        [end.clone(), end].concat(),
    ] {
        let mut pair = pair(4_096);
        pair.a.say(Opcode::Binary, b"before").await;
        pair.a.write(&malformed).await;
        assert_eq!(pair.a.hear().await, Heard::Close(4003));
        let mut heard = pair.b.hear_past_data().await;
        if heard == Heard::End {
            heard = pair.b.hear().await;
        }
        assert_eq!(heard, Heard::Close(4001));
        assert_eq!(pair.b.data, b"before");
        drop((pair.a, pair.b));
        let end = pair.relay.await.unwrap().end;
        assert_eq!(end, PipeEnd::Malformed(PipeSide::A));
    }
}

#[tokio::test]
async fn r_pipe_12_a_pipe_that_is_cut_tells_both() {
    let mut pair = pair(4_096);
    pair.a.say(Opcode::Binary, b"x").await;
    assert_eq!(pair.b.hear().await, Heard::Data);
    pair.cut.cancel();
    assert_eq!(pair.a.hear().await, Heard::Close(4002));
    assert_eq!(pair.b.hear().await, Heard::Close(4002));
    drop((pair.a, pair.b));
    assert_eq!(pair.relay.await.unwrap().end, PipeEnd::Cut);
}

#[tokio::test(start_paused = true)]
async fn r_pipe_13_the_star_reads_on_for_a_while_after_its_close() {
    let mut pair = pair(4_096);
    pair.cut.cancel();
    assert_eq!(pair.a.hear().await, Heard::Close(4002));
    assert_eq!(pair.a.hear().await, Heard::Eof);
    let bytes = frame(Opcode::Binary, &pattern(1_000_000));
    pair.a.io.write_all(&bytes).await.unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(pair.relay.await.unwrap().end, PipeEnd::Cut);
    assert_eq!(start.elapsed().as_secs(), 2);
    let mut rest = [0; 1];
    assert_eq!(pair.a.io.read(&mut rest).await.unwrap(), 0);
}
