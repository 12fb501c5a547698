//! A star as a process of its own.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::DEADLINE;

/// Lines of the star's log that are kept for a failing test.
const KEPT_LOG_LINES: usize = 2_000;

/// How often a process that is about to end is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How to run a star.
#[derive(Clone, Debug, Default)]
pub struct StarOptions {
    /// Arguments behind `serve --listen 127.0.0.1:<port>`.
    pub args: Vec<String>,
    /// Port to listen on; `None` takes a free one.
    pub port: Option<u16>,
    /// Environment variables; the test's own `STARPOINT_*` are not inherited.
    pub env: Vec<(String, String)>,
}

impl StarOptions {
    /// Returns options with these arguments.
    pub fn args<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}

/// A signal that a star may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: drain and exit.
    Terminate,
    /// SIGINT: drain and exit.
    Interrupt,
    /// SIGKILL: gone at once.
    Kill,
}

/// A running `starpoint serve`.
///
/// Killed when dropped; if the thread is panicking then, the end of its log goes
/// to the test's output.
#[derive(Debug)]
pub struct Star {
    child: Child,
    url: String,
    port: u16,
    stdout: Arc<Mutex<Vec<String>>>,
    log: Arc<Mutex<Log>>,
    readers: Vec<JoinHandle<()>>,
}

/// What the star wrote to stderr.
#[derive(Debug, Default)]
struct Log {
    last: VecDeque<String>,
    errors: Vec<String>,
}

impl Star {
    /// Builds the program if need be and starts it; returns once it listens.
    ///
    /// Blocks the thread: the first call of a process may compile for minutes.
    ///
    /// # Panics
    ///
    /// When the program does not build, or does not say within [`DEADLINE`] that
    /// it listens.
    pub fn start(options: &StarOptions) -> Self {
        Self::try_start(options).expect("the star starts")
    }

    /// Like [`start`](Self::start) with default options and these arguments.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start) does.
    pub fn with_args<const N: usize>(args: [&str; N]) -> Self {
        Self::start(&StarOptions::args(args))
    }

    /// Like [`start`](Self::start), for a test that expects a failure.
    ///
    /// # Errors
    ///
    /// The program ended, or was silent for [`DEADLINE`]; the text has its log.
    pub fn try_start(options: &StarOptions) -> anyhow::Result<Self> {
        let mut child = command()
            .arg("serve")
            .arg("--listen")
            .arg(format!("127.0.0.1:{}", options.port.unwrap_or(0)))
            .args(&options.args)
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("the program does not run")?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let log = Arc::default();
        let lines = Arc::default();
        let (first_line, first) = mpsc::channel();
        let mut star = Self {
            child,
            url: String::new(),
            port: 0,
            stdout: Arc::clone(&lines),
            log: Arc::clone(&log),
            readers: vec![
                thread::spawn(move || read_stdout(stdout, &lines, &first_line)),
                thread::spawn(move || read_log(stderr, &log)),
            ],
        };
        let Ok(line) = first.recv_timeout(DEADLINE) else {
            // Ends the readers too, so that the log is complete.
            star.kill();
            bail!("no line on stdout; log:\n{}", star.log());
        };
        (star.url, star.port) = parse_listening(&line)?;
        Ok(star)
    }

    /// Returns the port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns where it listens: `http://127.0.0.1:<port>`, or `https`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the lines that it wrote to stdout up to now.
    pub fn stdout(&self) -> Vec<String> {
        lock(&self.stdout).clone()
    }

    /// Returns the last lines that it wrote to stderr, at most 2 000.
    pub fn log(&self) -> String {
        let log = lock(&self.log);
        log.last.iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// Returns the memory that it has in RAM, in bytes.
    ///
    /// # Panics
    ///
    /// When it does not run any more.
    pub fn rss_bytes(&self) -> u64 {
        rss_bytes_of(self.pid())
    }

    /// Lets it have no more than this much memory of its own, so that it dies if it
    /// hoards.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub fn limit_data(&self, bytes: u64) {
        limit_data_of(self.pid(), bytes);
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// When it does not run any more.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .expect("a process id is positive");
        let signal = match signal {
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Interrupt => rustix::process::Signal::INT,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        rustix::process::kill_process(pid, signal).expect("the star is running");
    }

    /// Waits for it to end, at most [`DEADLINE`].
    ///
    /// # Panics
    ///
    /// When it is still there at the deadline.
    pub async fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.ended(deadline) {
                return status;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Stops it as an operator does and checks how it ended.
    ///
    /// # Panics
    ///
    /// When it does not exit with 0 after SIGTERM, or has logged an error.
    pub async fn stop(mut self) {
        self.signal(Signal::Terminate);
        let status = self.wait().await;
        self.assert_clean_end(status);
    }

    /// Like [`stop`](Self::stop), for a test without an async runtime.
    ///
    /// # Panics
    ///
    /// As [`stop`](Self::stop) does.
    pub fn stop_blocking(mut self) {
        self.signal(Signal::Terminate);
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.ended(deadline) {
                break status;
            }
            thread::sleep(POLL_INTERVAL);
        };
        self.assert_clean_end(status);
    }

    /// Checks that it is running and has logged no error.
    ///
    /// # Panics
    ///
    /// When it has ended, or has logged an error.
    pub fn assert_healthy(&mut self) {
        let ended = self.child.try_wait().expect("a child can be waited for");
        assert_eq!(ended, None, "the star has ended");
        self.assert_no_error();
    }

    fn assert_clean_end(mut self, status: ExitStatus) {
        self.join_readers();
        assert_eq!(status.code(), Some(0), "the star ends with {status}");
        self.assert_no_error();
    }

    fn assert_no_error(&self) {
        let errors = lock(&self.log).errors.clone();
        assert!(errors.is_empty(), "the star has logged errors: {errors:#?}");
    }

    fn ended(&mut self, deadline: Instant) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child can be waited for");
        assert!(
            status.is_some() || Instant::now() < deadline,
            "the star did not end within {DEADLINE:?}"
        );
        status
    }

