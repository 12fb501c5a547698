//! What a process costs, as `/proc` says it. Its children are not counted.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// A process that is watched from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

/// What a process has cost up to one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// User and system time; its grain is one clock tick, most often 10 ms.
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
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.0);
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let ticks = cpu_ticks(&read("stat")?).context("unknown form of stat")?;
        let pages = resident_pages(&read("statm")?).context("unknown form of statm")?;
        let page_bytes = u64::try_from(rustix::param::page_size())?;
        Ok(Usage {
            cpu: Duration::from_secs(ticks)
                / u32::try_from(rustix::param::clock_ticks_per_second())?,
            rss_bytes: pages * page_bytes,
        })
    }
}

/// Fields 14 and 15, `utime` and `stime`. The name, field 2, may contain
/// anything, and ends with the last parenthesis.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Field 2, `resident`.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_parentheses() {
        let stat = "12 (a ) b) S 1 1 1 0 -1 4194560 9 0 0 0 70 30 5 6 20 0 4 0 999 1 2";
        assert_eq!(cpu_ticks(stat), Some(100));
        assert_eq!(cpu_ticks("12 (a) S 1"), None);
        assert_eq!(resident_pages("100 42 3 4 0 5 0\n"), Some(42));
    }

    #[test]
    fn this_process_is_there() {
        let usage = Process::new(std::process::id()).usage().unwrap();
        assert!(usage.rss_bytes > 0);
    }
}
