//! How the program ends.

use std::process::ExitCode;

/// Exit code of the program. spec/guide/settings.md has the same table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(u8);

impl Exit {
    /// Done as asked. For a star: stopped by SIGTERM, SIGINT or SIGHUP, after draining.
    pub(crate) const OK: Self = Self(0);
    /// The program itself or the system failed, through no setting of the operator.
    pub(crate) const INTERNAL: Self = Self(1);
    /// A flag or `STARPOINT_*` variable cannot be understood. Nothing was started.
    pub(crate) const USAGE: Self = Self(2);
    /// The configuration file or the file of known stars cannot be read or understood,
    /// or settings contradict each other. Nothing was started.
    pub(crate) const CONFIG: Self = Self(3);
    /// An address cannot be listened on, most often because it is in use.
    pub(crate) const LISTEN: Self = Self(4);
    /// The certificate or the key cannot be read or used.
    pub(crate) const TLS: Self = Self(5);
    /// A second signal cut the draining short; streams may have been cut.
    pub(crate) const CUT: Self = Self(6);
    /// No star can be used: none is reachable, or none lets this peer in.
    pub(crate) const NO_STAR: Self = Self(7);
    /// The peer is not at the star.
    pub(crate) const NO_PEER: Self = Self(8);
    /// The peer, or the star for it, refuses.
    pub(crate) const REFUSED: Self = Self(9);
    /// Another peer or star answers in the place of the expected one.
    pub(crate) const WRONG_PEER: Self = Self(10);
    /// Nobody answers in time, or not with libp2p.
    pub(crate) const NO_ANSWER: Self = Self(11);
    /// The connection broke before its end.
    pub(crate) const BROKEN: Self = Self(12);
    /// The file with the private key cannot be used.
    pub(crate) const KEY: Self = Self(13);

    /// The session code is unknown to the host, used up, too old or locked.
    pub(crate) const CODE: Self = Self(14);
    /// The host has declined, or has not answered in time.
    pub(crate) const DECLINED: Self = Self(15);
    /// The host has ended the session.
    pub(crate) const ENDED: Self = Self(16);
    /// The host cannot or may not connect the target.
    pub(crate) const TARGET: Self = Self(17);

    /// Every code there is, in order.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 18] = [
        Self::OK,
        Self::INTERNAL,
        Self::USAGE,
        Self::CONFIG,
        Self::LISTEN,
        Self::TLS,
        Self::CUT,
        Self::NO_STAR,
        Self::NO_PEER,
        Self::REFUSED,
        Self::WRONG_PEER,
        Self::NO_ANSWER,
        Self::BROKEN,
        Self::KEY,
        Self::CODE,
        Self::DECLINED,
        Self::ENDED,
        Self::TARGET,
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
