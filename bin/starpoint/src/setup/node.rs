//! From arguments to a node.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use libp2p_websocket_star::{
    Challenge, Config as StarConfig,
    sio::{
        TokioConnector, TokioTimers,
        tokio::{TrustedRoots, read_certificates},
    },
};
use starpoint_node::{Config, KeyFile, Keypair, KnownStars, Multiaddr};

use crate::{
    setup::{
        args::{OutputArgs, PassingKeyArgs, TrustArgs},
        data_folder,
        stars::warn,
    },
    ui::{error::Failure, exit::Exit, log, report::one_line},
};

/// Largest file of authorities: all that browsers trust take 250 KiB.
const MAX_CA_BYTES: u64 = 4 * 1024 * 1024;

/// Starts writing messages.
pub(crate) fn messages(args: &OutputArgs) -> Result<(), Failure> {
    let quiet = "error".parse().expect("it is a level");
    let filter = args.log.as_ref().unwrap_or(&quiet);
    log::init(filter, args.log_format.unwrap_or_default())
}

/// Reads or makes the key in `file`, or in the default file.
pub(crate) fn lasting_key(file: Option<&Path>) -> Result<Keypair, Failure> {
    let path = match file {
        Some(path) => path.to_owned(),
        None => default_key_path()?,
    };
    Ok(KeyFile::new(path).load_or_create()?)
}

/// Reads or makes the key in the file that is named; without one, makes a key that nobody keeps.
///
/// A command that only looks or dials would otherwise take the place of a
/// `listen` with the same key.
pub(crate) fn passing_key(args: &PassingKeyArgs) -> Result<Keypair, Failure> {
    match args.key.as_deref() {
        Some(path) => lasting_key(Some(path)),
        None => Ok(Keypair::generate_ed25519()),
    }
}

fn default_key_path() -> Result<PathBuf, Failure> {
    data_folder::path()
        .map(|folder| folder.join("key"))
        .ok_or_else(|| {
            Failure::message(
                Exit::KEY,
                "no place for a key: neither XDG_DATA_HOME nor HOME is an absolute path",
                "name a file with --key",
            )
        })
}

/// Returns how stars are spoken to.
pub(crate) fn star_config(trust: &TrustArgs) -> Result<StarConfig, Failure> {
    let mut roots = TrustedRoots::default();
    for path in &trust.ca {
        let pem = starpoint_file::read(path, MAX_CA_BYTES)
            .with_context(|| format!("cannot read `{}`", path.display()))
            .map_err(ca_failure)?;
        let read = read_certificates(pem.bytes())
            .with_context(|| format!("cannot use `{}`", path.display()))
            .map_err(ca_failure)?;
        roots.extra.extend(read);
    }
    let connector = TokioConnector::with_roots(&roots).map_err(ca_failure)?;
    let mut config = StarConfig::with_io(Arc::new(connector), Arc::new(TokioTimers));
    if let Some(stars) = known_stars(trust) {
        stars.check().map_err(|error| {
            Failure::new(
                Exit::CONFIG,
                error,
                "without it, any star could pass for a known one: mend or remove it, or name \
                 another file with --known-stars",
            )
        })?;
        config.pins = Arc::new(stars);
    }
    if trust.allow_no_challenge {
        config.challenge = Challenge::Optional;
    }
    Ok(config)
}

/// Returns the file that remembers stars; `None` without a place for it.
fn known_stars(trust: &TrustArgs) -> Option<KnownStars> {
    let path = match &trust.known_stars {
        Some(path) => path.clone(),
        None => data_folder::path()?.join("known_stars"),
    };
    Some(KnownStars::new(path, |problem| warn(&one_line(problem))))
}

fn ca_failure(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(
        Exit::TLS,
        error,
        "--ca takes PEM files with certificates of authorities",
    )
}

/// Returns a node's settings; it is a peer at `stars`.
pub(crate) fn node_config(keypair: Keypair, star: StarConfig, stars: Vec<Multiaddr>) -> Config {
    let mut config = Config::new(keypair);
    config.star = star;
    config.stars = stars;
    config
}

/// Runs a command to its end.
///
/// What still runs then, a read of the terminal for one, is left behind.
pub(crate) fn run(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::internal)?;
    let ended = runtime.block_on(command);
    runtime.shutdown_background();
    ended
}
