//! `starpoint listen` and `starpoint connect` beside a peer that speaks their
//! protocol by hand.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use starpoint_node::{Config, Event, Incoming, Keypair, Node, PeerId, Stream, StreamProtocol};

use crate::{
    program::{starpoint, wait},
    stage::Stage,
};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/starpoint/pipe/1");
const END: [u8; 4] = [0; 4];
const REFUSED: Option<i32> = Some(9);
const NO_ANSWER: Option<i32> = Some(11);
const BROKEN: Option<i32> = Some(12);

/// How a command ended that was given all of its stdin at once.
struct Ended {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

/// Runs `connect` beside the test's runtime.
async fn connect(address: &str, stdin: &'static [u8]) -> Ended {
    let mut command = starpoint();
    command.args(["connect", address]);
    let ended = tokio::task::spawn_blocking(move || finish(&mut command, stdin));
    ended.await.expect("it does not panic")
}

fn finish(command: &mut Command, stdin: &[u8]) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that has failed reads no more; its exit code tells.
    let _ = child.stdin.take().expect("it is piped").write_all(stdin);
    let mut stdout = child.stdout.take().expect("it is piped");
    let output = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).expect("stdout is read");
        bytes
    });
    let code = wait(&mut child, |_| ()).code();
    let stderr = std::io::read_to_string(child.stderr.take().expect("it is piped"));
    Ended {
        code,
        stdout: output.join().expect("the reader does not panic"),
        stderr: stderr.expect("stderr is text"),
    }
}

/// A peer at the star that takes the streams of `connect`.
async fn peer(stage: &Stage) -> (Node, Incoming, String) {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.stars = vec![stage.multiaddr().parse().expect("it is an address")];
    let (node, mut events) = starpoint_node::start(config).expect("a node starts");
    let incoming = node.incoming(PROTOCOL).expect("nobody takes it");
    loop {
        if let Event::StarLive { address, .. } = events.next().await.expect("the node runs") {
            return (node, incoming, address.to_string());
        }
    }
}

/// Opens a stream to a `listen` and reads its greeting.
async fn dial(node: &Node, listener: PeerId) -> std::io::Result<Stream> {
    let opened = node.open_stream(listener, PROTOCOL).await;
    let mut stream = opened.map_err(std::io::Error::other)?;
    let mut greeting = [0];
    stream.read_exact(&mut greeting).await?;
    assert_eq!(greeting, [1]);
    Ok(stream)
}

