//! `starpoint expose` and `starpoint open`.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    program::{Running, run, starpoint, starpoint_under, wait},
    stage::{Stage, closed_port, json_lines},
};

pub(crate) const OK: Option<i32> = Some(0);

/// A service that speaks first, then sends back what comes.
pub(crate) fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let (mut reader, mut writer) = (&socket, &socket);
                writer.write_all(b"hello\n")?;
                std::io::copy(&mut reader, &mut writer)?;
                socket.shutdown(std::net::Shutdown::Write)
            });
        }
    });
    address
}

pub(crate) fn port_of(address: SocketAddr) -> String {
    address.port().to_string()
}

/// A host, and how its decisions are typed.
pub(crate) struct Host {
    pub(crate) expose: Running,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) code: String,
}

impl Stage {
    /// Starts `expose` with these arguments besides, and waits for its code.
    pub(crate) fn expose(&self, args: &[&str]) -> Host {
        let mut host = self.start_expose(args);
        host.code = host.expose.stdout_line();
        host.expose.stderr_line_with("waiting for a client");
        host
    }

    /// The same, with reports for programs.
    pub(crate) fn expose_json(&self, args: &[&str]) -> Host {
        let mut host = self.start_expose(&[args, &["--json"]].concat());
        let code = host.event("code");
        host.code = code["code"].as_str().expect("a text").to_owned();
        host
    }

    fn start_expose(&self, args: &[&str]) -> Host {
        let mut command = starpoint();
        command
            .args(["expose", "--star", &self.multiaddr()])
            .args(args);
        let mut expose = Running::start(command.stdin(Stdio::piped()));
        Host {
            stdin: expose.take_stdin(),
            expose,
            code: String::new(),
        }
    }
}

impl Host {
    pub(crate) fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it is piped");
        writeln!(stdin, "{line}").expect("it is read");
    }

    /// Waits for a report of this name, of `--json`.
    pub(crate) fn event(&mut self, name: &str) -> serde_json::Value {
        loop {
            let event = json_lines(&self.expose.stdout_line()).remove(0);
            if event["event"] == name {
                return event;
            }
        }
    }

    pub(crate) fn open(&self, args: &[&str]) -> Running {
        Running::start(starpoint().args(["open", &self.code]).args(args))
    }

    /// Starts `open` and waits until it listens.
    fn open_listening(&self) -> (Running, SocketAddr) {
        let mut open = self.open(&["--listen", "127.0.0.1:0"]);
        let address = listening(&mut open);
        (open, address)
    }
}

pub(crate) fn listening(open: &mut Running) -> SocketAddr {
    let line = open.stderr_line_with("listening");
    let address = line.split(' ').nth(1).expect("an address");
    address.parse().expect("an address")
}

/// Talks to the service behind `address`.
pub(crate) fn assert_serves(address: SocketAddr) {
    let mut socket = TcpStream::connect(address).expect("somebody listens");
    let mut text = [0; 6];
    socket.read_exact(&mut text).expect("a banner");
    assert_eq!(&text, b"hello\n");
    socket.write_all(b"echo").expect("it is taken");
    socket
        .shutdown(std::net::Shutdown::Write)
        .expect("it is open");
    let mut rest = String::new();
    socket.read_to_string(&mut rest).expect("an end");
    assert_eq!(rest, "echo");
}

