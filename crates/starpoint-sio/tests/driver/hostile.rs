//! Against servers that misbehave, over real sockets.

use std::{future::poll_fn, task::Poll, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use starpoint_sio::{Closed, Config, ConnectError, Event, OpenError, SocketError, Violation};
use starpoint_test_support::{DEADLINE, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::peer::{Peer, open};

const OPEN: &str = r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;

/// A server that does the same with each connection, until it is dropped.
struct Server {
    url: String,
    tasks: JoinSet<()>,
}

impl Server {
    async fn start<F: Future<Output = ()> + Send>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let url = format!("ws://{address}");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream).await;
            }
        });
        Self { url, tasks }
    }

    /// A server that shakes hands, then does this.
    async fn connected<F: Future<Output = ()> + Send>(
        serve: impl Fn(WebSocketStream<TcpStream>) -> F + Send + Sync + Clone + 'static,
    ) -> Self {
        Self::start(move |stream| {
            let serve = serve.clone();
            async move {
                let accepted = accept_async(stream).await;
                let mut websocket = accepted.expect("the client shakes hands");
                for packet in [OPEN, "40"] {
                    let sent = websocket.send(packet.into()).await;
                    sent.expect("the client reads");
                }
                serve(websocket).await;
            }
        })
        .await
    }

    async fn open(&self, config: Config) -> Result<Peer, OpenError> {
        open(&self.url, config).await
    }

    async fn open_default(&self) -> Peer {
        let peer = self.open(Config::default()).await;
        peer.expect("the server shakes hands")
    }
}

/// Keeps a connection until the other side closes it, and reads nothing.
async fn stall<T>(connection: T) {
    std::future::pending::<()>().await;
    drop(connection);
}

/// Gives a handshake up early.
fn impatient() -> Config {
    Config {
        handshake_deadline: Duration::from_millis(300),
        ..Config::default()
    }
}

/// Gives a server that does not read up early.
fn impatient_writer() -> Config {
    Config {
        handshake_deadline: DEADLINE,
        write_deadline: Duration::from_millis(300),
        ..Config::default()
    }
}

#[tokio::test]
async fn r_sio_7_a_server_that_never_answers_is_given_up() {
    let server = Server::start(stall).await;
    let error = server.open(impatient()).await.unwrap_err();
    assert!(matches!(error, OpenError::Deadline), "{error:?}");

    let server = Server::start(async |stream| stall(accept_async(stream).await).await).await;
    let error = server.open(impatient()).await.unwrap_err();
    assert!(matches!(error, OpenError::Deadline), "{error:?}");

    let half = |stream| async {
        let mut websocket = accept_async(stream).await.unwrap();
        websocket.send(OPEN.into()).await.unwrap();
        stall(websocket).await;
    };
    let server = Server::start(half).await;
    let error = server.open(impatient()).await.unwrap_err();
    assert!(matches!(error, OpenError::Deadline), "{error:?}");
}

#[tokio::test]
async fn r_sio_7_an_attempt_that_is_dropped_leaves_nothing() {
    let (seen, mut sees) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let seen = seen.clone();
        async move {
            let mut request = vec![0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let n = stream.read(&mut request).await.unwrap();
                request.truncate(n);
            }
            seen.send("asked").unwrap();
            let n = stream.read(&mut [0; 1]).await.unwrap();
            assert_eq!(n, 0, "the client says no more");
            seen.send("gone").unwrap();
        }
    })
    .await;
    let attempt = server.open_default();
    tokio::select! {
        _ = attempt => panic!("the server does not answer"),
        asked = sees.recv() => assert_eq!(asked, Some("asked")),
    }
    let gone = within("the server sees it", sees.recv()).await;
    assert_eq!(gone, Some("gone"));
}

#[tokio::test]
async fn r_sio_8_what_is_no_websocket_server_is_told_apart() {
    let garbage = |mut stream: TcpStream| async move {
        stream.write_all(b"SSH-2.0-x\r\n\r\n").await.unwrap();
        let _ = stream.read(&mut [0; 1]).await;
    };
    let server = Server::start(garbage).await;
    let error = server.open(Config::default()).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Connect(ConnectError::NotWebSocket(_))),
        "{error:?}"
    );

    let refusing = |mut stream: TcpStream| async move {
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read(&mut [0; 1]).await;
    };
    let server = Server::start(refusing).await;
    let error = server.open(Config::default()).await.unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Connect(ConnectError::Rejected { status: 400 })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn r_sio_8_nobody_at_the_port_and_bad_urls_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = open(&url, Config::default()).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Connect(ConnectError::Network(_))),
        "{error:?}"
    );
    let error = open("http://localhost", Config::default()).await;
    assert!(matches!(error, Err(OpenError::Url(_))));
    let error = open("ws://[::1", Config::default()).await;
    assert!(matches!(error, Err(OpenError::Connect(ConnectError::Url))));
}

