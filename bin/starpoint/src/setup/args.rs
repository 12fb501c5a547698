//! What several commands take.

use std::path::PathBuf;

use clap::{ArgAction, Args, builder::BoolishValueParser};
use starpoint_node::Multiaddr;

use crate::ui::log::{LogFilter, LogFormat};

/// How a command writes what it has to say.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Write results as JSON, one object a line
    #[arg(
        long,
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new(),
        env = "STARPOINT_JSON",
        hide_env_values = true,
        help_heading = "Output"
    )]
    pub(crate) json: bool,

    /// Messages to write [default: error]
    ///
    /// A level (off, error, warn, info, debug, trace), or directives separated by commas, such as
    /// warn,libp2p_websocket_star=debug.
    #[arg(
        long,
        value_name = "FILTER",
        env = "STARPOINT_LOG",
        hide_env_values = true,
        help_heading = "Output"
    )]
    pub(crate) log: Option<LogFilter>,

    /// How to write messages [default: text]
    #[arg(
        long,
        value_name = "FORMAT",
        env = "STARPOINT_LOG_FORMAT",
        hide_env_values = true,
        help_heading = "Output"
    )]
    pub(crate) log_format: Option<LogFormat>,
}

/// The stars at which a command is.
#[derive(Debug, Args)]
pub(crate) struct StarArgs {
    /// Be at this star; repeatable, and one that is down is tried again
    #[arg(
        long,
        required = true,
        value_name = "MULTIADDR",
        value_delimiter = ',',
        value_parser = star,
        env = "STARPOINT_STAR",
        hide_env_values = true
    )]
    pub(crate) star: Vec<Multiaddr>,
}

/// Who a command is that only looks or dials.
#[derive(Debug, Args)]
pub(crate) struct PassingKeyArgs {
    /// File with the private key, made if missing [default: a key for this time only]
    #[arg(
        long,
        value_name = "FILE",
        env = "STARPOINT_KEY",
        hide_env_values = true
    )]
    pub(crate) key: Option<PathBuf>,
}

/// How stars are trusted.
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// Trust the authorities in this PEM file, too; repeatable
    #[arg(
        long,
        value_name = "FILE",
        value_delimiter = ',',
        env = "STARPOINT_CA",
        hide_env_values = true,
        help_heading = "Stars"
    )]
    pub(crate) ca: Vec<PathBuf>,

    /// Remember in this file which star is where [default: starpoint/known_stars in the data folder]
    ///
    /// A line is HOST:PORT ID. The first star at a host is trusted; another one there later is an
    /// error until its line is removed. The data folder is $XDG_DATA_HOME, or ~/.local/share.
    #[arg(
        long,
        value_name = "FILE",
        env = "STARPOINT_KNOWN_STARS",
        hide_env_values = true,
        help_heading = "Stars"
    )]
    pub(crate) known_stars: Option<PathBuf>,

    /// Use stars that do not make their peers prove who they are
    ///
    /// On such a star anybody can take anybody's address. Who one talks to is proved all the same,
    /// except with --raw.
    #[arg(
        long,
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new(),
        env = "STARPOINT_ALLOW_NO_CHALLENGE",
        hide_env_values = true,
        help_heading = "Stars"
    )]
    pub(crate) allow_no_challenge: bool,
}

/// Reads a multiaddr; clap says which argument is wrong.
pub(crate) fn multiaddr(text: &str) -> Result<Multiaddr, String> {
    text.parse().map_err(|_| {
        "not a multiaddr, such as /dns4/star.example/tcp/443/wss/p2p-websocket-star".to_owned()
    })
}

/// Reads the multiaddr of a star.
pub(crate) fn star(text: &str) -> Result<Multiaddr, String> {
    let star: starpoint_wire::StarAddress = text.parse().map_err(|_| {
        "not a star, such as /dns4/star.example/tcp/443/wss/p2p-websocket-star".to_owned()
    })?;
    Ok(star.without_peer().to_multiaddr())
}
