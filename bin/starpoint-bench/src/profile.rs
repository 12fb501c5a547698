//! Which words a peer uses with its star: the one place that decides it.

use clap::ValueEnum;
use libp2p_websocket_star::Config;
use serde::Serialize;

/// The profile that is asked for on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    /// What the transport does by itself.
    Auto,
    /// The historic protocol, all streams in one WebSocket.
    Legacy,
}

impl Profile {
    /// Sets the profile. The transport speaks only the legacy profile, so both
    /// come to the same.
    pub(crate) fn apply(self, config: Config) -> Config {
        match self {
            Self::Auto | Self::Legacy => config,
        }
    }
}