#[tokio::test]
async fn r_sio_8_garbage_in_the_handshake_ends_it() {
    let garbage = |stream| async {
        let mut websocket = accept_async(stream).await.unwrap();
        websocket.send("hello".into()).await.unwrap();
        while websocket.next().await.is_some_and(|m| m.is_ok()) {}
    };
    let server = Server::start(garbage).await;
    let error = server.open(Config::default()).await.unwrap_err();
    let expected = Violation::Packet;
    assert!(
        matches!(error, OpenError::Handshake(Closed::Protocol(found)) if found == expected),
        "{error:?}"
    );
}

#[tokio::test]
async fn r_sio_8_an_overlong_message_ends_the_connection() {
    let server = Server::connected(|mut websocket| async move {
        let long = Bytes::from(vec![4; 100_000]);
        // Fails when the client has closed before all was sent.
        let _ = websocket.send(Message::Binary(long)).await;
        let _ = websocket.next().await;
    })
    .await;
    let config = Config {
        max_message_bytes: 50_000,
        ..Config::default()
    };
    let mut peer = server.open(config).await.unwrap();
    let reason = peer.end().await;
    assert!(
        matches!(reason, Closed::Socket(SocketError::MessageTooLong)),
        "{reason:?}"
    );
}

#[tokio::test]
async fn r_sio_10_a_close_frame_tells_its_status() {
    let server = Server::connected(|mut websocket| async move {
        let close = CloseFrame {
            code: CloseCode::Size,
            reason: "".into(),
        };
        websocket.close(Some(close)).await.unwrap();
        while websocket.next().await.is_some_and(|m| m.is_ok()) {}
    })
    .await;
    let reason = server.open_default().await.end().await;
    assert!(
        matches!(reason, Closed::Socket(SocketError::Closed { status: 1009 })),
        "{reason:?}"
    );
    let server = Server::connected(|mut websocket| async move {
        websocket.close(None).await.unwrap();
        while websocket.next().await.is_some_and(|m| m.is_ok()) {}
    })
    .await;
    let reason = server.open_default().await.end().await;
    assert!(matches!(reason, Closed::ByServer), "{reason:?}");
}

#[tokio::test]
async fn r_sio_10_an_end_within_a_message_is_a_network_failure() {
    let server = Server::connected(|mut websocket| async move {
        websocket.flush().await.unwrap();
        // A binary message of 100 bytes, of which two come.
        let stream = websocket.get_mut();
        stream.write_all(&[0x82, 100, 4, 1]).await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await;
    let reason = server.open_default().await.end().await;
    assert!(
        matches!(reason, Closed::Socket(SocketError::Network(_))),
        "{reason:?}"
    );
}

/// Gives events until none is taken any more, and returns how many were.
async fn fill(peer: &mut Peer) -> usize {
    let chunk = Bytes::from(vec![0; 64 * 1024]);
    for n in 0..10_000 {
        let is_ready = poll_fn(|cx| Poll::Ready(peer.0.poll_ready(cx))).await;
        match is_ready {
            Poll::Ready(Ok(())) => peer.0.emit("x", "[]", vec![chunk.clone()]),
            Poll::Ready(Err(reason)) => panic!("{reason:?}"),
            Poll::Pending => return n,
        }
    }
    panic!("640 MB were taken")
}

#[tokio::test]
async fn r_sio_9_a_server_that_does_not_read_fills_a_bounded_queue() {
    let server = Server::connected(stall).await;
    let mut peer = server.open(impatient_writer()).await.unwrap();
    let n_taken = fill(&mut peer).await;
    assert!(n_taken > 0);
    let reason = peer.end().await;
    assert!(matches!(reason, Closed::WriteTimeout), "{reason:?}");
}

/// Most bytes of pings that a server gets rid of before a test is sure.
const MANY_BYTES: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn r_sio_9_pings_of_a_server_that_does_not_read_are_not_hoarded() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = std::sync::Arc::new(std::sync::Mutex::new(Some(tell)));
    let server = Server::connected(move |mut websocket| {
        let tell = std::sync::Arc::clone(&tell);
        async move {
            let pings: Vec<u8> = [&[0x89, 125][..], &[7; 125]].concat().repeat(512);
            let stream = websocket.get_mut();
            let mut n_sent = 0;
            while n_sent < MANY_BYTES {
                let sent = stream.write(&pings[n_sent % pings.len()..]);
                match tokio::time::timeout(Duration::from_secs(2), sent).await {
                    Ok(Ok(n)) => n_sent += n,
                    Ok(Err(_)) | Err(_) => break,
                }
            }
            let tell = tell.lock().expect("nobody panics").take();
            tell.expect("one connection")
                .send(n_sent)
                .expect("the test waits");
            stall(websocket).await;
        }
    })
    .await;
    let mut peer = server.open_default().await;
    let n_sent = tokio::select! {
        n_sent = within("the pings", told) => n_sent.expect("the server tells"),
        event = peer.next() => panic!("{event:?}"),
    };
    assert!(n_sent < MANY_BYTES, "{n_sent} bytes of pings were taken");
}

#[tokio::test]
async fn r_sio_9_waiting_for_room_sees_the_write_deadline() {
    let server = Server::connected(stall).await;
    let mut peer = server.open(impatient_writer()).await.unwrap();
    fill(&mut peer).await;
    let reason = within("the deadline", poll_fn(|cx| peer.0.poll_ready(cx))).await;
    assert!(matches!(reason, Err(Closed::WriteTimeout)), "{reason:?}");
}

#[tokio::test]
async fn r_sio_9_writing_alone_sees_the_write_deadline() {
    let server = Server::connected(stall).await;
    let mut peer = server.open(impatient_writer()).await.unwrap();
    fill(&mut peer).await;
    let reason = within("the deadline", poll_fn(|cx| peer.0.poll_drive_writes(cx))).await;
    assert!(matches!(reason, Err(Closed::WriteTimeout)), "{reason:?}");
}

#[tokio::test]
async fn r_sio_9_a_server_that_reads_again_makes_room() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let server = Server::connected(move |mut websocket| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            let mut n_read = 0;
            while let Some(Ok(message)) = websocket.next().await {
                n_read += usize::from(message.is_binary());
                if message == Message::text("41") {
                    let reply = format!("42[\"read\",{n_read}]");
                    websocket.send(reply.into()).await.unwrap();
                }
            }
        }
    })
    .await;
    let mut peer = server.open_default().await;
    fill(&mut peer).await;
    go.send(true).unwrap();
    let room = within("room", poll_fn(|cx| peer.0.poll_ready(cx))).await;
    assert!(room.is_ok());
    let written = poll_fn(|cx| peer.0.poll_drive_writes(cx));
    assert!(within("all is written", written).await.is_ok());
    peer.close().await;
}