    fn kill(&mut self) {
        // Fails only if the process has been waited for, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join_readers();
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            // A reader that panicked has said so on the test's output.
            let _ = reader.join();
        }
    }
}

impl Drop for Star {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!(
                "--- log of the star on port {}\n{}---",
                self.port,
                self.log()
            );
        }
    }
}

/// Returns the memory that a process has in RAM, in bytes.
///
/// # Panics
///
/// When it does not run any more.
pub fn rss_bytes_of(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(path).expect("a running process has a status");
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|digits| digits.parse::<u64>().ok())
        .expect("the process is running");
    kib * 1024
}

/// Lets a child have no more than this much memory of its own.
///
/// # Panics
///
/// When the system refuses.
pub fn limit_data_of(pid: u32, bytes: u64) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let limit = rustix::process::Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    rustix::process::prlimit(pid, rustix::process::Resource::Data, limit)
        .expect("a child may be limited");
}

/// Returns a command that runs the program under test, without arguments.
///
/// Builds it first, once per process, in the profile of the test, unless Cargo has
/// built it for this very test: another build may have other features, and would
/// take the program away from under those who are about to run it.
///
/// # Panics
///
/// When it does not build.
pub fn command() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| match std::env::var_os("CARGO_BIN_EXE_starpoint") {
        Some(program) => program.into(),
        None => build().expect("the program builds"),
    });
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STARPOINT_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1");
    // Default files, such as a star's key, are kept away from the user's own.
    let target = program.ancestors().nth(2).expect("it is in target/debug");
    command.env("XDG_DATA_HOME", target.join("tmp/data"));
    command
}

fn build() -> anyhow::Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(workspace)
        .args(["build", "--package", "starpoint", "--bin", "starpoint"])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // What cargo tells a test about its package would reach the build scripts of
    // dependencies that watch these variables, and rebuild them on each run.
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
    let output = cargo.spawn()?.wait_with_output()?;
    ensure!(
        output.status.success(),
        "cargo build ends with {}",
        output.status
    );
    String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter(|message| message["target"]["name"] == "starpoint")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo build names no executable")
}

fn read_stdout(stdout: impl Read, lines: &Mutex<Vec<String>>, first: &mpsc::Sender<String>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        lock(lines).push(line.clone());
        // The receiver takes the first line and is gone.
        let _ = first.send(line);
    }
}

fn read_log(stderr: impl Read, log: &Mutex<Log>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let mut log = lock(log);
        if is_error(&line) {
            log.errors.push(line.clone());
        }
        if log.last.len() == KEPT_LOG_LINES {
            log.last.pop_front();
        }
        log.last.push_back(line);
    }
}

/// Recognizes a line of level ERROR in either log format, and a panic.
fn is_error(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next() == Some("ERROR")
        || words.next() == Some("ERROR")
        || line.contains(r#""level":"ERROR""#)
        || (line.starts_with("thread '") && line.contains("panicked at"))
}

fn parse_listening(line: &str) -> anyhow::Result<(String, u16)> {
    let url = line
        .strip_prefix("listening ")
        .with_context(|| format!("unexpected first line: {line:?}"))?;
    let (scheme, port) = url
        .rsplit_once("://127.0.0.1:")
        .with_context(|| format!("unexpected address: {url:?}"))?;
    ensure!(
        matches!(scheme, "http" | "https"),
        "unexpected scheme: {url:?}"
    );
    Ok((url.to_owned(), port.parse()?))
}

/// Locks; a panic of another thread has not left the lines broken.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_listener_is_read_exactly() {
        let (url, port) = parse_listening("listening https://127.0.0.1:43210").unwrap();
        assert_eq!((url.as_str(), port), ("https://127.0.0.1:43210", 43210));
        for bad in [
            "listening",
            "Listening http://127.0.0.1:1",
            "listening ftp://127.0.0.1:1",
        ] {
            assert!(parse_listening(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_are_recognized_in_both_formats() {
        assert!(is_error("2026-01-01T00:00:00Z ERROR starpoint: Broken"));
        assert!(is_error(r#"{"level":"ERROR","message":"Broken"}"#));
        assert!(is_error("thread 'main' (12) panicked at src/main.rs:1:1:"));
        assert!(!is_error(
            "2026-01-01T00:00:00Z INFO starpoint: no ERROR here"
        ));
    }
}
