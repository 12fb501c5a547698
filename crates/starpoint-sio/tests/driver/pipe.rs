//! Pipes, against a server that speaks WebSocket by another library.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    time::Duration,
};

use futures_util::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};
use starpoint_sio::{
    ConnectError, Connector as _, Pipe, PipeError, TokioConnector,
    tokio::{PublicRoots, TrustedRoots},
};
use starpoint_test_support::within;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{
            CloseFrame,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

type Star = WebSocketStream<TcpStream>;

fn connector() -> TokioConnector {
    let roots = TrustedRoots {
        public: PublicRoots::None,
        extra: Vec::new(),
    };
    TokioConnector::with_roots(&roots).expect("there are no roots to refuse")
}

/// Connects to a server that treats the connection so.
async fn connect_raw<T>(
    serve: impl AsyncFnOnce(TcpStream) -> T,
) -> (T, Result<Box<dyn Pipe>, PipeError>) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let url = format!(
        "ws://{}/star/pipe/token",
        listener.local_addr().expect("it is bound")
    );
    let serve = async {
        let (stream, _) = listener.accept().await.expect("the pipe connects");
        serve(stream).await
    };
    within("the handshake", async {
        tokio::join!(serve, connector().connect_pipe(&url))
    })
    .await
}

async fn open() -> (Star, Box<dyn Pipe>) {
    let (star, pipe) =
        connect_raw(async |stream| accept_async(stream).await.expect("the pipe shakes hands"))
            .await;
    (star, pipe.expect("the pipe opens"))
}

/// Reads the head of a request.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("the request is whole"));
    }
    String::from_utf8(head).expect("the request is text")
}