#[tokio::test]
async fn r_sio_10_an_orderly_end_of_a_server_that_does_not_read_has_a_deadline() {
    let server = Server::connected(stall).await;
    let config = Config {
        close_deadline: Duration::from_millis(300),
        ..Config::default()
    };
    let mut peer = server.open(config).await.unwrap();
    fill(&mut peer).await;
    peer.close().await;
}

#[tokio::test]
async fn r_sio_10_an_orderly_end_tells_the_server_and_a_drop_closes() {
    let (seen, mut sees) = tokio::sync::mpsc::unbounded_channel();
    let mut server = Server::connected(move |mut websocket| {
        let seen = seen.clone();
        async move {
            let mut texts = Vec::new();
            while let Some(Ok(message)) = websocket.next().await {
                let is_text = message.is_text();
                texts.push(match message.into_text() {
                    Ok(text) if is_text => text.to_string(),
                    _ => "close".to_owned(),
                });
            }
            seen.send(texts).unwrap();
        }
    })
    .await;
    let mut peer = server.open_default().await;
    peer.emit("bye", "[]", vec![]).await;
    peer.close().await;
    let texts = within("the server sees it", sees.recv()).await.unwrap();
    assert_eq!(texts, [r#"42["bye"]"#, "41", "close"]);

    drop(server.open_default().await);
    let texts = within("the server sees it", sees.recv()).await.unwrap();
    assert_eq!(texts, [""; 0]);
    server.tasks.shutdown().await;
}

#[tokio::test]
async fn r_sio_8_a_flood_leaves_other_tasks_their_turn() {
    let server = Server::connected(|mut websocket| async move {
        while websocket.feed("6".into()).await.is_ok() {}
    })
    .await;
    let mut peer = server.open_default().await;
    for _ in 0..100 {
        // Each poll ends, whatever the server sends.
        let polled = poll_fn(|cx| Poll::Ready(peer.0.poll_event(cx))).await;
        assert!(polled.is_pending());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn r_sio_8_an_event_before_the_end_is_not_lost() {
    let server = Server::connected(|mut websocket| async move {
        websocket.send(r#"42["last"]"#.into()).await.unwrap();
        websocket.send("41".into()).await.unwrap();
        while websocket.next().await.is_some_and(|m| m.is_ok()) {}
    })
    .await;
    let mut peer = server.open_default().await;
    let event = peer.next().await.expect("the event is first");
    assert!(matches!(event, Event::Event { name, .. } if name == "last"));
    assert!(matches!(peer.next().await, Err(Closed::Disconnected)));
}
