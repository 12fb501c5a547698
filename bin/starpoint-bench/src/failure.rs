//! How a failure is told: one error, a blank line, one hint.

use std::io::Write as _;

use crate::exit::Exit;

/// Why the program stops, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: anyhow::Error,
    hint: &'static str,
}

impl Failure {
    /// Creates a failure. `error` is a lowercase fragment, `hint` says what to do.
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>, hint: &'static str) -> Self {
        Self {
            exit,
            error: error.into(),
            hint,
        }
    }

    /// Creates a failure of the command line.
    pub(crate) fn usage(error: impl Into<String>, hint: &'static str) -> Self {
        Self::new(Exit::USAGE, anyhow::Error::msg(error.into()), hint)
    }

    /// Creates a failure that no flag can cause.
    pub(crate) fn internal(error: impl Into<anyhow::Error>) -> Self {
        let hint = "the system refused something that it should grant, or this is a bug";
        Self::new(Exit::INTERNAL, error, hint)
    }

    /// Writes the failure to stderr and returns the code to exit with.
    pub(crate) fn report(&self) -> Exit {
        let text = format!("error: {:#}\n\nhint: {}\n", self.error, self.hint);
        // Nobody is left to tell when stderr is gone; the exit code still speaks.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        self.exit
    }
}

/// Writes a line to stderr: progress, and measurements that failed.
pub(crate) fn tell(line: &str) {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
