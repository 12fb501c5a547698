//! What a process costs, as `/proc` says it. Its children are not counted.

use std::{fs, time::Duration};

use anyhow::Context as _;
use nix::{time::clock_getcpuclockid, unistd::Pid};

/// A process that is watched from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

/// What a process has cost up to one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    pub(crate) rss_bytes: u64,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// Returns what the process has cost up to now.
    ///
    /// # Errors
    ///
    /// It does not run, or this is not Linux.
    pub(crate) fn usage(self) -> anyhow::Result<Usage> {
        let path = format!("/proc/{}/statm", self.0);
        let statm = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let pages = resident_pages(&statm).context("unknown form of statm")?;
        let page_bytes = u64::try_from(rustix::param::page_size())?;
        // `stat` counts ticks of 10 ms; this clock counts nanoseconds.
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(self.0)?))?;
        Ok(Usage {
            cpu: clock.now()?.into(),
            rss_bytes: pages * page_bytes,
        })
    }
}

/// Field 2, `resident`.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_pages_are_the_second_field() {
        assert_eq!(resident_pages("100 42 3 4 0 5 0\n"), Some(42));
        assert_eq!(resident_pages("100"), None);
    }

    #[test]
    fn this_process_is_there_and_its_time_goes_on() {
        let process = Process::new(std::process::id());
        let before = process.usage().unwrap();
        assert!(before.rss_bytes > 0);
        std::hint::black_box((0..1_000_000_u64).fold(0, |sum, n| sum ^ n.rotate_left(7)));
        assert!(process.usage().unwrap().cpu > before.cpu);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Process::new(i32::MAX.unsigned_abs()).usage().is_err());
    }
}
