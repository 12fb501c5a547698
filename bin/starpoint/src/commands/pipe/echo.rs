//! Sending back what peers send.

use super::Moved;
use crate::ui::report::{PipeReport, one_line};

/// Number of peers served at once; others wait, and are refused then.
pub(in crate::commands) const MAX_ECHOES: usize = 1_024;

/// Returns the report of an echo that has ended.
pub(in crate::commands) fn echo_report(peer: String, done: std::io::Result<Moved>) -> PipeReport {
    match done {
        Ok(moved) => PipeReport::Ended {
            peer,
            sent_bytes: moved.sent_bytes,
            received_bytes: moved.received_bytes,
        },
        Err(error) => PipeReport::Broken {
            peer,
            reason: one_line(&error),
        },
    }
}
