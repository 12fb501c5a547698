//! Runs the program.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Far more than anything here takes; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns a command for the program, free of what the caller's variables say.
pub(crate) fn starpoint() -> Command {
    undisturbed(Command::new(env!("CARGO_BIN_EXE_starpoint")))
}

/// Returns a command that limits the open files with `ulimit` and becomes the
/// program.
pub(crate) fn starpoint_with_ulimit(ulimit: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{ulimit} && exec \"$0\" \"$@\"")]);
    shell.arg(env!("CARGO_BIN_EXE_starpoint"));
    undisturbed(shell)
}

/// Returns a command that runs the program by way of another one.
pub(crate) fn starpoint_under(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command.arg(env!("CARGO_BIN_EXE_starpoint"));
    undisturbed(command)
}

fn undisturbed(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STARPOINT_") {
            command.env_remove(name);
        }
    }
    // Ports are used again, by stars with other keys.
    command.env("STARPOINT_KNOWN_STARS", fresh_file());
    // No setting of the developer may reach what an operator reads.
    command.env("RUST_BACKTRACE", "1");
    command.stdin(Stdio::null());
    command
}

/// Returns a place for a file of its own.
fn fresh_file() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = env!("CARGO_TARGET_TMPDIR");
    format!("{folder}/known_stars-{}-{number}", std::process::id())
}

/// What a run that has ended left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Asserts that the program refused with `code`, in one error and one hint,
    /// and returns both.
    pub(crate) fn expect_failure(&self, code: i32) -> (&str, &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let lines: Vec<_> = self.stderr.lines().collect();
        let &[error, "", hint] = lines.as_slice() else {
            panic!("not an error, a blank line and a hint: {self:?}");
        };
        let error = error.strip_prefix("error: ").expect("an error");
        (error, hint.strip_prefix("hint: ").expect("a hint"))
    }

    /// Asserts that the program did what it was asked, silently, and returns
    /// its output.
    pub(crate) fn expect_output(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.stderr, "", "{self:?}");
        &self.stdout
    }
}

/// Runs a command that ends by itself.
pub(crate) fn run(command: &mut Command) -> Ended {
    Running::start(command).wait()
}

/// A program that runs. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = Lines::of(child.stdout.take().expect("stdout is piped"));
        let stderr = Lines::of(child.stderr.take().expect("stderr is piped"));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Takes the way to its stdin, if that is piped.
    pub(crate) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for the next line on stdout.
    pub(crate) fn stdout_line(&mut self) -> String {
        self.stdout.next()
    }

    /// Waits for a line on stderr that contains `text`.
    pub(crate) fn stderr_line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.stderr.next();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Sends a signal again and again until the program ends.
    pub(crate) fn signal_until_ended(mut self, name: &str) -> Ended {
        let status = wait(&mut self.child, |child| signal(child, name));
        self.ended(status)
    }

    pub(crate) fn wait(mut self) -> Ended {
        let status = wait(&mut self.child, |_| ());
        self.ended(status)
    }

    fn ended(mut self, status: ExitStatus) -> Ended {
        Ended {
            code: status.code(),
            stdout: self.stdout.rest(),
            stderr: self.stderr.rest(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a process to end, calling `meanwhile` every time it has not.
pub(crate) fn wait(child: &mut Child, meanwhile: impl Fn(&Child)) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("the program is a child") {
            return status;
        }
        assert!(Instant::now() < deadline, "the program does not end");
        meanwhile(child);
        thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal by its name. The child may have ended meanwhile; it has not
/// been waited for, so its id is still its own.
pub(crate) fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    let sent = Command::new("sh").args(["-c", &kill]).status();
    assert!(sent.expect("sh runs").success(), "{kill}");
}

/// Lines of a pipe, read by a thread so that the program never waits for us.
struct Lines {
    received: Vec<String>,
    n_taken: usize,
    incoming: Receiver<String>,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let (outgoing, incoming) = channel();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if outgoing.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            received: Vec::new(),
            n_taken: 0,
            incoming,
        }
    }

    fn next(&mut self) -> String {
        match self.incoming.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.received.push(line.clone());
                self.n_taken += 1;
                line
            }
            Err(RecvTimeoutError::Timeout) => panic!("no more lines after {:?}", self.received),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("the output ended after {:?}", self.received)
            }
        }
    }

    /// Returns what nobody took.
    fn rest(&mut self) -> String {
        self.received.extend(self.incoming.iter());
        let rest = &self.received[self.n_taken..];
        rest.iter().map(|line| format!("{line}\n")).collect()
    }
}
