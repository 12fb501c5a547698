//! What can be reached, and what cannot.

use std::time::{Duration, Instant};

use starpoint_test_support::within;
use starpoint_tunnel::{ConnectError, Refusal, host::HostEvent};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    services::{Service, banner, echo},
    stage::{Stage, connect, first_read, loopback},
};

/// Returns a port at which nobody listens.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// A service that is stuck: it accepts nobody, and its system takes no more.
struct Stuck {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Stuck {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("there is IPv4");
        socket.bind(loopback()).expect("a port is free");
        let listener = socket.listen(1).expect("it listens");
        let address = listener.local_addr().expect("it is bound");
        let mut waiting = Vec::new();
        // Loopback answers at once, or never.
        let patience = Duration::from_secs(1);
        while let Ok(socket) = timeout(patience, TcpStream::connect(address)).await {
            waiting.push(socket.expect("it is not refused"));
            assert!(waiting.len() < 100, "there is always room");
        }
        Self {
            listener,
            _waiting: waiting,
        }
    }

    fn target(&self) -> String {
        let address = self.listener.local_addr().expect("it is bound");
        format!("stuck={address}")
    }
}

async fn refusal_of(target: &str) -> Refusal {
    let stage = Stage::new([target]).await;
    let guest = stage.guest().await;
    match guest.client.connect(None).await.expect_err("it is refused") {
        ConnectError::Refused(refusal) => refusal,
        other => panic!("{target}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_11_a_target_that_refuses_resets_the_program_at_once() {
    let mut stage = Stage::new([&closed_port().to_string()]).await;
    let mut guest = stage.guest().await;
    let address = guest.listen();
    let begun = Instant::now();
    let read = first_read(address).await;
    assert_eq!(
        read.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let error = guest.socket_error().await;
    assert!(
        matches!(error, ConnectError::Refused(Refusal::TargetRefused)),
        "{error:?}"
    );
    let refused = stage.event(|event| match event {
        HostEvent::SocketRefused { refusal, .. } => Some(*refusal),
        _ => None,
    });
    assert_eq!(refused.await, Refusal::TargetRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_11_a_target_that_does_not_answer_is_given_up_in_time() {
    const DEADLINE: Duration = Duration::from_secs(3);
    let (stuck, service) = (Stuck::new().await, Service::new(echo));
    let targets = [stuck.target(), format!("echo={}", service.address)];
    let stage = Stage::with([&targets[0], &targets[1]], |config| {
        config.connect_deadline = DEADLINE;
    })
    .await;
    let mut guest = stage.guest().await;
    let address = guest.listen_for(Some("echo"));
    let stuck = guest.listen_for(Some("stuck"));
    let begun = Instant::now();
    let given_up = tokio::spawn(async move {
        let read = first_read(stuck).await;
        (read.unwrap_err().kind(), begun.elapsed())
    });
    // Meanwhile others come, and are served.
    let mut n_echoes = 0;
    while !given_up.is_finished() {
        let mut socket = connect(address).await;
        socket.write_all(b"here").await.unwrap();
        let mut four = [0; 4];
        within("an echo", socket.read_exact(&mut four))
            .await
            .unwrap();
        assert_eq!(&four, b"here");
        n_echoes += 1;
    }
    let (kind, elapsed) = given_up.await.unwrap();
    assert_eq!(kind, std::io::ErrorKind::ConnectionReset);
    assert!(elapsed >= DEADLINE, "{elapsed:?}");
    // The client would have given up by itself later.
    assert!(elapsed < Duration::from_secs(13), "{elapsed:?}");
    assert!(n_echoes > 2, "{n_echoes}");
    let error = guest.socket_error().await;
    assert!(
        matches!(error, ConnectError::Refused(Refusal::TargetTimeout)),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_11_a_target_without_a_way_to_it_is_refused() {
    // Nobody can connect such an address without the name of a network card.
    let refusal = refusal_of("nas=[fe80::1]:80").await;
    assert_eq!(refusal, Refusal::TargetUnreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_11_only_what_is_offered_is_connected() {
    let service = Service::new(banner);
    let stage = Stage::new([&format!("web={}", service.address)]).await;
    let guest = stage.guest().await;
    for name in ["ssh", "127.0.0.1", &service.address.port().to_string()] {
        let connected = guest.client.connect(Some(name.parse().unwrap())).await;
        let error = connected.unwrap_err();
        assert!(
            matches!(error, ConnectError::Refused(Refusal::NoSuchTarget)),
            "{error:?}"
        );
    }
    guest
        .client
        .connect(Some("web".parse().unwrap()))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_12_a_name_that_means_nothing_is_refused() {
    let refusal = refusal_of("db=nowhere.invalid:80").await;
    assert_eq!(refusal, Refusal::NoSuchName);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_either_loopback_is_found() {
    async fn greets(target: String) {
        let stage = Stage::new([&target]).await;
        let mut guest = stage.guest().await;
        let address = guest.listen();
        let mut hello = [0; 10];
        let mut socket = connect(address).await;
        within("a banner", socket.read_exact(&mut hello))
            .await
            .unwrap();
    }
    let v4 = Service::at("127.0.0.1:0", banner);
    greets(v4.address.port().to_string()).await;
    let v6 = Service::at("[::1]:0", banner);
    greets(v6.address.port().to_string()).await;
    greets(v6.address.to_string()).await;
    let dual = Service::at("[::]:0", banner);
    greets(dual.address.port().to_string()).await;
}
