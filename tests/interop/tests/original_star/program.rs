//! `starpoint` itself, as a shell runs it.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write as _},
    process::{Child, Stdio},
    thread::{self, JoinHandle},
};

use starpoint_interop_tests::Scenario;
use starpoint_test_support::star::command;
use tempfile::TempDir;

use crate::{
    javascript::{measured, original, payload},
    star::OriginalStar,
};

const MIB: usize = 1024 * 1024;

/// A program with pipes. Killed when dropped.
struct Program(Child);

impl Program {
    fn start(args: &[&str]) -> Self {
        let child = command()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.expect("the program runs"))
    }

    fn stdout(&mut self) -> impl Read + use<> {
        self.0.stdout.take().expect("stdout is piped")
    }

    fn stderr(&mut self) -> impl Read + use<> {
        self.0.stderr.take().expect("stderr is piped")
    }

    /// Sends `bytes` and their end; returns what comes, and asserts that all went
    /// well.
    fn exchange(mut self, bytes: Vec<u8>) -> Vec<u8> {
        let mut stdin = self.0.stdin.take().expect("stdin is piped");
        let writer = thread::spawn(move || {
            // A program that has failed reads no more; its exit code tells.
            let _ = stdin.write_all(&bytes);
        });
        let messages = self.0.stderr.take().map(Text::of);
        let mut received = Vec::new();
        let mut stdout = self.stdout();
        stdout.read_to_end(&mut received).expect("stdout is read");
        writer.join().expect("the writer does not panic");
        let status = self.0.wait().expect("it is a child");
        let messages = messages.map(Text::whole).unwrap_or_default();
        assert_eq!(status.code(), Some(0), "{messages}");
        received
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a program writes, read so that it never waits for a reader.
struct Text(JoinHandle<String>);

impl Text {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        Self(thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).expect("it is text");
            text
        }))
    }

    fn whole(self) -> String {
        self.0.join().expect("the reader does not panic")
    }
}

/// Runs a command without input; returns its output.
fn run(args: &[&str]) -> String {
    let output = Program::start(args).exchange(Vec::new());
    String::from_utf8(output).expect("it is text")
}

fn next_line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("it is text");
    line.trim_end().to_owned()
}

/// A key in a folder, and the address that it has at a star.
struct Name {
    folder: TempDir,
    home: String,
}

impl Name {
    fn at(star: &OriginalStar) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            home: star.address().to_string(),
        }
    }

    fn key(&self) -> String {
        let path = self.folder.path().join("key");
        path.to_str().expect("it is UTF-8").to_owned()
    }

    fn address(&self) -> String {
        let key = self.key();
        let address = run(&["id", "--key", &key, "--star", &self.home]);
        address.trim_end().to_owned()
    }

    fn listen(&self, args: &[&str]) -> Program {
        let key = self.key();
        let fixed = ["listen", "--star", &self.home, "--key", &key];
        Program::start(&[&fixed, args].concat())
    }

    /// Starts `listen --echo` and waits until it can be dialed.
    fn echo(&self, args: &[&str]) -> (Program, impl BufRead + use<>) {
        let mut listen = self.listen(&[&["--echo"], args].concat());
        let mut lines = BufReader::new(listen.stdout());
        let expected = format!("listening {}", self.address());
        assert_eq!(next_line(&mut lines), expected);
        (listen, lines)
    }
}

/// `listen` and `connect` send each other eight mebibytes at once.
fn both_ways(args: &[&str]) {
    let star = OriginalStar::start();
    let name = Name::at(&star);
    let mut forth = payload(16 * MIB);
    let back = forth.split_off(8 * MIB);

    let mut listen = name.listen(args);
    let mut messages = BufReader::new(listen.stderr());
    let expected = format!("listening {}", name.address());
    assert_eq!(next_line(&mut messages), expected);
    let messages = Text::of(messages);
    let sent_back = back.clone();
    let listening = thread::spawn(move || listen.exchange(sent_back));

    let address = name.address();
    let connect = Program::start(&[&["connect"], args, &[&address]].concat());
    let received = connect.exchange(forth.clone());
    let taken = listening.join().expect("the listener does well");
    assert_eq!(measured(&received), measured(&back));
    assert_eq!(measured(&taken), measured(&forth));
    let messages = messages.whole();
    let n_bytes = 8 * MIB;
    let end = format!("{n_bytes} bytes sent, {n_bytes} received\n");
    assert!(messages.ends_with(&end), "{messages}");
}

#[test]
fn listen_and_connect_send_eight_mebibytes_both_ways() {
    both_ways(&[]);
}

#[test]
fn listen_and_connect_send_eight_mebibytes_both_ways_raw() {
    both_ways(&["--raw"]);
}

#[test]
fn peers_of_both_kinds_are_shown() {
    let star = OriginalStar::start();
    let name = Name::at(&star);
    let (_listen, _) = name.echo(&[]);
    let (_scenario, original) = original(&star, "ed25519", "listener");
    let mut expected = BTreeSet::from([name.address(), original.to_string()]);
    let home = star.address().to_string();
    let mut peers = Program::start(&["peers", "--watch", "--wait", "0s", "--star", &home]);
    let mut lines = BufReader::new(peers.stdout());
    while !expected.is_empty() {
        let line = next_line(&mut lines);
        let address = line.strip_prefix("joined ").unwrap_or(&line);
        assert!(expected.remove(address), "{line:?} is not of {expected:?}");
    }
}

#[test]
fn a_peer_at_the_star_is_pinged() {
    let star = OriginalStar::start();
    let name = Name::at(&star);
    let (_listen, _) = name.echo(&[]);
    let output = run(&["ping", "-c", "3", "-i", "1ms", &name.address()]);
    assert!(output.contains(": 3 sent, 3 received, 0% lost"), "{output}");
}

#[test]
fn an_original_peer_is_connected_raw() {
    let star = OriginalStar::start();
    let (mut scenario, address) = original(&star, "rsa", "listener");
    let sent = payload(8 * MIB);
    let connect = Program::start(&["connect", "--raw", &address.to_string()]);
    let received = connect.exchange(sent.clone());
    let fact = scenario.expect("received");
    assert_eq!(
        (&fact["received"], &fact["end"]),
        (&measured(&sent), &true.into())
    );
    assert_eq!(measured(&received), measured(&sent));
}

#[test]
fn an_original_peer_connects_raw() {
    let star = OriginalStar::start();
    let name = Name::at(&star);
    let (_listen, mut lines) = name.echo(&["--raw"]);
    let facts = Scenario::at("original-alone", star.url())
        .with("kind", "ed25519")
        .with("role", "dialer")
        .with("address", name.address().replace("/p2p/", "/ipfs/"))
        .with("bytes", 8 * MIB)
        .run();
    let transfer = facts.one("transfer");
    assert_eq!(transfer["end"], true);
    assert_eq!(transfer["sent"]["bytes"], 8 * MIB);
    assert_eq!(transfer["received"], transfer["sent"]);
    let dialer = facts.one("joined")["id"].as_str().expect("an id");
    assert_eq!(next_line(&mut lines), format!("connected {dialer}"));
}
