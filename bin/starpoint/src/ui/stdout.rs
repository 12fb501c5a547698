//! Results on stdout.

use std::io::{self, Write as _};

/// Writes `text` and flushes. A reader that has gone is no error: it has what
/// it wanted.
///
/// # Errors
///
/// Stdout cannot be written, a full disk for one.
pub(crate) fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
