//! Signals that stop the program.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP, caught from [`Signals::catch`] on.
///
/// A terminal that is closed sends SIGHUP, and so does `ssh` to the command that it
/// came through. Who has started the program with that ignored, as `nohup` does,
/// wants it to go on.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Catches the signals, which no longer end the process.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: is_hangup_minded()
                .then(|| signal(SignalKind::hangup()))
                .transpose()?,
        })
    }

    /// Waits for the next signal and returns its name.
    ///
    /// Cancel safe: a signal that comes meanwhile is kept.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            Some(_) = hung_up(&mut self.hangup) => "SIGHUP",
        }
    }
}

async fn hung_up(hangup: &mut Option<Signal>) -> Option<()> {
    hangup.as_mut()?.recv().await
}

/// Returns whether SIGHUP is not ignored; where the system does not tell, it is left
/// as it is.
fn is_hangup_minded() -> bool {
    let status = std::fs::read_to_string("/proc/self/status");
    status.is_ok_and(|status| ignored(&status).is_some_and(|signals| signals & 1 == 0))
}

/// Reads the mask of ignored signals; the lowest bit is SIGHUP's.
fn ignored(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    u64::from_str_radix(line?.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_hexadecimal() {
        let status = |mask: &str| format!("Name:\ta\nSigIgn:\t{mask}\nSigCgt:\t1\n");
        assert_eq!(ignored(&status("0000000000001001")), Some(0x1001));
        assert_eq!(ignored(&status("0000000000001000")), Some(0x1000));
        assert_eq!(ignored("Name:\ta\n"), None);
    }
}
