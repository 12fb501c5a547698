//! Lines that are typed while a command runs.

use std::{io::IsTerminal as _, time::Duration};

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines, Stdin},
    time,
};

/// How often a terminal is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// Stdin, line by line.
///
/// Who reads a terminal in the background is stopped by the system, and so would
/// a tunnel be. So a terminal is read only when there is something to read, by
/// whoever is in front.
pub(crate) struct Prompt {
    lines: Option<Lines<BufReader<Stdin>>>,
    is_terminal: bool,
    /// A line has begun to be read.
    is_reading: bool,
}

impl Prompt {
    /// Reads what is typed from now on.
    pub(crate) fn stdin() -> Self {
        Self {
            lines: Some(BufReader::new(tokio::io::stdin()).lines()),
            is_terminal: std::io::stdin().is_terminal(),
            is_reading: false,
        }
    }

    /// Waits for a line: `None` at the end, once, and then for ever. Cancel safe.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let Some(lines) = &mut self.lines else {
            return std::future::pending().await;
        };
        if self.is_terminal && !self.is_reading {
            until_typed().await;
        }
        self.is_reading = true;
        let line = lines.next_line().await.ok().flatten();
        self.is_reading = false;
        if line.is_none() {
            self.lines = None;
        }
        line
    }
}

/// Waits until a read of the terminal would neither wait nor stop this process.
async fn until_typed() {
    let terminal = std::io::stdin();
    while !(is_in_front(&terminal) && has_input(&terminal)) {
        time::sleep(INTERVAL).await;
    }
}

fn is_in_front(terminal: &std::io::Stdin) -> bool {
    rustix::termios::tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp())
}

fn has_input(terminal: &std::io::Stdin) -> bool {
    let mut polled = [PollFd::new(terminal, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // What cannot be polled is read, which says why.
    rustix::event::poll(&mut polled, Some(&at_once)).is_err() || !polled[0].revents().is_empty()
}