async fn write(stream: &mut Stream, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("it is taken");
    stream.flush().await.expect("it is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn r_netcat_1_a_dialer_is_greeted_and_speaks_in_chunks() {
    let stage = Stage::new();
    let (_node, mut incoming, address) = peer(&stage).await;
    let serving = async {
        let (_, mut stream) = incoming.next().await.unwrap();
        write(&mut stream, &[1]).await;
        write(&mut stream, b"\0\0\0\x02yo\0\0\0\0").await;
        let mut read = [0; 10];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"\0\0\0\x02hi\0\0\0\0");
    };
    let (ended, ()) = tokio::join!(connect(&address, b"hi"), serving);
    assert_eq!((ended.code, &ended.stdout[..]), (Some(0), &b"yo"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn r_netcat_2_a_dialer_waits_ten_seconds_for_the_greeting_and_sends_nothing() {
    let stage = Stage::new();
    let (_node, mut incoming, address) = peer(&stage).await;
    let begun = Instant::now();
    let silent = async {
        let (_, mut stream) = incoming.next().await.unwrap();
        let mut sent = Vec::new();
        // The connection ends sooner or later; how does not matter here.
        let _ = stream.read_to_end(&mut sent).await;
        assert_eq!(sent, b"");
    };
    let (ended, ()) = tokio::join!(connect(&address, b"hello?"), silent);
    assert_eq!(ended.code, NO_ANSWER, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("does not serve it"),
        "{}",
        ended.stderr
    );
    assert!(begun.elapsed() >= Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn r_netcat_2_an_end_or_another_byte_is_a_refusal() {
    let stage = Stage::new();
    let (_node, mut incoming, address) = peer(&stage).await;
    let resetting = async { drop(incoming.next().await.unwrap()) };
    let (ended, ()) = tokio::join!(connect(&address, b"hello?"), resetting);
    assert_eq!(ended.code, REFUSED, "{}", ended.stderr);
    let foreign = async {
        let (_, mut stream) = incoming.next().await.unwrap();
        write(&mut stream, b"SSH-2.0").await;
        stream
    };
    let (ended, _stream) = tokio::join!(connect(&address, b"hello?"), foreign);
    assert_eq!(ended.code, REFUSED, "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn r_netcat_4_the_other_direction_goes_on_behind_an_end() {
    let stage = Stage::new();
    let (_node, mut incoming, address) = peer(&stage).await;
    let serving = async {
        let (_, mut stream) = incoming.next().await.unwrap();
        write(&mut stream, &[1]).await;
        let mut read = [0; 4];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(read, END);
        write(&mut stream, b"\0\0\0\x04late").await;
        write(&mut stream, &END).await;
        // Not closed: the end is the chunk.
        stream
    };
    let (ended, _stream) = tokio::join!(connect(&address, b""), serving);
    assert_eq!((ended.code, &ended.stdout[..]), (Some(0), &b"late"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn r_netcat_5_a_stream_that_is_closed_without_its_end_is_broken() {
    let stage = Stage::new();
    let (_node, mut incoming, address) = peer(&stage).await;
    for sent in [&b"\x01\0\0\0\x02yo"[..], b"\x01\0\0\0\x02y", b"\x01\0\0"] {
        let serving = async {
            let (_, mut stream) = incoming.next().await.unwrap();
            write(&mut stream, sent).await;
            stream.close().await.unwrap();
            stream
        };
        let (ended, _stream) = tokio::join!(connect(&address, b""), serving);
        assert_eq!(ended.code, BROKEN, "{sent:?}: {}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_netcat_6_what_was_sent_arrives_although_the_program_ends_at_once() {
    static SENT: [u8; 700_000] = [7; 700_000];
    let stage = Stage::new();
    let (_node, mut incoming, address) = peer(&stage).await;
    for _ in 0..5 {
        let serving = async {
            let (_, mut stream) = incoming.next().await.unwrap();
            // The own direction ends first: the dialer waits for nothing more.
            write(&mut stream, &[1]).await;
            write(&mut stream, &END).await;
            let (mut n_bytes, mut length) = (0, [0; 4]);
            loop {
                stream.read_exact(&mut length).await.unwrap();
                if length == END {
                    return n_bytes;
                }
                let mut chunk = vec![0; u32::from_be_bytes(length) as usize];
                stream.read_exact(&mut chunk).await.unwrap();
                n_bytes += chunk.len();
            }
        };
        let (ended, n_bytes) = tokio::join!(connect(&address, &SENT), serving);
        assert_eq!((ended.code, n_bytes), (Some(0), SENT.len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_netcat_7_a_listener_serves_the_first_and_refuses_the_others() {
    let stage = Stage::new();
    let (listen, address) = stage.listen("listen", &[]);
    let (node, _incoming, _) = peer(&stage).await;
    let address = address.parse().expect("it is an address");
    let listener = node.dial(address).await.unwrap();
    let dials = (0..5).map(|_| dial(&node, listener));
    let dialed = futures_util::future::join_all(dials).await;
    let mut served: Vec<_> = dialed.into_iter().filter_map(Result::ok).collect();
    assert_eq!(served.len(), 1);
    assert!(dial(&node, listener).await.is_err());

    write(&mut served[0], b"\0\0\0\x02hi\0\0\0\0").await;
    let mut end = END;
    served[0].read_exact(&mut end).await.unwrap();
    assert_eq!(end, END);
    let ended = tokio::task::spawn_blocking(|| listen.wait()).await.unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout.trim_end(), "hi");
}
