//! The stream: ends, resets, back-pressure.

use std::{io::ErrorKind, time::Duration};

use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _, future::join_all};
use libp2p_websocket_star::{Config, Profile, Stream};
use starpoint_test_support::within;

use crate::{
    node::{News, Node, connected},
    peer::{config, peer_address, profiles, star, star_address},
};

const MIB: usize = 1024 * 1024;

/// Bytes that repeat at no power of two, so that a lost chunk shows.
fn payload(n_bytes: usize) -> Vec<u8> {
    (0..n_bytes).map(|i| (i % 251) as u8).collect()
}

async fn read_all(stream: &mut Stream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    within("end of a stream", stream.read_to_end(&mut bytes)).await?;
    Ok(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_15_bytes_arrive_whole_and_in_order_both_ways_at_once() {
    for config in profiles() {
        let star = star().await;
        let (_dialer, there, _listener, here) = connected(star.port(), &config).await;
        let sent = payload(8 * MIB);
        let pump = |stream: Stream, sent: Vec<u8>| async move {
            let (mut reader, mut writer) = stream.split();
            let write = async {
                writer.write_all(&sent).await.unwrap();
                writer.close().await.unwrap();
            };
            let mut received = Vec::new();
            let read = reader.read_to_end(&mut received);
            let ((), n_read) = libp2p::futures::join!(write, read);
            n_read.unwrap();
            assert!(received == sent, "{} bytes", received.len());
        };
        let both = async { tokio::join!(pump(there, sent.clone()), pump(here, sent.clone())) };
        within("transfer", both).await;
        star.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_16_a_closed_direction_ends_and_the_other_goes_on() {
    for config in profiles() {
        let star = star().await;
        let (_dialer, mut there, _listener, mut here) = connected(star.port(), &config).await;
        there.write_all(b"question").await.unwrap();
        there.close().await.unwrap();
        assert_eq!(read_all(&mut here).await.unwrap(), b"question");
        let late = there.write(b"late").await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::BrokenPipe);
        here.write_all(b"answer").await.unwrap();
        here.close().await.unwrap();
        assert_eq!(read_all(&mut there).await.unwrap(), b"answer");
        star.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_17_a_dropped_stream_is_a_reset_and_no_end() {
    for config in profiles() {
        let star = star().await;
        let (_dialer, mut there, _listener, mut here) = connected(star.port(), &config).await;
        there.write_all(b"half a").await.unwrap();
        there.flush().await.unwrap();
        let mut start = [0; 6];
        within("bytes", here.read_exact(&mut start)).await.unwrap();
        drop(there);
        let error = read_all(&mut here).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = here.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        star.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_18_a_lost_star_is_an_error_and_no_end() {
    for config in profiles() {
        let star = star().await;
        let (_dialer, mut there, _listener, mut here) = connected(star.port(), &config).await;
        here.write_all(b"x").await.unwrap();
        drop(star);
        for stream in [&mut there, &mut here] {
            let error = read_all(stream).await.unwrap_err();
            let kinds = [ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            assert!(stream.write(b"x").await.is_err());
            assert!(stream.close().await.is_err());
        }
    }
}

/// Writes until the stream is pending and stays so while others get their turns;
/// returns how much it took.
async fn fill(stream: &mut Stream) -> usize {
    let chunk = payload(64 * 1024);
    let mut n_bytes = 0;
    loop {
        let write = tokio::time::timeout(Duration::from_millis(500), stream.write(&chunk));
        match write.await {
            Ok(n_written) => n_bytes += n_written.unwrap(),
            Err(_) => return n_bytes,
        }
        assert!(n_bytes < 512 * MIB, "nothing holds the writer back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_19_a_writer_waits_for_a_slow_reader_and_nothing_is_lost() {
    for config in profiles() {
        let star = star().await;
        let dialer = Node::at_with(star.port(), config.clone()).await;
        let patient = Config {
            stall_deadline: Duration::from_secs(60),
            ..config.clone()
        };
        let mut listener = Node::at_with(star.port(), patient).await;
        let address = peer_address(star.port(), listener.id);
        let mut there = dialer.dial(address).await.unwrap();
        let mut here = listener.accept().await;
        let n_taken = fill(&mut there).await;
        // Buffers of both sides, of the star, and of six sockets.
        assert!(n_taken < 64 * MIB, "{n_taken} bytes are on their way");
        let reader = async { read_all(&mut here).await };
        let writer = async {
            there.write_all(b"end").await.unwrap();
            there.close().await
        };
        let (received, closed) = within("transfer", async { tokio::join!(reader, writer) }).await;
        closed.unwrap();
        assert_eq!(received.unwrap().len(), n_taken + 3);
        star.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_20_a_reader_that_stops_is_reset_so_that_others_go_on() {
    let star = star().await;
    let dialer = Node::at(star.port()).await;
    let strict = Config {
        stall_deadline: Duration::from_millis(300),
        profile: Profile::Legacy,
        ..config()
    };
    let mut listener = Node::at_with(star.port(), strict).await;
    let address = peer_address(star.port(), listener.id);
    let mut stalled = dialer.dial(address.clone()).await.unwrap();
    let mut unread = listener.accept().await;
    let mut other = dialer.dial(address).await.unwrap();
    let mut other_end = listener.accept().await;
    let flood = async {
        let chunk = payload(64 * 1024);
        while stalled.write_all(&chunk).await.is_ok() {}
    };
    let exchange = async {
        let error = loop {
            let mut byte = [0; 1024];
            // Reads far less than would count as progress.
            tokio::time::sleep(Duration::from_millis(100)).await;
            if let Err(error) = unread.read(&mut byte).await {
                break error;
            }
            if unread
                .write(b"x")
                .now_or_never()
                .is_some_and(|r| r.is_err())
            {
                break read_all(&mut unread).await.unwrap_err();
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        other.write_all(b"still here").await.unwrap();
        other.close().await.unwrap();
        read_all(&mut other_end).await.unwrap()
    };
    let (_, received) = within("exchange", async { tokio::join!(flood, exchange) }).await;
    assert_eq!(received, b"still here");
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_28_a_pipe_that_is_not_read_holds_nobody_else_up() {
    let star = star().await;
    let dialer = Node::at(star.port()).await;
    let strict = Config {
        stall_deadline: Duration::from_millis(100),
        ..config()
    };
    let mut listener = Node::at_with(star.port(), strict).await;
    let address = peer_address(star.port(), listener.id);
    let mut stalled = dialer.dial(address.clone()).await.unwrap();
    let mut unread = listener.accept().await;
    let n_taken = fill(&mut stalled).await;
    let mut other = dialer.dial(address).await.unwrap();
    let mut other_end = listener.accept().await;
    let send = async {
        other.write_all(&payload(8 * MIB)).await.unwrap();
        other.close().await.unwrap();
    };
    let ((), received) = tokio::join!(send, read_all(&mut other_end));
    assert_eq!(received.unwrap().len(), 8 * MIB);
    // It has waited, and lost nothing.
    let end = async { stalled.close().await };
    let (received, closed) = tokio::join!(read_all(&mut unread), end);
    closed.unwrap();
    assert_eq!(received.unwrap().len(), n_taken);
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_21_streams_share_a_star_fairly() {
    for config in profiles() {
        let star = star().await;
        let dialer = Node::at_with(star.port(), config.clone()).await;
        let mut listener = Node::at_with(star.port(), config.clone()).await;
        let address = peer_address(star.port(), listener.id);
        let mut bulk = dialer.dial(address.clone()).await.unwrap();
        let mut bulk_end = listener.accept().await;
        let flood = tokio::spawn(async move {
            let chunk = payload(64 * 1024);
            while bulk.write_all(&chunk).await.is_ok() {}
        });
        let drain = tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while bulk_end.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
        });
        let mut small = dialer.dial(address).await.unwrap();
        let mut small_end = listener.accept().await;
        let exchange = async {
            for _ in 0..20 {
                let mut byte = [0];
                small.write_all(b"?").await.unwrap();
                small_end.read_exact(&mut byte).await.unwrap();
                small_end.write_all(b"!").await.unwrap();
                small.read_exact(&mut byte).await.unwrap();
            }
        };
        within("small messages beside a flood", exchange).await;
        flood.abort();
        drain.abort();
        star.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_2_a_removed_listener_says_so_and_its_streams_go_on() {
    for config in profiles() {
        let star = star().await;
        let (_dialer, mut there, mut listener, mut here) = connected(star.port(), &config).await;
        listener.remove_listener();
        listener.until(&News::Closed).await;
        there.write_all(b"still").await.unwrap();
        there.close().await.unwrap();
        assert_eq!(read_all(&mut here).await.unwrap(), b"still");
        drop((there, here));
        let late = Node::new();
        let address = peer_address(star.port(), listener.id);
        // The star hears of the leave before it hears of this dial.
        let error = late.dial(address).await.unwrap_err();
        assert!(
            matches!(error, libp2p_websocket_star::Error::PeerNotFound),
            "{error}"
        );
        star.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_2_a_dropped_transport_breaks_its_streams() {
    for config in profiles() {
        let star = star().await;
        let (dialer, mut there, _listener, mut here) = connected(star.port(), &config).await;
        dialer.stop().await;
        assert!(read_all(&mut there).await.is_err());
        assert!(read_all(&mut here).await.is_err());
        star.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_11_visits_are_shared_and_end_when_idle() {
    let star = star().await;
    let mut listener = Node::at(star.port()).await;
    let quick = Config {
        visitor_idle: Duration::from_millis(200),
        ..config()
    };
    let visitor = Node::with(quick, None);
    let address = peer_address(star.port(), listener.id);
    let dials = join_all((0..20).map(|_| visitor.dial(address.clone()))).await;
    assert_eq!(visitor.gauges.connections(), 1);
    let (mut here, from) = listener.accept_from().await;
    assert_eq!(from, peer_address(star.port(), visitor.id));
    let mut streams: Vec<_> = dials.into_iter().map(Result::unwrap).collect();
    for stream in &mut streams {
        stream.write_all(b"hi").await.unwrap();
    }
    let mut hi = [0; 2];
    within("greeting", here.read_exact(&mut hi)).await.unwrap();
    drop(streams);
    let idle = async {
        while visitor.gauges.stars() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("end of the visit", idle).await;
    assert_eq!(visitor.gauges.connections(), 0);
    visitor.dial(address).await.expect("another visit");
    star.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_trans_22_an_executor_moves_the_data_and_stops_with_the_transport() {
    for config in profiles() {
        let star = star().await;
        let executor: fn(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) = |task| {
            tokio::spawn(task);
        };
        let spawned = || Config {
            executor: Some(std::sync::Arc::new(executor)),
            ..config.clone()
        };
        let mut listener = Node::at_with(star.port(), spawned()).await;
        let dialer = Node::with(spawned(), Some(star_address(star.port())));
        let address = peer_address(star.port(), listener.id);
        let mut there = dialer.dial(address).await.unwrap();
        let mut here = listener.accept().await;
        there.write_all(&payload(MIB)).await.unwrap();
        there.close().await.unwrap();
        assert_eq!(read_all(&mut here).await.unwrap().len(), MIB);
        let gauges = dialer.gauges.clone();
        dialer.stop().await;
        let stopped = async {
            while gauges.stars() + gauges.connections() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("end of the tasks", stopped).await;
        assert!(read_all(&mut there).await.is_err());
        star.stop().await;
    }
}
