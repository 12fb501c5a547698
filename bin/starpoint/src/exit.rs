//! How the program ends.

use std::process::ExitCode;

/// Exit code of the program. The README's table lists the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(u8);

impl Exit {
    /// Done as asked. For a star: stopped by SIGTERM or SIGINT, after draining.
    pub(crate) const OK: Self = Self(0);
    /// The program itself or the system failed, through no setting of the operator.
    pub(crate) const INTERNAL: Self = Self(1);
    /// A flag or `STARPOINT_*` variable cannot be understood. Nothing was started.
    pub(crate) const USAGE: Self = Self(2);
    /// The configuration file cannot be read or understood, or settings
    /// contradict each other. Nothing was started.
    pub(crate) const CONFIG: Self = Self(3);
    /// An address cannot be listened on, most often because it is in use.
    pub(crate) const LISTEN: Self = Self(4);
    /// The certificate or the key cannot be read or used.
    pub(crate) const TLS: Self = Self(5);
    /// A second signal cut the draining short; streams may have been cut.
    pub(crate) const CUT: Self = Self(6);

    /// Every code there is, in order.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 7] = [
        Self::OK,
        Self::INTERNAL,
        Self::USAGE,
        Self::CONFIG,
        Self::LISTEN,
        Self::TLS,
        Self::CUT,
    ];

    /// Returns the number that the shell sees.
    #[cfg(test)]
    pub(crate) const fn code(self) -> u8 {
        self.0
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
