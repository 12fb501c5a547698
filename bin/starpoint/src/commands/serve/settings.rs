//! What the settings mean: flags over variables over file over defaults.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use starpoint_server::{Challenge, Config, ConfigError, Metrics, ProxyProtocol, TlsFiles};
use starpoint_wire::AddressRule;

use super::{
    args::{Chosen, RawArgs},
    file,
    key::StarKey,
    value::{
        AnnounceInterval, BufferSize, ByteRate, Grace, ListenAddr, MessageSize, ProxyNetwork,
        StarHostName,
    },
};
use crate::ui::{
    error::Failure,
    exit::Exit,
    log::{LogFilter, LogFormat},
};

/// What is to be done.
#[derive(Debug)]
pub(super) enum Plan {
    /// Print this configuration file.
    PrintConfig(String),
    /// Run a star.
    Serve(Box<Settings>),
}

/// Settings of a run, complete and checked.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The star; its identity is in `key`.
    pub(super) config: Config,
    /// Who the star is to native peers.
    pub(super) key: StarKey,
    /// Which messages are written.
    pub(super) log: LogFilter,
    /// How messages are written.
    pub(super) log_format: LogFormat,
}

impl Plan {
    /// Completes what was typed, with the file it names if it names one.
    ///
    /// # Errors
    ///
    /// The file cannot be used, or settings are out of range or contradict each
    /// other.
    pub(super) fn from_args(args: RawArgs) -> Result<Self, Failure> {
        let from_file = args.config.as_deref().map(file::read).transpose()?;
        let settings = Settings::new(args.chosen.or(from_file.unwrap_or_default()))?;
        if !args.print_config {
            return Ok(Self::Serve(Box::new(settings)));
        }
        let text = toml::to_string(&settings.to_chosen())
            .context("the settings cannot be written as TOML")
            .map_err(|error| {
                Failure::new(Exit::CONFIG, error, "paths in a file have to be UTF-8")
            })?;
        Ok(Self::PrintConfig(text))
    }
}

impl Settings {
    fn new(chosen: Chosen) -> Result<Self, Failure> {
        let default = Config::default();
        let tls = tls_files(chosen.tls_cert, chosen.tls_key)?;
        let config = Config {
            listen: match chosen.listen {
                Some(addrs) => addrs.into_iter().map(|addr| addr.0).collect(),
                None => default.listen,
            },
            challenge: match chosen.no_challenge {
                Some(true) => Challenge::Off,
                Some(false) => Challenge::Required,
                None => default.challenge,
            },
            address_rule: match chosen.strict_multiaddr {
                Some(true) => AddressRule::StarOnly,
                Some(false) => AddressRule::AnyMultiaddr,
                None => default.address_rule,
            },
            announce_interval: chosen
                .announce_interval
                .map_or(default.announce_interval, AnnounceInterval::get),
            tls,
            metrics: match chosen.no_metrics {
                Some(true) => Metrics::Hidden,
                Some(false) => Metrics::Served,
                None => default.metrics,
            },
            max_peers: chosen.max_peers.unwrap_or(default.max_peers),
            trusted_proxies: match chosen.trusted_proxy {
                Some(networks) => networks.into_iter().map(|network| network.0).collect(),
                None => default.trusted_proxies,
            },
            proxy_protocol: match chosen.proxy_protocol {
                Some(true) => ProxyProtocol::Version2,
                Some(false) => ProxyProtocol::Off,
                None => default.proxy_protocol,
            },
            max_peers_per_ip: chosen.max_peers_per_ip.or(default.max_peers_per_ip),
            max_connections: default.max_connections,
            max_connections_per_ip: chosen
                .max_connections_per_ip
                .or(default.max_connections_per_ip),
            max_message_bytes: chosen
                .max_message
                .map_or(default.max_message_bytes, MessageSize::get),
            max_buffered_bytes: chosen
                .max_buffered
                .map_or(default.max_buffered_bytes, BufferSize::get),
            drain_deadline: default.drain_deadline,
            identity: default.identity,
            hosts: match chosen.host {
                Some(hosts) => hosts.into_iter().map(|host| host.0).collect(),
                None => default.hosts,
            },
            grace: chosen.grace.map_or(default.grace, Grace::get),
            pipe_rate: chosen.pipe_rate.map(ByteRate::get).or(default.pipe_rate),
        };
        config.validate().map_err(config_failure)?;
        let key = match chosen.key {
            Some(path) => StarKey::Named(absolute(&path, "check --key")?),
            None => StarKey::by_default(),
        };
        Ok(Self {
            config,
            key,
            log: chosen.log.unwrap_or_default(),
            log_format: chosen.log_format.unwrap_or_default(),
        })
    }

