//! Stdout, stderr, and readers that leave early.

use std::{io::BufRead as _, io::BufReader, process::Stdio};

use crate::program::{Running, run, signal, starpoint, starpoint_with_ulimit, wait};

#[test]
fn json_messages_are_one_object_a_line() {
    let mut star = Running::start(starpoint().args([
        "serve",
        "--listen=127.0.0.1:0",
        "--log-format=json",
        "--log=debug",
    ]));
    let started = star.stderr_line_with("Star started");
    star.signal("TERM");
    let ended = star.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let rest = ended.stderr.lines();
    let messages: Vec<serde_json::Value> = std::iter::once(started.as_str())
        .chain(rest)
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    assert_eq!(messages[0]["message"], "Star started");
    assert_eq!(messages[0]["level"], "INFO");
    assert_eq!(messages[0]["listeners"], 1);
    let stopping = messages
        .iter()
        .find(|message| message["signal"] == "SIGTERM");
    assert!(stopping.is_some(), "{messages:?}");
}

#[test]
fn text_messages_have_no_color_outside_a_terminal() {
    let mut star = Running::start(starpoint().args(["serve", "--listen=127.0.0.1:0"]));
    let started = star.stderr_line_with("Star started");
    assert!(started.contains("INFO"), "{started}");
    assert!(!started.contains('\x1b'), "{started}");
}

#[test]
fn the_filter_silences() {
    let mut star = Running::start(starpoint().args(["serve", "--listen=127.0.0.1:0", "--log=off"]));
    star.stdout_line();
    star.signal("TERM");
    let ended = star.wait();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stderr, "");
}

#[test]
fn printing_to_a_reader_that_has_gone_is_no_error() {
    for args in [["serve", "--print-config"], ["serve", "--help"]] {
        let mut child = starpoint()
            .args(args)
            .stdout(closed_pipe())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let status = wait(&mut child, |_| ());
        let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_star_survives_its_readers() {
    let mut child = starpoint()
        .args(["serve", "--listen=127.0.0.1:0", "--log=debug"])
        .stdout(closed_pipe())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("Star started") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the star ended");
    }
    // From here on, every message fails to be written.
    drop(stderr);
    signal(&child, "TERM");
    assert_eq!(wait(&mut child, |_| ()).code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut child = starpoint()
        .args(["serve", "--print-config"])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(wait(&mut child, |_| ()).code(), Some(1));
    let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert!(stderr.contains("\n\nhint: "), "{stderr}");
}

#[test]
fn the_limit_on_open_files_is_raised() {
    let mut star = Running::start(
        starpoint_with_ulimit("ulimit -Sn 100 && ulimit -Hn 400").args([
            "serve",
            "--listen=127.0.0.1:0",
            "--max-peers=100",
            "--log=debug",
        ]),
    );
    let raised = star.stderr_line_with("Raised the limit on open files");
    assert!(raised.contains("limit=400"), "{raised}");
    star.stderr_line_with("Star started");
    star.signal("TERM");
    let ended = star.wait();
    assert!(!ended.stderr.contains("WARN"), "{ended:?}");
}

#[test]
fn more_peers_than_files_are_warned_of() {
    let mut star = Running::start(starpoint_with_ulimit("ulimit -n 400").args([
        "serve",
        "--listen=127.0.0.1:0",
        "--max-peers=400",
    ]));
    let warning = star.stderr_line_with("WARN");
    assert!(warning.contains("limit=400"), "{warning}");
    assert!(warning.contains("max_peers=400"), "{warning}");
}

#[test]
fn no_more_connections_are_accepted_than_files_can_be_open() {
    let mut star = Running::start(starpoint_with_ulimit("ulimit -n 300").args([
        "serve",
        "--listen=127.0.0.1:0",
        "--max-peers=100",
    ]));
    let line = star.stdout_line();
    let addr = line.strip_prefix("listening http://").unwrap().to_owned();
    let sockets: Vec<_> = (0..400)
        .map(|_| std::net::TcpStream::connect(&addr).unwrap())
        .collect();
    let mut probe = std::net::TcpStream::connect(&addr).unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: star\r\nconnection: close\r\n\r\n";
    std::io::Write::write_all(&mut probe, request).unwrap();
    let answer = std::io::read_to_string(probe).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(sockets);
    star.signal("TERM");
    let ended = star.wait();
    assert!(ended.stderr.contains("max_connections=140"), "{ended:?}");
    assert!(!ended.stderr.contains("WARN"), "{ended:?}");
}

#[test]
fn an_error_goes_to_stderr_only() {
    let ended = run(starpoint().args(["serve", "--max-peers=none"]));
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.starts_with("error: "), "{ended:?}");
}

/// Returns the writing end of a pipe that nobody reads.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("the system has pipes");
    drop(reader);
    writer.into()
}
