//! Stars that are none, stars that die, and peers that share a key.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Stdio,
    thread,
};

use starpoint_test_support::{Signal, Star, StarOptions};

use crate::{
    folder::Folder,
    pipe::{exchange, payload, sha256},
    program::{Running, run, starpoint, wait},
    stage::{Stage, star_at},
};

const NO_STAR: i32 = 7;
const BROKEN: i32 = 12;
const NOBODY: &str = "12D3KooWHmsGdcdJGFbAfAgfGvKcRwjpNUGzCQTV1PyKV8SiYC3L";
const MIB: usize = 1024 * 1024;

/// Listens as long as the process runs, and does `serve` with who comes; returns
/// the port.
fn fake(serve: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(serve));
    port
}

/// Runs every command at once against what is no star; each has to fail in the
/// same way.
fn all_fail(port: u16, cause: &str) {
    let home = star_at(port);
    let peer = format!("{home}/p2p/{NOBODY}");
    let folder = Folder::new();
    let key = folder.join("key");
    let key = key.to_str().expect("it is UTF-8");
    let commands = [
        &["peers", "--star", &home][..],
        &["listen", "--star", &home, "--key", key],
        &["listen", "--raw", "--star", &home, "--key", key],
        &["ping", "-c1", &peer],
        &["connect", &peer],
        &["connect", "--raw", &peer],
    ];
    thread::scope(|scope| {
        for args in commands {
            scope.spawn(move || {
                let ended = run(starpoint().args(args));
                let (error, hint) = ended.expect_failure(NO_STAR);
                assert!(error.contains("star unreachable"), "{args:?}: {error}");
                assert!(error.contains(cause), "{args:?}: {error}");
                assert!(hint.contains("check the address of the star"), "{hint}");
            });
        }
    });
}

#[test]
fn a_star_that_accepts_and_never_answers() {
    let (open, _kept) = std::sync::mpsc::channel();
    let port = fake(move |socket| open.send(socket).expect("the test keeps it"));
    all_fail(port, "server does not answer in time");
}

#[test]
fn a_star_that_answers_garbage() {
    let port = fake(|mut socket| {
        // The peer may be gone already.
        let _ = socket.write_all(&[0xff; 1000]);
    });
    all_fail(port, "cannot connect");
}

#[test]
fn a_star_that_answers_with_another_protocol() {
    let port = fake(|mut socket| {
        // Until the end of the request, so that the answer is not cut off.
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && socket.read_exact(&mut byte).is_ok() {
            request.push(byte[0]);
        }
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    all_fail(port, "cannot connect");
}

/// A star that is killed while its peers are in the middle of a transfer, and
/// that is started again.
fn star_dies(raw: &[&str]) {
    let Stage { star, folder } = Stage::new();
    let stage_key = folder.join("key");
    let port = star.port();
    let home = star_at(port);
    let mut echo = Running::start(
        starpoint()
            .args(["listen", "--echo", "--star", &home])
            .arg("--key")
            .arg(&stage_key)
            .args(raw),
    );
    let listening = echo.stdout_line();
    let address = listening.strip_prefix("listening ").expect("an address");

    let mut child = starpoint()
        .arg("connect")
        .args(raw)
        .arg(address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let chunk = payload(5, MIB);
    let sent = chunk.clone();
    // Ends with the program, which nothing else ends.
    let writer = thread::spawn(move || while stdin.write_all(&sent).is_ok() {});
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let mut received = vec![0; 2 * MIB];
    stdout.read_exact(&mut received).expect("an echo comes");

    star.signal(Signal::Kill);
    drop(star);
    stdout.read_to_end(&mut received).expect("stdout is read");
    assert_eq!(wait(&mut child, |_| ()).code(), Some(BROKEN));
    writer.join().expect("the writer does not panic");
    // What came is what was sent, up to some point.
    for part in received.chunks(MIB) {
        assert!(part == &chunk[..part.len()], "{} bytes", received.len());
    }
    let stderr = child.stderr.take().expect("stderr is piped");
    let stderr = std::io::read_to_string(stderr).expect("stderr is text");
    assert!(stderr.contains("\nerror: connection broken"), "{stderr}");

    assert!(echo.stdout_line().starts_with("connected "));
    let mut told = [echo.stdout_line(), echo.stdout_line()];
    told.sort_unstable();
    assert!(told[0].starts_with("broken "), "{told:?}");
    assert!(told[1].starts_with(&format!("lost {home}, ")), "{told:?}");

    let star = Star::start(&StarOptions {
        port: Some(port),
        ..StarOptions::default()
    });
    while echo.stdout_line() != listening {}
    let mut connect = starpoint();
    connect.arg("connect").args(raw).arg(address);
    let done = exchange(&mut connect, chunk.clone());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(sha256(&done.received), sha256(&chunk));
    echo.signal("TERM");
    assert_eq!(echo.wait().code, Some(0));
    star.stop_blocking();
}

#[test]
fn a_star_that_dies_in_mid_transfer_breaks_it_and_serves_the_next() {
    star_dies(&[]);
}

#[test]
fn a_star_that_dies_in_mid_transfer_breaks_it_and_serves_the_next_raw() {
    star_dies(&["--raw"]);
}

#[test]
fn of_two_processes_with_one_key_the_newer_is_there() {
    let stage = Stage::new();
    for raw in [&["--echo"][..], &["--echo", "--raw"]] {
        let (mut older, address) = stage.listen("key", raw);
        let (mut newer, same) = stage.listen("key", raw);
        assert_eq!(same, address);
        let lost = format!(
            "lost {}, another process with the same key took over",
            stage.multiaddr()
        );
        assert_eq!(older.stdout_line(), lost);

        let sent = payload(6, MIB);
        let mut connect = starpoint();
        connect.arg("connect").args(&raw[1..]).arg(&address);
        let done = exchange(&mut connect, sent.clone());
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert_eq!(sha256(&done.received), sha256(&sent));
        assert!(newer.stdout_line().starts_with("connected "));
        assert!(newer.stdout_line().starts_with("ended "));
        // The older one has not taken its place back.
        for process in [newer, older] {
            process.signal("TERM");
            let ended = process.wait();
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
        }
    }
}
