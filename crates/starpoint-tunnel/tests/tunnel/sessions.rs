//! Who is let in.

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use starpoint_node::PeerId;
use starpoint_test_support::within;
use starpoint_tunnel::{
    Code, ConnectError, JoinError, Refusal,
    client::{Config, Ended, State},
    code::Secret,
    host::{Decision, HostEvent, Invitation, Standing, Unlisted},
};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use crate::{
    services::{Service, banner},
    stage::{Guest, Stage, connect, star_of},
};

async fn refused(code: Code) -> Refusal {
    match Guest::join(code).await {
        Err(JoinError::Refused(refusal)) => refusal,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it is let in"),
    }
}

fn asked(event: &HostEvent) -> Option<PeerId> {
    match event {
        HostEvent::Asked { client } => Some(*client),
        _ => None,
    }
}

async fn asking(service: &Service) -> Stage {
    Stage::with([&service.address.to_string()], |config| {
        config.unlisted = Unlisted::Ask;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_6_nothing_reaches_the_service_before_the_host_agrees() {
    static REACHED: AtomicUsize = AtomicUsize::new(0);
    let service = Service::new(|socket: TcpStream| async {
        REACHED.fetch_add(1, Ordering::SeqCst);
        banner(socket).await;
    });
    let mut stage = asking(&service).await;
    let mut guest = Guest::join(stage.code().await).await.unwrap();
    assert_eq!(*guest.client.state().borrow(), State::Waiting);
    let client = stage.event(asked).await;
    assert_eq!(client, guest.node.peer_id());
    let standing = stage.host.clients().await.unwrap();
    assert_eq!(standing, [(client, Standing::Waiting)]);

    // A program that is early waits; one that does not care for the session is
    // refused by the host.
    let address = guest.listen();
    let mut early = connect(address).await;
    let mut stranger = guest
        .node
        .open_stream(stage.node.peer_id(), starpoint_tunnel::PROTOCOL)
        .await
        .unwrap();
    let answer = crate::hostile::answer(&mut stranger, &[0, 3, 2, 0, 0]).await;
    assert_eq!(answer, [0, 2, 0x13, Refusal::NotJoined.number()]);
    assert_eq!(REACHED.load(Ordering::SeqCst), 0);

    assert!(stage.host.decide(client, Decision::Accept).await.unwrap());
    guest
        .until(|state| matches!(state, State::Open { .. }))
        .await;
    let mut hello = [0; 10];
    within("the banner", early.read_exact(&mut hello))
        .await
        .unwrap();
    assert_eq!(REACHED.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_7_a_client_that_is_declined_hears_it_and_its_code_is_used_up() {
    let service = Service::new(banner);
    let mut stage = asking(&service).await;
    let code = stage.code().await;
    let guest = Guest::join(code.clone()).await.unwrap();
    let client = stage.event(asked).await;
    assert!(stage.host.decide(client, Decision::Decline).await.unwrap());
    assert!(!stage.host.decide(client, Decision::Accept).await.unwrap());
    let over = guest.until(|state| matches!(state, State::Closed(_))).await;
    assert_eq!(over, State::Closed(Ended::Refused(Refusal::Declined)));
    let error = guest.client.connect(None).await.unwrap_err();
    assert!(matches!(error, ConnectError::Closed), "{error:?}");
    assert_eq!(refused(code).await, Refusal::UsedCode);
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_7_a_host_that_does_not_decide_gives_the_code_back() {
    let service = Service::new(banner);
    let stage = Stage::with([&service.address.to_string()], |config| {
        config.unlisted = Unlisted::Ask;
        config.decision_deadline = Duration::from_millis(500);
    })
    .await;
    let code = stage.code().await;
    for _ in 0..2 {
        let guest = Guest::join(code.clone()).await.unwrap();
        let over = guest.until(|state| matches!(state, State::Closed(_))).await;
        assert_eq!(over, State::Closed(Ended::Refused(Refusal::NoDecision)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_6_unknown_used_and_expired_codes_say_so() {
    let service = Service::new(banner);
    let stage = Stage::new([&service.address.to_string()]).await;
    let unknown = Secret::new([9; 16]);
    let unknown = Code::new(stage.node.peer_id(), [star_of(&stage.star)], unknown);
    assert_eq!(refused(unknown).await, Refusal::UnknownCode);

    let code = stage.code().await;
    let first = Guest::join(code.clone()).await.unwrap();
    assert_eq!(refused(code.clone()).await, Refusal::UsedCode);
    first.client.close().await;
    assert_eq!(refused(code).await, Refusal::UsedCode);

    let expired = stage.code_for(Invitation {
        valid_for: Duration::ZERO,
        ..Invitation::default()
    });
    assert_eq!(refused(expired.await).await, Refusal::ExpiredCode);
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_10_one_host_serves_as_many_clients_as_it_says() {
    let service = Service::new(banner);
    let mut stage = Stage::with([&service.address.to_string()], |config| {
        config.max_clients = NonZero::new(2).unwrap();
    })
    .await;
    let code = stage.code_for(Invitation {
        n_uses: NonZero::new(9).unwrap(),
        ..Invitation::default()
    });
    let code = code.await;
    let mut first = Guest::join(code.clone()).await.unwrap();
    let mut second = Guest::join(code.clone()).await.unwrap();
    assert_eq!(refused(code.clone()).await, Refusal::Full);
    for guest in [&mut first, &mut second] {
        let address = guest.listen();
        let mut socket = connect(address).await;
        within("a banner", socket.read_exact(&mut [0; 10]))
            .await
            .unwrap();
    }
    let id = first.node.peer_id();
    first.client.close().await;
    stage
        .event(|event| (*event == HostEvent::Left { client: id }).then_some(()))
        .await;
    Guest::join(code).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_dropped_is_out_at_once_and_others_are_not() {
    let service = Service::new(banner);
    let stage = Stage::new([&service.address.to_string()]).await;
    let mut first = stage.guest().await;
    let mut second = stage.guest().await;
    let mut sockets = Vec::new();
    for guest in [&mut first, &mut second] {
        let address = guest.listen();
        let mut socket = connect(address).await;
        within("a banner", socket.read_exact(&mut [0; 10]))
            .await
            .unwrap();
        sockets.push(socket);
    }
    assert!(stage.host.drop_client(first.node.peer_id()).await.unwrap());
    assert!(!stage.host.drop_client(first.node.peer_id()).await.unwrap());
    let over = first.until(|state| matches!(state, State::Closed(_))).await;
    assert_eq!(over, State::Closed(Ended::Refused(Refusal::Dropped)));
    let read = within("the reset", sockets[0].read(&mut [0; 1])).await;
    assert_eq!(
        read.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    let clients = stage.host.clients().await.unwrap();
    let (banned, here) = (first.node.peer_id(), second.node.peer_id());
    assert_eq!(
        clients,
        [(here, Standing::Here), (banned, Standing::Banned)]
    );
    second.client.connect(None).await.unwrap();

    // Another code does not help it, until the ban is lifted.
    let again = Guest::with_node(first.node.clone(), stage.code().await, Config::default()).await;
    match again {
        Err(JoinError::Refused(Refusal::Banned)) => {}
        other => panic!("{:?}", other.err()),
    }
    assert!(stage.host.unban(banned).await.unwrap());
    assert!(!stage.host.unban(banned).await.unwrap());
    let again = Guest::with_node(first.node.clone(), stage.code().await, Config::default()).await;
    again.unwrap().client.connect(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_says_so() {
    let service = Service::new(banner);
    let stage = Stage::new([&service.address.to_string()]).await;
    let guest = stage.guest().await;
    within("the stop", stage.host.stop()).await;
    let over = guest.until(|state| matches!(state, State::Closed(_))).await;
    assert_eq!(over, State::Closed(Ended::Refused(Refusal::Stopped)));
    within("the shutdown", stage.node.shutdown()).await;
}
