//! Bytes go through, all of them.

use std::{
    num::NonZero,
    time::{Duration, Instant},
};

use starpoint_test_support::within;
use starpoint_tunnel::client;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    services::{Service, banner, body, echo, firehose, get, http, read_all, sha256},
    stage::{Guest, Stage, all, connect, first_read},
};

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_13_three_hundred_requests_get_their_own_bodies() {
    let service = Service::new(http);
    let (_stage, _guest, address) = Stage::between(service.address).await;
    const SIZES: [usize; 10] = [
        0,
        1,
        100,
        1_460,
        16_384,
        32_768,
        32_769,
        65_537,
        300_000,
        1 << 20,
    ];
    for round in 0..3 {
        let requests = (0..100).map(|n| async move {
            let n_bytes = match n {
                50 | 51 => 5 * 1024 * 1024,
                _ => SIZES[n % SIZES.len()],
            };
            let got = get(address, n_bytes).await;
            assert_eq!(got.len(), n_bytes, "round {round}, request {n}");
            assert_eq!(sha256(&got), sha256(&body(n_bytes)));
        });
        all("a hundred requests", requests).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_11_a_service_may_speak_first() {
    let service = Service::new(banner);
    let (_stage, _guest, address) = Stage::between(service.address).await;
    let mut socket = connect(address).await;
    let mut greeting = [0; 10];
    within("the banner", socket.read_exact(&mut greeting))
        .await
        .unwrap();
    assert_eq!(&greeting, b"220 ready\n");
    socket.write_all(b"helo\n").await.unwrap();
    let mut answer = [0; 5];
    within("the answer", socket.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(&answer, b"HELO\n");
    socket.shutdown().await.unwrap();
    assert!(within("the end", read_all(&mut socket)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_14_what_was_sent_before_a_close_arrives_whole() {
    let service = Service::new(firehose);
    let (_stage, _guest, address) = Stage::between(service.address).await;
    let mut socket = connect(address).await;
    let mut first = [0; 1];
    within("the first byte", socket.read_exact(&mut first))
        .await
        .unwrap();
    // The service has closed long before the rest is read: it is stuck only as
    // long as buffers are full.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut got = first.to_vec();
    got.extend(within("the rest", read_all(&mut socket)).await);
    assert_eq!(sha256(&got), sha256(&body(20 * 1024 * 1024)));
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_15_a_reader_that_stops_holds_up_its_own_writer_only() {
    let hose = Service::new(firehose);
    let echoing = Service::new(echo);
    let targets = [hose.address, echoing.address].map(|address| address.to_string());
    let stage = Stage::new([&targets[0], &targets[1]]).await;
    let mut guest = stage.guest().await;
    let stalled = guest.listen();
    let port = echoing.address.port().to_string();
    let lively = guest.listen_for(Some(&port));

    let mut stopped = Vec::new();
    for _ in 0..8 {
        let mut socket = connect(stalled).await;
        let mut first = [0; 1];
        within("a first byte", socket.read_exact(&mut first))
            .await
            .unwrap();
        stopped.push(socket);
    }
    let sent = body(64 * 1024);
    let mut took = Vec::new();
    let mut socket = connect(lively).await;
    for _ in 0..50 {
        let begun = Instant::now();
        socket.write_all(&sent).await.unwrap();
        let mut got = vec![0; sent.len()];
        within("an echo", socket.read_exact(&mut got))
            .await
            .unwrap();
        assert!(got == sent);
        took.push(begun.elapsed());
    }
    took.sort();
    println!(
        "echo of 64 KiB: median {:?}, slowest {:?}",
        took[25], took[49]
    );
    assert!(took[25] < Duration::from_secs(1), "{took:?}");
    // Those that were stopped go on where they were.
    let rest = stopped.into_iter().take(2).map(|mut socket| async move {
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.len(), 20 * 1024 * 1024 - 1);
    });
    all("the rest", rest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_13_either_direction_may_end_first() {
    // The client ends first, and gets the answer behind that.
    let service = Service::new(|mut socket: TcpStream| async move {
        let request = read_all(&mut socket).await;
        socket.write_all(&request).await.unwrap();
        socket.write_all(b", late").await.unwrap();
    });
    let (_stage, _guest, address) = Stage::between(service.address).await;
    let mut socket = connect(address).await;
    socket.write_all(b"question").await.unwrap();
    socket.shutdown().await.unwrap();
    let answer = within("the answer", read_all(&mut socket)).await;
    assert_eq!(answer, b"question, late");

    // The service ends first, and still hears what comes.
    let service = Service::new(|mut socket: TcpStream| async move {
        socket.shutdown().await.unwrap();
        let heard = read_all(&mut socket).await;
        assert_eq!(heard, b"still there");
        // Nobody would notice the panic of a service: this is the sign.
        HEARD.add_permits(1);
    });
    let (_stage, _guest, address) = Stage::between(service.address).await;
    let mut socket = connect(address).await;
    assert!(within("the end", read_all(&mut socket)).await.is_empty());
    socket.write_all(b"still there").await.unwrap();
    socket.shutdown().await.unwrap();
    within("the service to hear it", HEARD.acquire())
        .await
        .unwrap()
        .forget();
}

static HEARD: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(0);

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_14_a_thousand_bursts_lose_nothing() {
    static SUM: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    static DONE: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(0);
    let service = Service::new(|mut socket: TcpStream| async move {
        let text = String::from_utf8(read_all(&mut socket).await).unwrap();
        let number: u64 = text.parse().unwrap();
        SUM.fetch_add(number, std::sync::atomic::Ordering::Relaxed);
        DONE.add_permits(1);
    });
    let (_stage, _guest, address) = Stage::between(service.address).await;
    for batch in 0..10 {
        let bursts = (1..=100).map(|n| async move {
            let mut socket = connect(address).await;
            let number = (batch * 100 + n).to_string();
            socket.write_all(number.as_bytes()).await.unwrap();
            // Closed at once: nothing is read, nothing waited for.
        });
        all("a hundred bursts", bursts).await;
    }
    let done = within("all of them", DONE.acquire_many(1_000)).await;
    done.unwrap().forget();
    assert_eq!(SUM.load(std::sync::atomic::Ordering::Relaxed), 500_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_hundred_programs_may_come_in_the_same_moment() {
    let service = Service::new(banner);
    let stage = Stage::new([&service.address.to_string()]).await;
    let mut config = client::Config::default();
    config.max_sockets = NonZero::new(1_000).unwrap();
    let mut guest = Guest::join_with(stage.code().await, config).await.unwrap();
    let address = guest.listen();
    let programs = (0..800).map(|_| async move {
        let mut socket = connect(address).await;
        socket.read_exact(&mut [0; 10]).await.unwrap();
        socket
    });
    let sockets = all("eight hundred banners", programs).await;
    assert_eq!(sockets.len(), 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_13_a_reset_is_seen_as_one() {
    let service = Service::new(|socket: TcpStream| async move {
        socket.set_zero_linger().unwrap();
    });
    let (_stage, _guest, address) = Stage::between(service.address).await;
    let read = first_read(address).await;
    assert_eq!(
        read.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );

    // And the other way.
    static RESET: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(0);
    let service = Service::new(|mut socket: TcpStream| async move {
        socket.write_all(b"!").await.unwrap();
        let error = socket.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        RESET.add_permits(1);
    });
    let (_stage, _guest, address) = Stage::between(service.address).await;
    let mut socket = connect(address).await;
    within("a byte", socket.read_exact(&mut [0; 1]))
        .await
        .unwrap();
    socket.set_zero_linger().unwrap();
    drop(socket);
    within("the reset", RESET.acquire()).await.unwrap().forget();
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tunnel_14_a_service_that_wants_no_more_is_heard_to_its_end() {
    let service = Service::new(|mut socket: TcpStream| async move {
        let mut first = [0; 4];
        socket.read_exact(&mut first).await.unwrap();
        socket.write_all(b"too much").await.unwrap();
        // Closed with a request that is not read: the system resets it.
    });
    let (_stage, _guest, address) = Stage::between(service.address).await;
    for _ in 0..20 {
        let (mut reader, mut writer) = connect(address).await.into_split();
        let sending = tokio::spawn(async move {
            let _ = writer.write_all(&body(1024 * 1024)).await;
            writer
        });
        let mut answer = [0; 8];
        within("the answer", reader.read_exact(&mut answer))
            .await
            .unwrap();
        assert_eq!(&answer, b"too much");
        drop(sending.await);
    }
}