    /// Returns every setting as if somebody had chosen it.
    fn to_chosen(&self) -> Chosen {
        let config = &self.config;
        let tls = config.tls.as_ref();
        Chosen {
            listen: Some(config.listen.iter().copied().map(ListenAddr).collect()),
            tls_cert: tls.map(|files| files.cert.clone()),
            tls_key: tls.map(|files| files.key.clone()),
            trusted_proxy: (!config.trusted_proxies.is_empty()).then(|| {
                let networks = config.trusted_proxies.iter().copied();
                networks.map(ProxyNetwork).collect()
            }),
            proxy_protocol: match config.proxy_protocol {
                ProxyProtocol::Version2 => Some(true),
                ProxyProtocol::Off => None,
            },
            host: Some(config.hosts.iter().cloned().map(StarHostName).collect())
                .filter(|hosts: &Vec<_>| !hosts.is_empty()),
            key: self.key.path().map(Path::to_owned),
            no_challenge: Some(match config.challenge {
                Challenge::Off => true,
                Challenge::Required => false,
            }),
            strict_multiaddr: Some(match config.address_rule {
                AddressRule::StarOnly => true,
                AddressRule::AnyMultiaddr => false,
            }),
            announce_interval: Some(AnnounceInterval::new(config.announce_interval)),
            grace: Some(Grace::new(config.grace)),
            max_peers: Some(config.max_peers),
            max_peers_per_ip: config.max_peers_per_ip,
            max_connections_per_ip: config.max_connections_per_ip,
            max_message: Some(MessageSize::new(config.max_message_bytes)),
            max_buffered: Some(BufferSize::new(config.max_buffered_bytes)),
            pipe_rate: config.pipe_rate.map(ByteRate::new),
            no_metrics: Some(match config.metrics {
                Metrics::Hidden => true,
                Metrics::Served => false,
            }),
            log: Some(self.log.clone()),
            log_format: Some(self.log_format),
        }
    }
}

/// Says that the star refuses its settings, and what to do.
pub(super) fn config_failure(error: ConfigError) -> Failure {
    let hint = match error {
        ConfigError::NoListener => "name one: `listen = [\"0.0.0.0:9090\"]`, or leave the key out",
        ConfigError::ProxyProtocol => "name the proxy: `--trusted-proxy 192.0.2.1`",
        ConfigError::AnnounceInterval(_)
        | ConfigError::MaxMessage(_)
        | ConfigError::Grace(_)
        | _ => "`starpoint serve --help` says what each setting takes",
    };
    Failure::new(Exit::CONFIG, error, hint)
}

const TLS_HINT: &str = "check --tls-cert and --tls-key";

fn tls_files(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, Failure> {
    let lonely = |given: &str, missing: &str| {
        Failure::message(
            Exit::CONFIG,
            format!("{given} is given without {missing}"),
            format!("TLS needs both files: give {missing} too, or neither for plain http"),
        )
    };
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles {
            cert: absolute(&cert, TLS_HINT)?,
            key: absolute(&key, TLS_HINT)?,
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(lonely("tls-cert", "tls-key")),
        (None, Some(_)) => Err(lonely("tls-key", "tls-cert")),
    }
}

/// Makes a path independent of the folder from which the program was started.
fn absolute(path: &Path, hint: &'static str) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .with_context(|| format!("`{}` is no path", path.display()))
        .map_err(|error| Failure::new(Exit::CONFIG, error, hint))
}
