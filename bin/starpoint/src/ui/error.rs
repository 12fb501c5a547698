//! How a failure is told: one error, a blank line, one hint.

use std::io::Write as _;

use crate::ui::{color, exit::Exit};

/// Why the program stops, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: anyhow::Error,
    hint: String,
}

impl Failure {
    /// Creates a failure. `error` is a lowercase fragment whose causes are told
    /// with it; `hint` says what to do.
    pub(crate) fn new(
        exit: Exit,
        error: impl Into<anyhow::Error>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            exit,
            error: error.into(),
            hint: hint.into(),
        }
    }

    /// Creates a failure that has no cause below it.
    pub(crate) fn message(exit: Exit, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(exit, anyhow::Error::msg(error.into()), hint)
    }

    /// Creates a failure that no setting can cause.
    pub(crate) fn internal(error: impl Into<anyhow::Error>) -> Self {
        Self::new(
            Exit::INTERNAL,
            error,
            "the system refused something that it should grant, or this is a bug; \
             `--log debug` tells more",
        )
    }

    /// Writes the failure to stderr and returns the code to exit with.
    pub(crate) fn report(&self) -> Exit {
        let text = self.render(color::stderr_takes_color());
        // Nobody is left to tell when stderr is gone; the exit code still speaks.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        self.exit
    }

    fn render(&self, color: bool) -> String {
        let (red, cyan, plain) = if color {
            ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        let Self { error, hint, .. } = self;
        format!("{red}error:{plain} {error:#}\n\n{cyan}hint:{plain} {hint}\n")
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    fn failure() -> Failure {
        let cause: Result<(), _> = Err(io::Error::other("no such luck"));
        let error = cause.context("cannot toss the coin").unwrap_err();
        Failure::new(Exit::INTERNAL, error, "try again")
    }

    #[test]
    fn causes_stand_in_one_line_and_the_hint_after_a_blank_one() {
        assert_eq!(
            failure().render(false),
            "error: cannot toss the coin: no such luck\n\nhint: try again\n"
        );
    }

    #[test]
    fn color_changes_the_labels_only() {
        let colored = failure().render(true);
        assert!(colored.contains("\x1b[1;31merror:\x1b[0m cannot"));
        assert!(colored.contains("\x1b[1;36mhint:\x1b[0m try again\n"));
    }
}
