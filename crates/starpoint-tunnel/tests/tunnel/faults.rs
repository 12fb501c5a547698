//! Sides that vanish, and come back.

use std::{io::ErrorKind, time::Duration};

use starpoint_test_support::{Star, StarOptions, within};
use starpoint_tunnel::{
    ConnectError,
    client::{self, Ended, State},
    host::{HostEvent, Standing},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
};

use crate::{
    services::{Service, banner, body, echo, firehose, read_all, sha256},
    stage::{Guest, Stage, connect},
};

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_9_a_session_outlives_its_star() {
    let service = Service::new(echo);
    let mut stage = Stage::new([&service.address.to_string()]).await;
    let mut guest = stage.guest().await;
    let address = guest.listen();
    let mut socket = connect(address).await;
    socket.write_all(b"one").await.unwrap();
    within("an echo", socket.read_exact(&mut [0; 3]))
        .await
        .unwrap();

    let port = stage.star.port();
    let id = guest.node.peer_id();
    drop(std::mem::replace(&mut stage.star, Star::with_args([])));
    guest.until(|state| *state == State::Reconnecting).await;
    let error = within("the reset", socket.read(&mut [0; 1]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    stage
        .event(|event| (*event == HostEvent::Lost { client: id }).then_some(()))
        .await;

    let options = StarOptions {
        port: Some(port),
        ..StarOptions::default()
    };
    stage.star = Star::start(&options);
    guest
        .until(|state| matches!(state, State::Open { .. }))
        .await;
    stage
        .event(|event| (*event == HostEvent::Resumed { client: id }).then_some(()))
        .await;
    let mut socket = connect(address).await;
    socket.write_all(b"two").await.unwrap();
    let mut two = [0; 3];
    within("an echo", socket.read_exact(&mut two))
        .await
        .unwrap();
    assert_eq!(&two, b"two");
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_13_what_loses_its_star_on_the_way_does_not_look_complete() {
    static CUT: Semaphore = Semaphore::const_new(0);
    let giving = Service::new(firehose);
    let taking = Service::new(|mut socket: TcpStream| async move {
        let error = read_to_error(&mut socket).await;
        assert_eq!(error, Some(ErrorKind::ConnectionReset));
        // Nobody would notice the panic of a service: this is the sign.
        CUT.add_permits(1);
    });
    let targets = [&giving, &taking].map(|service| service.address.to_string());
    let mut stage = Stage::new([&targets[0], &targets[1]]).await;
    let mut guest = stage.guest().await;
    let mut download = connect(guest.listen()).await;
    let port = taking.address.port().to_string();
    let mut upload = connect(guest.listen_for(Some(&port))).await;
    within("a first byte", download.read_exact(&mut [0; 1]))
        .await
        .unwrap();
    let uploading = tokio::spawn(async move {
        let chunk = body(64 * 1024);
        while upload.write_all(&chunk).await.is_ok() {}
    });
    // Both are under way, and the download is longer than what buffers hold.
    within("some bytes", download.read_exact(&mut vec![0; 1024 * 1024]))
        .await
        .unwrap();

    let port = stage.star.port();
    drop(std::mem::replace(&mut stage.star, Star::with_args([])));
    let error = within("the reset", read_to_error(&mut download)).await;
    assert_eq!(error, Some(ErrorKind::ConnectionReset));
    within("the writer to notice", uploading).await.unwrap();
    within("the service to notice", CUT.acquire())
        .await
        .unwrap()
        .forget();

    guest.until(|state| *state == State::Reconnecting).await;
    stage.star = Star::start(&StarOptions {
        port: Some(port),
        ..StarOptions::default()
    });
    guest
        .until(|state| matches!(state, State::Open { .. }))
        .await;
    let mut again = connect(guest.listen()).await;
    let whole = within("a whole download", read_all(&mut again)).await;
    assert_eq!(sha256(&whole), sha256(&body(20 * 1024 * 1024)));
}

/// Reads to the end, which is an error or none.
async fn read_to_error(socket: &mut TcpStream) -> Option<ErrorKind> {
    let read = tokio::io::copy(socket, &mut tokio::io::sink()).await;
    read.err().map(|error| error.kind())
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_9_a_host_notices_that_a_client_is_gone() {
    let service = Service::new(banner);
    let mut stage = Stage::new([&service.address.to_string()]).await;
    let guest = stage.guest().await;
    let id = guest.node.peer_id();
    let Guest { node, client, .. } = guest;
    // Without a word.
    drop(client);
    drop(node);
    let begun = std::time::Instant::now();
    stage
        .event(|event| (*event == HostEvent::Lost { client: id }).then_some(()))
        .await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let clients = stage.host.clients().await.unwrap();
    assert_eq!(clients, [(id, Standing::Away)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_16_programs_wait_briefly_for_a_host_that_is_gone() {
    let service = Service::new(banner);
    let stage = Stage::new([&service.address.to_string()]).await;
    let mut config = client::Config::default();
    config.wait_deadline = Duration::from_millis(700);
    config.reconnect_for = Duration::from_secs(3);
    let mut guest = Guest::join_with(stage.code().await, config).await.unwrap();
    let address = guest.listen();
    let Stage {
        star: _star,
        node,
        host,
        ..
    } = stage;
    drop(host);
    drop(node);
    guest.until(|state| *state == State::Reconnecting).await;
    let begun = std::time::Instant::now();
    let mut socket = connect(address).await;
    let read = within("the reset", socket.read(&mut [0; 1])).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(begun.elapsed() >= Duration::from_millis(700));
    let error = guest.socket_error().await;
    assert!(matches!(error, ConnectError::NotOpen), "{error:?}");
    let over = guest.until(|state| matches!(state, State::Closed(_))).await;
    assert_eq!(over, State::Closed(Ended::GaveUp));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_dropped_leaves_no_listener() {
    let service = Service::new(banner);
    let (_stage, guest, address) = Stage::between(service.address).await;
    let mut socket = connect(address).await;
    within("a banner", socket.read_exact(&mut [0; 10]))
        .await
        .unwrap();
    drop(guest);
    let read = within("the reset", socket.read(&mut [0; 1])).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    within("the listener to close", async {
        while TcpStream::connect(address).await.is_ok() {}
    })
    .await;
}
