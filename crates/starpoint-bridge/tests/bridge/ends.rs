//! How connections begin and end.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use crate::{
    channel::Weather,
    service::{Bridge, PATIENCE, check_echo, echo_and_digest, noise, serve, serve_at},
};

const MIB: usize = 1024 * 1024;

/// Reads to the end, in time.
async fn rest(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes));
    read.await.expect("in time").map(|_| bytes)
}

#[tokio::test]
async fn r_bridge_14_a_server_may_speak_first() {
    let service = serve(|mut stream| async move {
        stream.write_all(b"220 ready\r\n").await?;
        let mut line = [0; 6];
        stream.read_exact(&mut line).await?;
        stream.write_all(b"221 bye ").await?;
        stream.write_all(&line).await
    })
    .await;
    let bridge = Bridge::to(vec![service], Weather::stormy(1)).await;
    let mut stream = bridge.connect().await;
    let mut banner = [0; 11];
    stream.read_exact(&mut banner).await.unwrap();
    assert_eq!(&banner, b"220 ready\r\n");
    stream.write_all(b"QUIT\r\n").await.unwrap();
    assert_eq!(rest(&mut stream).await.unwrap(), b"221 bye QUIT\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_bridge_11_a_close_with_20_mib_unread_arrives_whole() {
    let service = serve(|mut stream| async move {
        stream.write_all(&noise(3, 20 * MIB)).await?;
        stream.shutdown().await
    })
    .await;
    let bridge = Bridge::to(vec![service], Weather::stormy(2)).await;
    let mut stream = bridge.connect().await;
    sleep(Duration::from_millis(300)).await;
    let bytes = rest(&mut stream).await.unwrap();
    assert_eq!(bytes.len(), 20 * MIB);
    assert!(bytes == noise(3, 20 * MIB));
}

#[tokio::test]
async fn r_bridge_11_half_close_works_in_both_directions() {
    let (told, mut totals) = mpsc::channel(1);
    let service = serve(move |mut stream| {
        let told = told.clone();
        async move {
            stream.write_all(b"all I have to say").await?;
            stream.shutdown().await?;
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await?;
            told.send(heard).await.map_err(io::Error::other)
        }
    })
    .await;
    let bridge = Bridge::to(vec![service], Weather::stormy(3)).await;
    let mut stream = bridge.connect().await;
    assert_eq!(rest(&mut stream).await.unwrap(), b"all I have to say");
    let sent = noise(4, 300_000);
    stream.write_all(&sent).await.unwrap();
    stream.shutdown().await.unwrap();
    let heard = timeout(PATIENCE, totals.recv()).await.unwrap().unwrap();
    assert!(heard == sent);

    // The other way round: the client ends first, and is answered.
    let service = serve(echo_and_digest).await;
    let bridge = Bridge::to(vec![service], Weather::stormy(4)).await;
    check_echo(bridge.connect().await, 5, 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_bridge_14_bursts_of_connect_send_close_arrive() {
    let (told, mut heard) = mpsc::channel(64);
    let service = serve(move |mut stream| {
        let told = told.clone();
        async move {
            let mut all = String::new();
            stream.read_to_string(&mut all).await?;
            told.send(all).await.map_err(io::Error::other)
        }
    })
    .await;
    let bridge = Bridge::to(vec![service], Weather::stormy(6)).await;
    let address = bridge.address;
    tokio::spawn(async move {
        for n in 0..1_000 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(format!("burst {n:04}").as_bytes())
                .await
                .unwrap();
        }
    });
    let mut all = Vec::new();
    for _ in 0..1_000 {
        let one = timeout(PATIENCE, heard.recv()).await;
        all.push(one.expect("in time").unwrap());
    }
    all.sort();
    let expected: Vec<_> = (0..1_000).map(|n| format!("burst {n:04}")).collect();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn r_bridge_9_a_refused_target_resets_the_client_within_a_second() {
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let bridge = Bridge::to(vec![closed], Weather::stormy(7)).await;
    let mut stream = bridge.connect().await;
    let mut space = [0; 1];
    let read = timeout(Duration::from_secs(1), stream.read(&mut space)).await;
    let error = read.expect("within a second").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn r_bridge_9_a_reset_is_a_reset_at_the_other_side() {
    let service = serve(|mut stream| async move {
        stream.write_all(b"x").await?;
        let mut space = [0; 1];
        stream.read_exact(&mut space).await?;
        stream.set_zero_linger()
    })
    .await;
    let bridge = Bridge::to(vec![service], Weather::stormy(8)).await;
    let mut stream = bridge.connect().await;
    let mut space = [0; 1];
    stream.read_exact(&mut space).await.unwrap();
    stream.write_all(b"y").await.unwrap();
    let error = rest(&mut stream).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

    // From the client's side.
    let (told, mut ends) = mpsc::channel(1);
    let service = serve(move |mut stream| {
        let told = told.clone();
        async move {
            let end = rest(&mut stream).await.map_err(|error| error.kind());
            told.send(end).await.map_err(io::Error::other)
        }
    })
    .await;
    let bridge = Bridge::to(vec![service], Weather::stormy(9)).await;
    let mut stream = bridge.connect().await;
    stream.write_all(b"z").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    let end = timeout(PATIENCE, ends.recv()).await.unwrap().unwrap();
    assert_eq!(end, Err(io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn r_bridge_14_a_service_on_either_loopback_address_is_found() {
    for family in ["127.0.0.1:0", "[::1]:0"] {
        // Not every machine has IPv6.
        let Ok(service) = serve_at(family, echo_and_digest).await else {
            continue;
        };
        let addresses =
            ["127.0.0.1", "::1"].map(|ip| SocketAddr::new(ip.parse().unwrap(), service.port()));
        let bridge = Bridge::to(addresses.to_vec(), Weather::CALM).await;
        check_echo(bridge.connect().await, 10, 1_000).await;
    }
}

#[tokio::test]
async fn r_bridge_14_two_bridges_may_serve_one_service() {
    let service = serve(echo_and_digest).await;
    let first = Bridge::to(vec![service], Weather::stormy(12)).await;
    let second = Bridge::to(vec![service], Weather::stormy(13)).await;
    tokio::join!(
        check_echo(first.connect().await, 12, 50_000),
        check_echo(second.connect().await, 13, 50_000),
    );
    drop(first);
    check_echo(second.connect().await, 14, 50_000).await;
}

#[tokio::test]
async fn r_bridge_13_connections_are_reset_when_the_channel_is_lost() {
    let (told, ended) = oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let service = serve(move |mut stream| {
        let told = told.lock().unwrap().take();
        async move {
            stream.write_all(b"hello").await?;
            let end = rest(&mut stream).await.map_err(|error| error.kind());
            if let Some(told) = told {
                told.send(end).map_err(|_| io::ErrorKind::Other)?;
            }
            Ok(())
        }
    })
    .await;
    let bridge = Bridge::to(vec![service], Weather::CALM).await;
    let mut stream = bridge.connect().await;
    let mut space = [0; 5];
    stream.read_exact(&mut space).await.unwrap();
    bridge.client.abort();
    let error = rest(&mut stream).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let end = timeout(Duration::from_secs(5), ended).await.unwrap();
    assert_eq!(end.unwrap(), Err(io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn r_bridge_13_a_bridge_that_is_stopped_resets_both_ends() {
    let service = serve(echo_and_digest).await;
    let mut bridge = Bridge::to(vec![service], Weather::stormy(11)).await;
    let mut stream = bridge.connect().await;
    stream.write_all(b"x").await.unwrap();
    let mut space = [0; 1];
    stream.read_exact(&mut space).await.unwrap();
    bridge.stop_client.cancel();
    let error = rest(&mut stream).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    (&mut bridge.client).await.unwrap().unwrap();
    let host = timeout(PATIENCE, &mut bridge.host).await.unwrap();
    host.unwrap()
        .expect("all lines were closed before the channel");
}
