//! Sides that vanish, and come back.

use std::time::Duration;

use starpoint_test_support::{Star, StarOptions, within};
use starpoint_tunnel::{
    ConnectError,
    client::{self, Ended, State},
    host::{HostEvent, Standing},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    services::{Service, banner, echo},
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
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
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
    assert_eq!(
        read.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
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
    assert_eq!(
        read.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    within("the listener to close", async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {}
    })
    .await;
}
