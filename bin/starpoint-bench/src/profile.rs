//! Which words a peer uses with its star: the one place that decides it.

use clap::ValueEnum;
use libp2p_websocket_star::{self as websocket_star, Config};
use serde::Serialize;

/// The profile that is asked for on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    /// The native one with a star that speaks it, else the legacy one.
    Auto,
    /// The historic protocol, all streams in one WebSocket.
    Legacy,
}

impl Profile {
    /// Sets the profile.
    pub(crate) fn apply(self, config: Config) -> Config {
        let profile = match self {
            Self::Auto => websocket_star::Profile::Auto,
            Self::Legacy => websocket_star::Profile::Legacy,
        };
        Config { profile, ..config }
    }
}