fn close(status: u16) -> Message {
    Message::Close(Some(CloseFrame {
        code: status.into(),
        reason: "".into(),
    }))
}

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// Collects data up to the next message of another kind.
async fn next_past_data(star: &mut Star, data: &mut Vec<u8>) -> Option<Message> {
    loop {
        match star.next().await?.ok()? {
            Message::Binary(bytes) => data.extend_from_slice(&bytes),
            other @ (Message::Text(_)
            | Message::Ping(_)
            | Message::Pong(_)
            | Message::Close(_)
            | Message::Frame(_)) => return Some(other),
        }
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it is done in time")
}

#[tokio::test]
async fn r_pipe_15_a_refusal_has_a_status_and_a_code() {
    let long = format!(r#"{{"code":"{}"}}"#, "x".repeat(5_000));
    for (status, body, expected) in [
        (404, r#"{"code":"unknown-token"}"#, "unknown-token"),
        (503, "sorry", ""),
        (410, r#"{"code":"<script>"}"#, ""),
        (429, &long, ""),
    ] {
        let ((), pipe) = connect_raw(async |mut stream| {
            let request = read_request(&mut stream).await;
            assert!(request.starts_with("GET /star/pipe/token HTTP/1.1\r\n"));
            let n = body.len();
            let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: {n}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Keeps the connection: the body ends by its length.
            tokio::spawn(async move {
                let _ = stream.read_u8().await;
            });
        })
        .await;
        match pipe.err() {
            Some(PipeError::Refused {
                status: found,
                code,
            }) => {
                assert_eq!((found, &*code), (status, expected));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn r_pipe_15_what_is_no_websocket_is_an_error() {
    for answer in [
        "HTTP/1.1 101 Ok\r\nupgrade: websocket\r\nsec-websocket-accept: wrong\r\n\r\n",
        "HTTP/1.1 101 Ok\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        &format!("HTTP/1.1 101 Ok\r\nx: {}", "y".repeat(20_000)),
    ] {
        let ((), pipe) = connect_raw(async |mut stream| {
            read_request(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        assert!(matches!(
            pipe.err(),
            Some(PipeError::Connect(ConnectError::NotWebSocket(_)))
        ));
    }
}

#[tokio::test]
async fn r_pipe_15_what_follows_the_head_is_not_lost() {
    let (stream, pipe) = connect_raw(async |mut stream| {
        let request = read_request(&mut stream).await;
        let key = request
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
            .unwrap();
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n\u{2}\u{5}hello"
        );
        let answer = answer.replace('\u{2}', "\u{0}").into_bytes();
        let at = answer.len() - 7;
        let answer = [&answer[..at], &[0x82], &answer[at + 1..]].concat();
        stream.write_all(&answer).await.unwrap();
        stream
    })
    .await;
    let mut bytes = [0; 5];
    let mut pipe = pipe.unwrap();
    in_time(pipe.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"hello");
    drop(stream);
}

#[tokio::test]
async fn r_pipe_16_a_write_goes_out_without_a_flush() {
    let (mut star, mut pipe) = open().await;
    pipe.write_all(b"now").await.unwrap();
    let message = in_time(star.next()).await.unwrap().unwrap();
    assert_eq!(message.into_data(), &b"now"[..]);
}

#[tokio::test]
async fn r_pipe_16_writes_that_wait_are_joined_and_bounded() {
    let (mut star, mut pipe) = open().await;
    let mut n_bytes = 0;
    let mut n_writes = 0;
    // Small writes, far more than the sockets hold, until nothing is taken.
    while let Some(n) = pipe.write(&[7; 1000]).now_or_never() {
        n_bytes += n.unwrap();
        n_writes += 1;
        assert!(n_bytes < 64 * 1024 * 1024, "nothing holds the writer back");
    }
    let flush = async {
        pipe.close().await.unwrap();
    };
    let read = async {
        let mut sizes = Vec::new();
        while let Message::Binary(bytes) = star.next().await.unwrap().unwrap() {
            sizes.push(bytes.len());
        }
        sizes
    };
    let ((), sizes) = in_time(async { tokio::join!(flush, read) }).await;
    assert_eq!(sizes.iter().sum::<usize>(), n_bytes);
    assert!(sizes.len() < n_writes, "{} frames", sizes.len());
    assert!(sizes.iter().all(|size| *size <= 64 * 1024));
}

#[tokio::test]
async fn r_pipe_16_bytes_go_both_ways_and_each_direction_ends_alone() {
    let (mut star, mut pipe) = open().await;
    let data = pattern(1_000_000);
    let write = async {
        let mut at = 0;
        for n in [1, 100, 70_000, 126, 300, 200_000, 65_528, 65_529]
            .iter()
            .cycle()
        {
            let end = data.len().min(at + n);
            pipe.write_all(&data[at..end]).await.unwrap();
            if n % 2 == 0 {
                pipe.flush().await.unwrap();
            }
            at = end;
            if at == data.len() {
                break;
            }
        }
        pipe.close().await.unwrap();
    };
    let mut received = Vec::new();
    let read = next_past_data(&mut star, &mut received);
    let ((), end) = in_time(async { tokio::join!(write, read) }).await;
    assert_eq!(end, Some(Message::text("end")));
    assert!(received == data);
    let error = pipe.write_all(b"more").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);

    let fragments = data.chunks(30_011).enumerate().map(|(index, part)| {
        let opcode = if index == 0 {
            Data::Binary
        } else {
            Data::Continue
        };
        let frame = Frame::message(part.to_vec(), OpCode::Data(opcode), false);
        Message::Frame(frame)
    });
    let last = Frame::message(Vec::new(), OpCode::Data(Data::Continue), true);
    let messages: Vec<_> = fragments
        .chain([Message::Frame(last), Message::text("end")])
        .collect();
    let write = async {
        for message in messages {
            star.send(message).await.unwrap();
        }
        star.send(close(1000)).await.unwrap();
    };
    let mut received = Vec::new();
    let ((), n) = in_time(async { tokio::join!(write, pipe.read_to_end(&mut received)) }).await;
    assert_eq!(n.unwrap(), data.len());
    assert!(received == data);
}

#[tokio::test]
async fn r_pipe_17_only_an_end_reads_as_an_end() {
    for (status, expected) in [
        (Some(4000), io::ErrorKind::ConnectionReset),
        (Some(4001), io::ErrorKind::ConnectionAborted),
        (Some(4002), io::ErrorKind::ConnectionAborted),
        (Some(1000), io::ErrorKind::ConnectionAborted),
        (None, io::ErrorKind::ConnectionAborted),
    ] {
        let (mut star, mut pipe) = open().await;
        star.send(Message::binary(&b"before"[..])).await.unwrap();
        match status {
            Some(status) => star.send(close(status)).await.unwrap(),
            None => drop(star),
        }
        let mut bytes = Vec::new();
        let error = in_time(pipe.read_to_end(&mut bytes)).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{status:?}");
        assert!(!error.to_string().is_empty());
        assert_eq!(bytes, b"before");
    }
}

#[tokio::test]
async fn r_pipe_17_a_writer_hears_of_a_reset() {
    let (mut star, mut pipe) = open().await;
    star.send(close(4000)).await.unwrap();
    let bytes = vec![0; 1 << 16];
    let error = in_time(async {
        loop {
            if let Err(error) = pipe.write_all(&bytes).await {
                return error;
            }
        }
    })
    .await;
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn r_pipe_18_a_pipe_that_is_dropped_is_reset() {
    let (mut star, mut pipe) = open().await;
    pipe.write_all(b"written").await.unwrap();
    drop(pipe);
    let mut data = Vec::new();
    let message = in_time(next_past_data(&mut star, &mut data)).await;
    assert_eq!(message, Some(close(4000)));
    assert_eq!(data, b"written");
}

#[tokio::test]
async fn r_pipe_18_a_pipe_that_is_finished_waits_until_the_star_has_everything() {
    let (mut star, mut pipe) = open().await;
    // Nobody reads this: a socket that is just dropped would destroy what was sent.
    star.send(Message::binary(pattern(10_000))).await.unwrap();
    let sent = pattern(3_000_000);
    let finish = async {
        pipe.write_all(&sent).await.unwrap();
        pipe.close().await.unwrap();
        poll_fn(|cx| Pin::new(&mut *pipe).poll_finish(cx)).await;
    };
    let read = async {
        let mut data = Vec::new();
        let end = next_past_data(&mut star, &mut data).await;
        assert_eq!(end, Some(Message::text("end")));
        let message = next_past_data(&mut star, &mut data).await;
        assert_eq!(message, Some(close(4000)));
        // Its answer, which the library has queued, goes out with this.
        assert!(star.next().await.is_none_or(|end| end.is_err()));
        data
    };
    let ((), data) = in_time(async { tokio::join!(finish, read) }).await;
    assert!(data == sent, "{} bytes", data.len());
}

#[tokio::test]
async fn r_pipe_18_a_pipe_that_is_dropped_behind_both_ends_is_done() {
    let (mut star, mut pipe) = open().await;
    pipe.close().await.unwrap();
    star.send(Message::text("end")).await.unwrap();
    let mut bytes = [0; 1];
    assert_eq!(in_time(pipe.read(&mut bytes)).await.unwrap(), 0);
    drop(pipe);
    let mut data = Vec::new();
    let end = in_time(next_past_data(&mut star, &mut data)).await;
    assert_eq!(end, Some(Message::text("end")));
    let message = in_time(next_past_data(&mut star, &mut data)).await;
    assert_eq!(message, Some(close(1000)));
}

#[tokio::test]
async fn r_pipe_19_pings_are_answered_while_the_pipe_is_read() {
    let (mut star, mut pipe) = open().await;
    let ask = async {
        star.send(Message::Ping("payload".into())).await.unwrap();
        star.next().await.unwrap().unwrap()
    };
    let mut bytes = [0; 1];
    let pong = in_time(async {
        tokio::select! {
            pong = ask => pong,
            read = pipe.read(&mut bytes) => panic!("{read:?}"),
        }
    })
    .await;
    assert_eq!(pong, Message::Pong("payload".into()));
}

#[tokio::test]
async fn r_pipe_19_pings_are_answered_while_a_write_waits() {
    let (mut star, mut pipe) = open().await;
    let bytes = vec![0; 64 << 20];
    let ask = async {
        star.send(Message::Ping("payload".into())).await.unwrap();
        // The write has long filled the socket when the star begins to read.
        tokio::time::sleep(Duration::from_millis(200)).await;
        next_past_data(&mut star, &mut Vec::new()).await
    };
    let pong = in_time(async {
        tokio::select! {
            pong = ask => pong,
            written = pipe.write_all(&bytes) => panic!("{written:?}"),
        }
    })
    .await;
    assert_eq!(pong, Some(Message::Pong("payload".into())));
}

#[tokio::test]
async fn r_pipe_16_halves_in_tasks_of_their_own_both_wake() {
    let (star, pipe) = open().await;
    let (mut reader, mut writer) = pipe.split();
    let n_bytes = 8 << 20;
    let echo = tokio::spawn(async move {
        let (mut sink, mut stream) = star.split();
        while let Some(Ok(message)) = stream.next().await {
            let is_end = message.is_text();
            if sink.send(message).await.is_err() || is_end {
                break;
            }
        }
        sink.reunite(stream).unwrap()
    });
    let write = tokio::spawn(async move {
        writer.write_all(&pattern(n_bytes)).await.unwrap();
        writer.close().await.unwrap();
        writer
    });
    let read = tokio::spawn(async move {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.unwrap();
        bytes
    });
    let bytes = in_time(read).await.unwrap();
    assert!(bytes == pattern(n_bytes));
    in_time(write).await.unwrap();
    in_time(echo).await.unwrap();
}
