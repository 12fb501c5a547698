//! A bridge whose other side is the reference, played by hand.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use starpoint_bridge::{
    MuxConfig,
    codec::{Frame, FrameEvent, frames},
    driver::{client, host},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    channel::{End, Weather, channel},
    service::{InMemory, PATIENCE, noise},
};

async fn say(end: &mut End, event: FrameEvent, message: u16, payload: &[u8]) {
    let payload = Bytes::copy_from_slice(payload);
    for frame in frames(event, 1, message, &payload, 65_525).unwrap() {
        end.send(frame.encode()).await.unwrap();
    }
}

async fn receive(end: &mut End) -> (FrameEvent, Bytes) {
    let message = timeout(PATIENCE, end.next()).await.expect("in time");
    let frame = Frame::decode(&message.unwrap().unwrap()).unwrap();
    assert_eq!(frame.line(), 1);
    (frame.event(), frame.into_payload())
}

#[tokio::test(start_paused = true)]
async fn r_bridge_10_the_reference_may_burst_and_close_with_data_unread() {
    let (mut reference, far) = channel(Weather::stormy(41));
    let (target, mut accepted) = InMemory::new(1_000);
    tokio::spawn(host(
        far,
        MuxConfig::default(),
        target,
        CancellationToken::new(),
    ));
    let sent = noise(1, 200_000);
    say(&mut reference, FrameEvent::Connect, 0, b"").await;
    say(&mut reference, FrameEvent::Data, 1, &sent).await;
    say(&mut reference, FrameEvent::Close, 2, b"").await;
    let mut service = accepted.recv().await.unwrap();
    let mut heard = Vec::new();
    let read = timeout(PATIENCE, service.read_to_end(&mut heard));
    read.await.expect("in time").unwrap();
    assert!(heard == sent);
    drop(service);
    // A CONNECT may come before it.
    let mut answer = receive(&mut reference).await;
    if answer.0 == FrameEvent::Connect {
        answer = receive(&mut reference).await;
    }
    assert_eq!(answer, (FrameEvent::Close, Bytes::new()));
}

#[tokio::test(start_paused = true)]
async fn r_bridge_10_an_end_is_a_close_to_the_reference() {
    let (near, mut reference) = channel(Weather::CALM);
    let (streams, incoming) = mpsc::channel(1);
    let bridge = client(
        near,
        MuxConfig::default(),
        incoming,
        CancellationToken::new(),
    );
    let bridge = tokio::spawn(bridge);
    let (mut app, end) = duplex(1_000);
    streams.send(end).await.unwrap();
    assert_eq!(receive(&mut reference).await.0, FrameEvent::Connect);
    say(&mut reference, FrameEvent::Connect, 0, b"").await;
    app.write_all(b"ask").await.unwrap();
    let asked = receive(&mut reference).await;
    assert_eq!(asked, (FrameEvent::Data, Bytes::from_static(b"ask")));
    say(&mut reference, FrameEvent::Data, 1, b"answer").await;
    let mut answer = [0; 6];
    app.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
    app.shutdown().await.unwrap();
    assert_eq!(
        receive(&mut reference).await,
        (FrameEvent::Close, Bytes::new())
    );
    say(&mut reference, FrameEvent::Close, 2, b"").await;
    assert_eq!(app.read(&mut [0; 1]).await.unwrap(), 0);
    drop((app, streams));
    let ended = timeout(PATIENCE, bridge).await.expect("nothing is left");
    ended.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn r_bridge_6_a_connection_without_a_line_is_refused_at_once() {
    let (near, _reference) = channel(Weather::CALM);
    let (streams, incoming) = mpsc::channel(1);
    let config = MuxConfig {
        max_lines: 1,
        ..MuxConfig::default()
    };
    tokio::spawn(client(near, config, incoming, CancellationToken::new()));
    let (_first, end) = duplex(10);
    streams.send(end).await.unwrap();
    let (mut second, end) = duplex(10);
    streams.send(end).await.unwrap();
    let read = timeout(PATIENCE, second.read(&mut [0; 1])).await;
    assert_eq!(read.expect("in time").unwrap(), 0);
}
