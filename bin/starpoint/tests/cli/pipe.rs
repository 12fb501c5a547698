//! `starpoint listen` and `starpoint connect`.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    thread,
};

use serde_json::json;
use sha2::Digest as _;

use crate::{
    program::{run, starpoint, wait},
    stage::{Stage, json_lines, peer_of},
};

const BROKEN: i32 = 12;
const MIB: usize = 1024 * 1024;

/// What a program was sent and sent itself.
#[derive(Debug, PartialEq)]
pub(crate) struct Exchanged {
    pub(crate) code: Option<i32>,
    pub(crate) received: Vec<u8>,
    pub(crate) stderr: String,
}

/// Runs a command with this stdin to its end.
pub(crate) fn exchange(command: &mut Command, sent: Vec<u8>) -> Exchanged {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let writer = thread::spawn(move || {
        // A program that has failed reads no more; its exit code tells.
        let _ = stdin.write_all(&sent);
    });
    let mut stderr = child.stderr.take().expect("stderr is piped");
    let messages = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).expect("stderr is text");
        text
    });
    let mut received = Vec::new();
    let mut stdout = child.stdout.take().expect("stdout is piped");
    stdout.read_to_end(&mut received).expect("stdout is read");
    let code = wait(&mut child, |_| ()).code();
    writer.join().expect("the writer does not panic");
    Exchanged {
        code,
        received,
        stderr: messages.join().expect("the reader does not panic"),
    }
}

/// Bytes without repetitions that would hide a swapped chunk.
pub(crate) fn payload(seed: u64, n_bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let words = (0..n_bytes.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(n_bytes).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

/// Starts `listen` with a stdin of these bytes, in a thread; returns its address.
fn listen_in_thread(
    stage: &Stage,
    args: &[&str],
    sent: Vec<u8>,
) -> (thread::JoinHandle<Exchanged>, String) {
    let key = stage.key("listen");
    let home = stage.multiaddr();
    let ended = run(starpoint().args(["id", "--key", &key, "--star", &home]));
    let address = ended.expect_output().trim().to_owned();
    let mut command = starpoint();
    command
        .args(["listen", "--key", &key, "--star", &home])
        .args(args);
    let listening = thread::spawn(move || exchange(&mut command, sent));
    (listening, address)
}

/// Connects as soon as the peer is there.
fn connect(args: &[&str], address: &str, sent: &[u8]) -> Exchanged {
    const NO_PEER: i32 = 8;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(40);
    loop {
        let mut command = starpoint();
        command.arg("connect").args(args).arg(address);
        let done = exchange(&mut command, sent.to_vec());
        if done.code != Some(NO_PEER) || std::time::Instant::now() > deadline {
            return done;
        }
    }
}

/// Each side sends its own bytes and gets the other's.
fn both_ways(args: &[&str], n_bytes: usize) {
    let stage = Stage::new();
    let (forth, back) = (payload(7, n_bytes), payload(8, n_bytes));
    let (listening, address) = listen_in_thread(&stage, args, back.clone());
    let connected = connect(args, &address, &forth);
    assert_eq!(connected.code, Some(0), "{}", connected.stderr);
    assert_eq!(connected.received.len(), n_bytes);
    assert_eq!(sha256(&connected.received), sha256(&back));
    let listened = listening.join().expect("the listener does not panic");
    assert_eq!(listened.code, Some(0), "{}", listened.stderr);
    assert_eq!(listened.received.len(), n_bytes);
    assert_eq!(sha256(&listened.received), sha256(&forth));
    stage.star.stop_blocking();
}

#[test]
fn sixty_four_mebibytes_both_ways() {
    both_ways(&[], 64 * MIB);
}

#[test]
fn sixty_four_mebibytes_both_ways_raw() {
    both_ways(&["--raw"], 64 * MIB);
}

#[test]
fn nothing_at_all_is_an_end_too() {
    both_ways(&[], 0);
    both_ways(&["--raw"], 0);
}

#[test]
fn a_side_that_has_ended_still_gets_the_rest() {
    let stage = Stage::new();
    for args in [&[][..], &["--raw"]] {
        // The listener's stdin ends before anybody comes.
        let (listening, address) = listen_in_thread(&stage, args, Vec::new());
        let sent = payload(9, 8 * MIB);
        let connected = connect(args, &address, &sent);
        assert_eq!((connected.code, connected.received), (Some(0), Vec::new()));
        let listened = listening.join().expect("the listener does not panic");
        assert_eq!(listened.code, Some(0), "{}", listened.stderr);
        assert_eq!(sha256(&listened.received), sha256(&sent));
    }
}

#[test]
fn an_echo_serves_many_peers_at_once() {
    let stage = Stage::new();
    for args in [&["--echo"][..], &["--echo", "--raw"]] {
        let (listen, address) = stage.listen("listen", args);
        let dialers: Vec<_> = (1..=4)
            .map(|seed| {
                let (address, args) = (address.clone(), args[1..].to_vec());
                thread::spawn(move || {
                    let sent = payload(seed, MIB);
                    let connected = connect(&args, &address, &sent);
                    assert_eq!(connected.code, Some(0), "{}", connected.stderr);
                    assert_eq!(sha256(&connected.received), sha256(&sent));
                })
            })
            .collect();
        for dialer in dialers {
            dialer.join().expect("a dialer does not panic");
        }
        listen.signal("TERM");
        let ended = listen.wait();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn reports_in_json_have_stable_keys() {
    let stage = Stage::new();
    let (listening, address) = listen_in_thread(&stage, &["--json"], b"pong".to_vec());
    let connected = connect(&["--json"], &address, b"ping!");
    let peer = peer_of(&address);
    assert_eq!(
        json_lines(&connected.stderr),
        [
            json!({ "event": "connected", "peer": peer, "address": address }),
            json!({ "event": "ended", "peer": peer, "sent_bytes": 5, "received_bytes": 4 }),
        ]
    );
    let listened = listening.join().expect("the listener does not panic");
    let lines = json_lines(&listened.stderr);
    let dialer = lines[1]["peer"].as_str().expect("an id");
    assert_ne!(dialer, peer);
    assert_eq!(
        lines,
        [
            json!({ "event": "listening", "address": address }),
            json!({ "event": "connected", "peer": dialer }),
            json!({ "event": "ended", "peer": dialer, "sent_bytes": 4, "received_bytes": 5 }),
        ]
    );
}

#[test]
fn a_peer_that_dies_is_an_error() {
    let stage = Stage::new();
    for args in [&["--echo"][..], &["--echo", "--raw"]] {
        let (listen, address) = stage.listen("listen", args);
        let mut child = starpoint()
            .arg("connect")
            .args(&args[1..])
            .arg(&address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(b"are you there?").expect("it is read");
        let mut answer = [0; 14];
        let stdout = child.stdout.as_mut().expect("stdout is piped");
        stdout.read_exact(&mut answer).expect("an answer comes");
        assert_eq!(&answer, b"are you there?");
        listen.signal("KILL");
        assert_eq!(wait(&mut child, |_| ()).code(), Some(BROKEN));
        let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
        assert!(stderr.contains("\nerror: connection broken"), "{stderr}");
        assert!(stderr.contains("\n\nhint: "), "{stderr}");
        drop(listen.wait());
        drop(stdin);
    }
}

#[test]
fn who_reads_the_output_may_leave() {
    let stage = Stage::new();
    let (_listen, address) = stage.listen("listen", &["--echo"]);
    let mut child = starpoint()
        .args(["connect", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(b"come back").expect("it is read");
    let status = wait(&mut child, |_| ());
    assert_eq!(status.code(), Some(0));
}
