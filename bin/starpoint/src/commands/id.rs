//! `starpoint id`: who this peer is.

use std::{fmt, path::PathBuf};

use clap::Args;
use serde::Serialize;
use starpoint_node::Multiaddr;
use starpoint_wire::StarAddress;

use crate::{
    setup::{
        args::{self, OutputArgs},
        node,
    },
    ui::{error::Failure, exit::Exit, report::Reporter},
};

const AFTER_HELP: &str = "\
Examples:
  starpoint id
  starpoint id --star /dns4/star.example/tcp/443/wss/p2p-websocket-star";

/// Show the own peer id, or addresses at stars
///
/// The key is made when there is none. Nothing is connected: an address can be dialed while
/// `starpoint listen` runs there with the same key.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RawArgs {
    /// Show the address at this star; repeatable
    #[arg(
        long,
        value_name = "MULTIADDR",
        value_delimiter = ',',
        value_parser = args::star,
        env = "STARPOINT_STAR",
        hide_env_values = true
    )]
    star: Vec<Multiaddr>,

    /// File with the private key, made if missing [default: starpoint/key in the user's data folder]
    #[arg(
        long,
        value_name = "FILE",
        env = "STARPOINT_KEY",
        hide_env_values = true
    )]
    key: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

/// A line of output.
#[derive(Debug, Serialize)]
struct Identity {
    peer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.address.as_ref().unwrap_or(&self.peer))
    }
}

/// Does what `args` ask for.
///
/// # Errors
///
/// The key cannot be used.
pub(crate) fn execute(args: &RawArgs) -> Result<Exit, Failure> {
    node::messages(&args.output)?;
    let peer = node::lasting_key(args.key.as_deref())?
        .public()
        .to_peer_id();
    let reporter = Reporter::stdout(args.output.json);
    let identity = |address| Identity {
        peer: peer.to_string(),
        address,
    };
    if args.star.is_empty() {
        reporter.tell(&identity(None))?;
    }
    for star in &args.star {
        let star = StarAddress::try_from(star).map_err(Failure::internal)?;
        reporter.tell(&identity(Some(star.with_peer(peer).to_string())))?;
    }
    Ok(Exit::OK)
}
