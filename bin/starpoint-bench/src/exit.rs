//! How the program ends.

use std::process::ExitCode;

/// Exit code of the program. Its help lists the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(u8);

impl Exit {
    /// Everything that was asked for was measured.
    pub(crate) const OK: Self = Self(0);
    /// The program itself or the system failed.
    pub(crate) const INTERNAL: Self = Self(1);
    /// The command line cannot be understood, or asks for more than the caps.
    pub(crate) const USAGE: Self = Self(2);
    /// A star or another relay cannot be started or reached.
    pub(crate) const TARGET: Self = Self(3);
    /// Some measurements failed; the others are reported.
    pub(crate) const PARTIAL: Self = Self(4);
    /// `--max-seconds` are over; what was measured before is reported.
    pub(crate) const TIME: Self = Self(5);
    /// SIGINT or SIGTERM; what was measured before is reported.
    pub(crate) const INTERRUPTED: Self = Self(6);
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