fn assert_free(address: SocketAddr) {
    let error = TcpStream::connect(address).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_service_is_reached_once_the_host_says_yes() {
    let stage = Stage::new();
    let mut host = stage.expose(&[&port_of(service())]);
    let mut open = host.open(&["--listen", "127.0.0.1:0"]);
    open.stderr_line_with("connecting");
    open.stderr_line_with("waiting for approval");
    host.expose.stderr_line_with("wants to join: accept? [y/n]");
    host.type_line("list");
    host.expose.stderr_line_with(" waiting");
    host.type_line("y");
    host.expose.stderr_line_with("joined");
    open.stderr_line_with("open (relayed), host offers");
    let address = listening(&mut open);
    assert_serves(address);

    open.signal("INT");
    assert_eq!(open.wait().code, OK);
    assert_free(address);
    host.expose.stderr_line_with("left");
    host.expose.signal("TERM");
    assert_eq!(host.expose.wait().code, OK);
}

#[test]
fn a_client_that_is_declined_says_so_and_so_does_its_code_afterwards() {
    let stage = Stage::new();
    let mut host = stage.expose(&[&port_of(service())]);
    let mut open = host.open(&["--listen", "127.0.0.1:0"]);
    open.stderr_line_with("waiting for approval");
    host.expose.stderr_line_with("wants to join");
    host.type_line("n");
    let ended = open.wait();
    assert_eq!(ended.code, Some(15), "{ended:?}");
    assert!(ended.stderr.contains("error: host declined"), "{ended:?}");

    let ended = host.open(&["--stdio"]).wait();
    assert_eq!(ended.code, Some(14), "{ended:?}");
    assert!(ended.stderr.contains("code was used already"), "{ended:?}");
    // Another code is good.
    host.type_line("code");
    host.code = host.expose.stdout_line();
    let mut open = host.open(&["--stdio"]);
    open.stderr_line_with("waiting for approval");
}

#[test]
fn a_decision_that_does_not_come_and_a_code_that_is_too_old_have_errors() {
    let stage = Stage::new();
    let port = port_of(service());
    let host = stage.expose(&[&port, "--approval-timeout", "1s"]);
    let ended = host.open(&["--stdio"]).wait();
    assert_eq!(ended.code, Some(15), "{ended:?}");
    assert!(ended.stderr.contains("did not answer in time"), "{ended:?}");

    let host = stage.expose(&[&port, "--code-ttl", "0s", "--accept-all"]);
    let ended = host.open(&["--stdio"]).wait();
    assert_eq!(ended.code, Some(14), "{ended:?}");
    assert!(ended.stderr.contains("code has expired"), "{ended:?}");
}

#[test]
fn what_is_no_code_is_refused_before_anything_is_sent() {
    let stage = Stage::new();
    let host = stage.expose(&[&port_of(service()), "--accept-all"]);
    let mut damaged = host.code.clone();
    let last = if damaged.pop() == Some('a') { 'b' } else { 'a' };
    damaged.push(last);
    let begun = Instant::now();
    for (code, expected) in [
        ("7-crossover-clockwork", "not a session code"),
        (&damaged[..], "damaged"),
        (&host.code[..40], "damaged"),
    ] {
        let ended = run(starpoint().args(["open", code, "--stdio"]));
        let (error, _) = ended.expect_failure(2);
        assert!(error.contains(expected), "{error}");
        // It is all but a secret.
        assert!(!ended.stderr.contains(code), "{ended:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(host.open(&["--stdio"]).wait().code, OK);
}

#[test]
fn stdin_and_stdout_go_through() {
    let stage = Stage::new();
    let host = stage.expose(&[&port_of(service()), "--accept-all", "--max-clients", "2"]);
    let open = |code: &str| -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_starpoint"));
        command.args(["open", code, "--stdio"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null()).spawn().expect("it starts")
    };
    let mut child = open(&host.code);
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut stdout = child.stdout.take().expect("it is piped");
    let sent = vec![7; 3_000_000];
    let writing = {
        let sent = sent.clone();
        thread::spawn(move || stdin.write_all(&sent))
    };
    let mut got = Vec::new();
    stdout.read_to_end(&mut got).expect("it ends");
    writing.join().expect("no panic").expect("it is taken");
    assert_eq!(&got[..6], b"hello\n");
    assert!(got[6..] == sent);
    assert_eq!(wait(&mut child, |_| ()).code(), OK);
}

#[test]
fn a_code_may_come_by_stdin() {
    let stage = Stage::new();
    let host = stage.expose(&[&port_of(service()), "--accept-all"]);
    let mut command = starpoint();
    command.args(["open", "-", "--listen", "127.0.0.1:0"]);
    let mut open = Running::start(command.stdin(Stdio::piped()));
    let mut stdin = open.take_stdin().expect("it is piped");
    writeln!(stdin, "{}", host.code).expect("it is read");
    assert_serves(listening(&mut open));
}

#[test]
fn several_targets_have_names_and_others_are_refused() {
    let stage = Stage::new();
    let (web, other) = (service(), service());
    let web_target = format!("web={web}");
    let gone = format!("gone={}", closed_port());
    let host = stage.expose(&[
        &port_of(other),
        "--to",
        &web_target,
        "--to",
        &gone,
        "--accept-all",
        "--max-clients=9",
    ]);
    let mut open = host.open(&["--listen=web=127.0.0.1:0", "--listen=127.0.0.1:0"]);
    let line = open.stderr_line_with("host offers");
    assert!(
        line.ends_with(&format!("offers {} web gone", other.port())),
        "{line}"
    );
    assert_serves(listening(&mut open));
    assert_serves(listening(&mut open));

    let ended = host.open(&["--stdio", "--target=ssh"]).wait();
    assert_eq!(ended.code, Some(17), "{ended:?}");
    assert!(
        ended.stderr.contains("does not offer this target"),
        "{ended:?}"
    );
    let ended = host.open(&["--stdio", "--target=gone"]).wait();
    assert_eq!(ended.code, Some(17), "{ended:?}");
    assert!(ended.stderr.contains("refused the connection"), "{ended:?}");
}

#[test]
fn listeners_come_and_go_as_they_are_typed() {
    let stage = Stage::new();
    let web = format!("web={}", service());
    let host = stage.expose(&[&port_of(service()), "--to", &web, "--accept-all"]);
    let mut command = starpoint();
    command.args(["open", &host.code, "--listen", "127.0.0.1:0"]);
    let mut open = Running::start(command.stdin(Stdio::piped()));
    let mut stdin = open.take_stdin().expect("it is piped");
    let first = listening(&mut open);
    let mut type_line = |line: &str| writeln!(stdin, "{line}").expect("it is read");

    type_line("listen web=127.0.0.1:0");
    let line = open.stderr_line_with(" for web");
    let second = line.split(' ').nth(1).expect("an address");
    let second: SocketAddr = second.parse().expect("an address");
    assert_serves(second);
    type_line(&format!("remove {first}"));
    open.stderr_line_with(&format!("removed {first}"));
    assert_free(first);
    type_line("list");
    assert_eq!(open.stderr_line_with(""), format!("{second} for web"));
    for (line, expected) in [
        ("remove 127.0.0.1:1", "no such listener"),
        ("listen nonsense", "not an address and a port"),
        (&format!("listen {second}"), "cannot listen on"),
        ("what?", "commands are listen"),
    ] {
        type_line(line);
        open.stderr_line_with(expected);
    }
    // Nobody types any more, and that is no reason to stop.
    drop(stdin);
    assert_serves(second);
}

#[test]
fn what_cannot_be_offered_is_refused_at_the_start() {
    for (target, expected) in [
        ("192.168.1.5:80", "has to be named"),
        ("dns=1.1.1.1:53", "only this machine and the local network"),
        ("nonsense", "not a target"),
        ("169.254.169.254:80", "has to be named"),
        ("any=0.0.0.0:80", "only this machine and the local network"),
        ("web=0x7f000001:80", "four decimal numbers"),
        ("web=0177.0.0.1:80", "four decimal numbers"),
        ("web=2130706433:80", "four decimal numbers"),
        ("127.1:80", "four decimal numbers"),
        ("127.0.0.1.:80", "four decimal numbers"),
    ] {
        let star = "--star=/ip4/127.0.0.1/tcp/1/ws/p2p-websocket-star";
        let ended = run(starpoint().args(["expose", target, star]));
        let (error, _) = ended.expect_failure(2);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_host_without_anybody_to_decide_does_not_run() {
    let stage = Stage::new();
    let star = stage.multiaddr();
    let ended = run(starpoint().args(["expose", "80", "--star", &star]));
    let (error, hint) = ended.expect_failure(2);
    assert!(error.contains("nobody can let clients in"), "{error}");
    assert!(hint.contains("--accept-first"), "{hint}");
}

#[test]
fn only_peers_on_the_list_are_let_in_when_nobody_decides() {
    let stage = Stage::new();
    let key = stage.key("friend");
    let id = run(starpoint().args(["id", "--key", &key]));
    let friend = id.expect_output().trim();
    let mut command = starpoint();
    command.args(["expose", "--star", &stage.multiaddr(), "--max-clients=2"]);
    let mut expose = Running::start(command.args([&port_of(service()), "--allow", friend]));
    let code = expose.stdout_line();
    let open = |args: &[&str]| run(starpoint().args(["open", &code, "--stdio"]).args(args));
    assert_eq!(open(&[]).code, Some(15));
    let ended = open(&["--key", &key]);
    assert_eq!(
        (ended.code, &ended.stdout[..]),
        (OK, "hello\n"),
        "{ended:?}"
    );
}

#[test]
fn a_client_that_is_dropped_ends_with_a_code_of_its_own() {
    let stage = Stage::new();
    let mut host = stage.expose(&[&port_of(service()), "--accept-first"]);
    let (open, address) = host.open_listening();
    let joined = host.expose.stderr_line_with("joined");
    let id = joined.split(' ').nth(1).expect("an id").to_owned();
    host.type_line(&format!("drop {}", &id[id.len() - 6..]));
    let ended = open.wait();
    assert_eq!(ended.code, Some(16), "{ended:?}");
    assert!(ended.stderr.contains("host ended the session"), "{ended:?}");
    assert_free(address);
}

#[test]
fn a_host_that_is_stopped_ends_its_clients() {
    let stage = Stage::new();
    let host = stage.expose(&[&port_of(service()), "--accept-all"]);
    let (open, address) = host.open_listening();
    host.expose.signal("INT");
    assert_eq!(host.expose.wait().code, OK);
    let ended = open.wait();
    assert_eq!(ended.code, Some(16), "{ended:?}");
    assert!(ended.stderr.contains("host has stopped"), "{ended:?}");
    assert_free(address);
}

#[test]
fn a_client_whose_terminal_is_closed_leaves() {
    let stage = Stage::new();
    let mut host = stage.expose(&[&port_of(service()), "--accept-all"]);
    // Tests may have been started to ignore the end of their own terminal.
    let mut command = starpoint_under(&["env", "--default-signal=HUP"]);
    command.args(["open", &host.code, "--listen", "127.0.0.1:0"]);
    let mut open = Running::start(&mut command);
    let address = listening(&mut open);
    open.signal("HUP");
    assert_eq!(open.wait().code, OK);
    assert_free(address);
    host.expose.stderr_line_with("left");
}

#[test]
fn a_client_that_shall_not_mind_its_terminal_goes_on() {
    let stage = Stage::new();
    let host = stage.expose(&[&port_of(service()), "--accept-all"]);
    let mut command = starpoint_under(&["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    command.args(["open", &host.code, "--listen", "127.0.0.1:0"]);
    let mut open = Running::start(&mut command);
    let address = listening(&mut open);
    open.signal("HUP");
    assert_serves(address);
    open.signal("TERM");
    assert_eq!(open.wait().code, OK);
}

#[test]
fn a_code_is_good_as_often_as_the_host_says() {
    let stage = Stage::new();
    let host = stage.expose(&[&port_of(service()), "--accept-all", "--code-uses", "2"]);
    for expected in [OK, OK, Some(14)] {
        let ended = host.open(&["--stdio"]).wait();
        assert_eq!(ended.code, expected, "{ended:?}");
    }
}

#[test]
fn a_host_that_is_killed_resets_sockets_at_once_and_is_waited_for() {
    let stage = Stage::new();
    let host = stage.expose(&[&port_of(service()), "--accept-all"]);
    let (mut open, address) = host.open_listening();
    let mut socket = TcpStream::connect(address).expect("somebody listens");
    socket.read_exact(&mut [0; 6]).expect("a banner");
    host.expose.signal("KILL");
    let begun = Instant::now();
    let error = socket.read(&mut [0; 1]).expect_err("it is reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(begun.elapsed() < Duration::from_secs(5));
    open.stderr_line_with("reconnecting");
    open.signal("TERM");
    assert_eq!(open.wait().code, OK);
    assert_free(address);
}

#[test]
fn a_client_that_is_killed_is_lost_at_once() {
    let stage = Stage::new();
    let mut host = stage.expose(&[&port_of(service()), "--accept-all"]);
    let (open, _) = host.open_listening();
    host.expose.stderr_line_with("joined");
    open.signal("KILL");
    let begun = Instant::now();
    host.expose.stderr_line_with("lost");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_address_in_use_is_told_before_the_host_is_asked() {
    let stage = Stage::new();
    let host = stage.expose(&[&port_of(service()), "--accept-all"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = listener.local_addr().expect("it is bound").to_string();
    let ended = host.open(&["--listen", &taken]).wait();
    ended.expect_failure(4);
    drop(listener);
    // The code has not been used up by that.
    assert_eq!(host.open(&["--stdio"]).wait().code, OK);
}

#[test]
fn a_host_that_is_not_there_is_an_error_of_its_own() {
    let stage = Stage::new();
    let host = stage.expose(&[&port_of(service()), "--accept-all"]);
    host.expose.signal("INT");
    assert_eq!(host.expose.wait().code, OK);
    let ended = run(starpoint().args(["open", &host.code, "--stdio"]));
    assert_eq!(ended.code, Some(8), "{ended:?}");
    drop(stage);
    let ended = run(starpoint().args(["open", &host.code, "--stdio"]));
    assert_eq!(ended.code, Some(7), "{ended:?}");
}

#[test]
fn results_are_json_on_request() {
    let stage = Stage::new();
    let mut command = starpoint();
    command.args([
        "expose",
        "--json",
        "--accept-all",
        "--star",
        &stage.multiaddr(),
    ]);
    let mut expose = Running::start(command.arg(port_of(service())));
    let line = expose.stdout_line();
    let code = &json_lines(&line)[0];
    assert_eq!(code["event"], "code");
    assert_eq!(code["expires_in_s"], 600);
    let code = code["code"].as_str().expect("a text");
    let args = ["open", code, "--json", "--listen=127.0.0.1:0"];
    let mut open = Running::start(starpoint().args(args));
    let mut event = |name: &str| loop {
        let line = open.stdout_line();
        let event = json_lines(&line).remove(0);
        if event["event"] == name {
            return event;
        }
    };
    assert!(event("connecting")["host"].is_string());
    let opened = event("open");
    assert!(opened["targets"][0].is_string());
    assert_eq!(opened["path"], "relayed");
    let address = event("listening")["address"].clone();
    assert_serves(
        address
            .as_str()
            .expect("a text")
            .parse()
            .expect("an address"),
    );
    open.signal("INT");
    assert_eq!(open.wait().code, OK);
    expose.signal("INT");
    let ended = expose.wait();
    let events = json_lines(&ended.stdout);
    let names: Vec<_> = events.iter().map(|event| &event["event"]).collect();
    assert_eq!(names, ["waiting-for-client", "joined", "left"]);
    assert_eq!(events[1]["path"], "relayed");
    assert_eq!(ended.stderr, "");
}
