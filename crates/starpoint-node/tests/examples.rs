//! Runs the examples as their users do, against a star.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::OnceLock,
};

use starpoint_test_support::Star;

/// An example that runs until it is dropped.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = command(name, arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("an example runs");
        let stdout = child.stdout.take().expect("stdout is piped");
        Self {
            child,
            stdout: BufReader::new(stdout),
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("stdout is text");
        assert!(line.ends_with('\n'), "the example ended after {line:?}");
        line.trim_end().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(name: &str, arguments: &[&str]) -> Vec<String> {
    let Output { status, stdout, .. } = command(name, arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("an example runs");
    assert!(status.success(), "{name} ends with {status}");
    let text = String::from_utf8(stdout).expect("stdout is text");
    text.lines().map(str::to_owned).collect()
}

fn command(name: &str, arguments: &[&str]) -> Command {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(build);
    let mut command = Command::new(folder.join(name));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Builds the examples and returns their folder.
fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args([
        "build",
        "--package",
        env!("CARGO_PKG_NAME"),
        "--examples",
    ]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // What cargo tells a test about its package is not for this build.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let prefixes = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
        ];
        if prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    assert!(cargo.status().expect("cargo runs").success());
    let test = std::env::current_exe().expect("a process has a program");
    let profile = test.parent().and_then(Path::parent);
    profile.expect("a test is in deps").join("examples")
}

fn star_of(star: &Star) -> String {
    format!("/ip4/127.0.0.1/tcp/{}/ws/p2p-websocket-star", star.port())
}

#[test]
fn ten_lines() {
    let star = Star::with_args([]);
    let home = star_of(&star);
    let mut first = Running::start("ten_lines", &[&home]);
    let address = first.line();
    assert!(address.starts_with(&format!("{home}/p2p/")), "{address}");
    let lines = run("ten_lines", &[&home, &address]);
    let last = lines.last().expect("a line");
    let peer = address.rsplit('/').next().expect("an id");
    assert!(last.starts_with(&format!("{peer} is ")), "{last}");
    drop(first);
    star.stop_blocking();
}

#[test]
fn chat() {
    let star = Star::with_args([]);
    let home = star_of(&star);
    let mut listener = Running::start("chat", &[&home]);
    let address = listener.line();
    let lines = run("chat", &[&home, &address, "grüß dich"]);
    let peer = address.rsplit('/').next().expect("an id");
    let answer = format!("{peer}: 9 characters, thank you");
    assert_eq!(lines.last(), Some(&answer));
    let heard = listener.line();
    assert!(heard.ends_with(": grüß dich"), "{heard}");
    drop(listener);
    star.stop_blocking();
}

#[test]
fn mixed() {
    let star = Star::with_args([]);
    let home = star_of(&star);
    let lines = run("mixed", &[&home]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    for way in [home.as_str(), "/ip4/127.0.0.1/tcp/", "/quic-v1/p2p/"] {
        let is_it = |line: &&String| {
            line.contains(way) && (way == home || !line.contains("p2p-websocket-star"))
        };
        let n_lines = lines.iter().filter(is_it).count();
        assert_eq!(n_lines, 1, "{way} in {lines:?}");
    }
    star.stop_blocking();
}
