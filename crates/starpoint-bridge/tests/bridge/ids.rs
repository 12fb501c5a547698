//! Lines come and go, their ids with them.

use std::collections::BTreeMap;

use bytes::Bytes;
use starpoint_bridge::codec::{Frame, FrameEvent};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, copy, duplex, split},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

use crate::{
    channel::{Weather, tapped_channel},
    service::{InMemory, PATIENCE, Shared, in_memory},
};

const N_SHORT: u64 = 70_000;

async fn connect(streams: &mpsc::Sender<DuplexStream>) -> DuplexStream {
    let (app, end) = duplex(1024);
    streams.send(end).await.unwrap();
    app
}

async fn ask(app: &mut DuplexStream, text: &[u8]) {
    app.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    let read = timeout(PATIENCE, app.read_exact(&mut back));
    read.await.expect("in time").unwrap();
    assert_eq!(back, text);
}

#[tokio::test(start_paused = true)]
async fn r_bridge_6_a_long_line_keeps_its_id_beside_70_000_short_ones() {
    let opened = Shared::<BTreeMap<u16, u32>>::default();
    let seen = opened.clone();
    let tap = move |message: &Bytes| {
        let frame = Frame::decode(message).unwrap();
        if frame.event() == FrameEvent::Connect && frame.message() == 0 {
            *seen.lock().unwrap().entry(frame.line()).or_default() += 1;
        }
    };
    let (target, mut accepted) = InMemory::new(1024);
    let channel = tapped_channel(Weather::stormy(31), Box::new(tap));
    let streams = in_memory(channel, target);
    tokio::spawn(async move {
        while let Some(stream) = accepted.recv().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = split(stream);
                copy(&mut reader, &mut writer).await.unwrap();
                writer.shutdown().await.unwrap();
            });
        }
    });
    let mut long = connect(&streams).await;
    ask(&mut long, b"first").await;
    let mut short = JoinSet::new();
    for n in 0..N_SHORT {
        if short.len() >= 200 {
            short.join_next().await.unwrap().unwrap();
        }
        let mut app = connect(&streams).await;
        short.spawn(async move {
            ask(&mut app, &n.to_be_bytes()).await;
            app.shutdown().await.unwrap();
            assert_eq!(app.read(&mut [0; 1]).await.unwrap(), 0);
        });
        if n % 1_000 == 0 {
            ask(&mut long, format!("after {n}").as_bytes()).await;
        }
    }
    while let Some(ended) = short.join_next().await {
        ended.unwrap();
    }
    ask(&mut long, b"last").await;
    let opened = opened.lock().unwrap();
    assert_eq!(opened[&1], 1, "the id of the long line");
    assert_eq!(opened[&0], 1, "the last of the first round");
    assert_eq!(opened[&2], 2, "the second of two rounds");
    assert_eq!(opened.values().sum::<u32>() as u64, N_SHORT + 1);
}
