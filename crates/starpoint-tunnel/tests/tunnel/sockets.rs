//! Listeners of a client, and who watches their sockets.

use std::sync::Arc;

use starpoint_test_support::within;
use starpoint_tunnel::{client, monitor::Traffic};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    services::{Service, banner, body, echo, read_all},
    stage::{Guest, Stage, connect},
};

#[tokio::test(flavor = "multi_thread")]
async fn listeners_come_and_go_while_others_run() {
    let echoing = Service::new(echo);
    let greeting = Service::new(banner);
    let targets = [
        format!("echo={}", echoing.address),
        format!("hello={}", greeting.address),
    ];
    let stage = Stage::new([&targets[0], &targets[1]]).await;
    let mut guest = stage.guest().await;
    let first = guest.listen_for(Some("echo"));
    let mut lasting = connect(first).await;
    lasting.write_all(b"one").await.unwrap();
    let mut three = [0; 3];
    within("an echo", lasting.read_exact(&mut three))
        .await
        .unwrap();

    let second = guest.listen_for(Some("hello"));
    let mut socket = connect(second).await;
    let mut hello = [0; 10];
    within("a banner", socket.read_exact(&mut hello))
        .await
        .unwrap();
    assert!(guest.client.remove(second).await);
    assert!(!guest.client.remove(second).await);
    let error = within("the reset", socket.read(&mut hello))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(TcpStream::connect(second).await.is_err());
    assert_eq!(guest.client.listeners().collect::<Vec<_>>(), [first]);

    lasting.write_all(b"two").await.unwrap();
    within("an echo", lasting.read_exact(&mut three))
        .await
        .unwrap();
    assert_eq!(&three, b"two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_listener_carries_anything() {
    let service = Service::new(echo);
    let stage = Stage::new([&service.address.to_string()]).await;
    let guest = stage.guest().await;
    let socket = guest.client.connect(None).await.unwrap();
    let sent = body(100_000);
    let (mut reader, mut got) = (sent.as_slice(), Vec::new());
    let copied = socket.copy(&mut reader, &mut got);
    let moved = within("the copy", copied).await.unwrap();
    assert_eq!((moved.sent_bytes, moved.received_bytes), (100_000, 100_000));
    assert!(got == sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_counts_what_passes_and_goes_with_the_socket() {
    let service = Service::new(echo);
    let (at_host, at_client) = (Traffic::default(), Traffic::default());
    let watcher = at_host.clone();
    let stage = Stage::with([&service.address.to_string()], |config| {
        config.monitors.push(Arc::new(watcher));
    })
    .await;
    let mut config = client::Config::default();
    config.monitors.push(Arc::new(at_client.clone()));
    let mut guest = Guest::join_with(stage.code().await, config).await.unwrap();
    let address = guest.listen();
    for n_bytes in [0, 1, 100_000] {
        let mut socket = connect(address).await;
        let sent = body(n_bytes);
        socket.write_all(&sent).await.unwrap();
        socket.shutdown().await.unwrap();
        assert!(within("the echo", read_all(&mut socket)).await == sent);
    }
    within("the meters to go", async {
        while at_host.n_open() + at_client.n_open() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for traffic in [at_host, at_client] {
        assert_eq!(traffic.n_opened(), 3);
        assert_eq!(traffic.sent_bytes(), 100_001);
        assert_eq!(traffic.received_bytes(), 100_001);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_16_more_programs_wait_until_there_is_room() {
    let service = Service::new(banner);
    let stage = Stage::new([&service.address.to_string()]).await;
    let mut config = client::Config::default();
    config.max_sockets = std::num::NonZero::new(2).unwrap();
    let mut guest = Guest::join_with(stage.code().await, config).await.unwrap();
    let address = guest.listen();
    let mut hello = [0; 10];
    let mut first = connect(address).await;
    let mut second = connect(address).await;
    let mut third = connect(address).await;
    within("a banner", first.read_exact(&mut hello))
        .await
        .unwrap();
    within("a banner", second.read_exact(&mut hello))
        .await
        .unwrap();
    let early = tokio::time::timeout(
        std::time::Duration::from_millis(300),
        third.read_exact(&mut hello),
    );
    assert!(early.await.is_err());
    drop(first);
    within("a banner", third.read_exact(&mut hello))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_11_a_host_limits_the_sockets_of_a_client() {
    let service = Service::new(banner);
    let stage = Stage::with([&service.address.to_string()], |config| {
        config.max_sockets = std::num::NonZero::new(2).unwrap();
    })
    .await;
    let guest = stage.guest().await;
    let first = guest.client.connect(None).await.unwrap();
    let _second = guest.client.connect(None).await.unwrap();
    let error = guest.client.connect(None).await.unwrap_err();
    assert_eq!(error.to_string(), "host is busy");
    drop(first);
    within("room for another one", async {
        while guest.client.connect(None).await.is_err() {}
    })
    .await;
}
