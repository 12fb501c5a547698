//! Lines that are typed while a command runs.

use std::io::IsTerminal as _;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

/// Stdin, line by line.
pub(super) struct Prompt(Option<Lines<BufReader<Stdin>>>);

impl Prompt {
    /// Reads what is typed from now on.
    pub(super) fn stdin() -> Self {
        Self(Some(BufReader::new(tokio::io::stdin()).lines()))
    }

    /// Reads what is typed, unless stdin is a terminal that belongs to another
    /// process group: who reads it in the background is stopped by the system.
    pub(super) fn stdin_in_foreground() -> Self {
        let stdin = std::io::stdin();
        let is_ours = !stdin.is_terminal()
            || rustix::termios::tcgetpgrp(&stdin)
                .is_ok_and(|group| group == rustix::process::getpgrp());
        if is_ours { Self::stdin() } else { Self(None) }
    }

    /// Waits for a line: `None` at the end, once, and then for ever. Cancel safe.
    pub(super) async fn line(&mut self) -> Option<String> {
        let Some(lines) = &mut self.0 else {
            return std::future::pending().await;
        };
        let line = lines.next_line().await.ok().flatten();
        if line.is_none() {
            self.0 = None;
        }
        line
    }
}
