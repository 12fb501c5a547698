//! Running a script and reading its facts.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use starpoint_test_support::Star;

use crate::project::js_project;

/// How long a script may take; far longer than any needs.
const DEADLINE: Duration = Duration::from_secs(120);

/// How much longer than the script itself the test waits for its end.
const GRACE: Duration = Duration::from_secs(20);

/// A script of `js/scenarios`, with its settings.
#[derive(Debug)]
pub struct Scenario {
    name: String,
    settings: Map<String, Value>,
    env: Vec<(String, OsString)>,
}

impl Scenario {
    /// Prepares `js/scenarios/<name>.js` against this star.
    pub fn new(name: &str, star: &Star) -> Self {
        Self::at(name, star.url())
    }

    /// Prepares `js/scenarios/<name>.js` against the star with this URL.
    pub fn at(name: &str, url: &str) -> Self {
        let millis = u64::try_from(DEADLINE.as_millis()).expect("minutes fit");
        let scenario = Self {
            name: name.to_owned(),
            settings: Map::new(),
            env: Vec::new(),
        };
        scenario.with("url", url).with("deadline_ms", millis)
    }

    /// Adds a setting; the script's head says which it has.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(key.to_owned(), value.into());
        self
    }

    /// Adds an environment variable of the script.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Runs the script to its end.
    ///
    /// # Panics
    ///
    /// When the script fails; the message has what it said.
    pub fn run(self) -> Facts {
        self.start().finish()
    }

    /// Starts the script.
    ///
    /// # Panics
    ///
    /// When the packages are not installed and cannot be, or node does not run.
    pub fn start(self) -> Running {
        let project = js_project();
        let script = project.join("scenarios").join(format!("{}.js", self.name));
        let mut child = Command::new("node")
            .arg(script)
            .arg(Value::Object(self.settings).to_string())
            .current_dir(project)
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("node runs");
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The test may have failed and not listen any more.
                let _ = sender.send(line);
            }
        });
        Running {
            name: self.name,
            child,
            lines,
            messages: Some(thread::spawn(move || read_text(stderr))),
            facts: Facts::default(),
            deadline: Instant::now() + DEADLINE + GRACE,
        }
    }
}

/// A script that runs. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    lines: Receiver<String>,
    messages: Option<JoinHandle<String>>,
    facts: Facts,
    deadline: Instant,
}

impl Running {
    /// Waits for the next fact, which must have this name, and returns it.
    ///
    /// # Panics
    ///
    /// When the script ends before, or reports something else.
    pub fn expect(&mut self, name: &str) -> Value {
        assert!(self.read_fact(), "the scenario reports {name:?}");
        let fact = self.facts.0.last().expect("a fact was read").clone();
        assert_eq!(fact["fact"], name, "{fact}");
        fact
    }

    /// Waits for the script's end and returns all its facts.
    ///
    /// # Panics
    ///
    /// When the script fails.
    pub fn finish(mut self) -> Facts {
        while self.read_fact() {}
        let status = self.wait();
        assert!(status.success(), "the scenario ends with {status}");
        std::mem::take(&mut self.facts)
    }

    /// Reads one line of the script; `false` at its end.
    fn read_fact(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => {
                let fact = serde_json::from_str(&line);
                let fact = fact.unwrap_or_else(|_| panic!("not a fact: {line}"));
                self.facts.0.push(fact);
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("the scenario hangs"),
        }
    }

    /// Waits for a process that has closed its stdout.
    fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("a child can be waited for")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only if the process has been waited for, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let messages = self.messages.take().and_then(|thread| thread.join().ok());
        if thread::panicking() {
            eprintln!("--- scenario {}", self.name);
            for fact in &self.facts.0 {
                eprintln!("{fact}");
            }
            eprintln!("{}---", messages.unwrap_or_default());
        }
    }
}

/// What a script has reported, in order.
#[derive(Debug, Default)]
pub struct Facts(Vec<Value>);

impl Facts {
    /// Returns all facts of this name.
    pub fn all(&self, name: &str) -> Vec<&Value> {
        self.0.iter().filter(|fact| fact["fact"] == name).collect()
    }

    /// Returns the only fact of this name.
    ///
    /// # Panics
    ///
    /// When there is none, or more than one.
    pub fn one(&self, name: &str) -> &Value {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "one fact {name:?} in {:#?}", self.0);
        all[0]
    }
}

fn read_text(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // What was read before a failure is worth showing.
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
