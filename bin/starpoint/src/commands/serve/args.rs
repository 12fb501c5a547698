//! What was typed: flags and variables, and the same settings as file keys.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{
    ArgAction, Args,
    builder::{BoolishValueParser, TypedValueParser as _},
};
use serde::{Deserialize, Serialize};

use super::value::{
    AnnounceInterval, BufferSize, ByteRate, Grace, ListenAddr, MessageSize, ProxyNetwork,
    StarHostName,
};
use crate::ui::log::{LogFilter, LogFormat};

const AFTER_HELP: &str = "\
Examples:
  starpoint serve --listen 127.0.0.1:9090 --listen '[::1]:9090'
  starpoint serve --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem";

const AFTER_LONG_HELP: &str = "\
Examples:
  Two plain listeners, for this machine only:
    starpoint serve --listen 127.0.0.1:9090 --listen '[::1]:9090'

  A public star with TLS, its settings kept in a file:
    starpoint serve --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem \\
        --print-config > starpoint.toml
    starpoint serve --config starpoint.toml

Settings:
  A flag wins over its variable, a variable over the file, the file over the default. Each key of
  the file is named as its flag. An empty variable counts as not set. In the file, a relative path
  starts at the folder of the file.

Output:
  `listening http://<ip:port>` on stdout, one line for each listener, once it accepts. Messages go
  to stderr. SIGTERM, SIGINT or SIGHUP stops accepting and lets streams end; a second one cuts them.

Exit codes:
  0  stopped by a signal, after draining
  1  the program or the system failed
  2  a flag or variable cannot be understood
  3  the configuration file cannot be used, or settings contradict each other
  4  an address cannot be listened on
  5  the certificate or key cannot be used
  6  a second signal cut the draining short
 13  the star's own key cannot be used";

/// Run a star
///
/// Peers connect to it with a WebSocket or long polling; the original JavaScript peers do so
/// unchanged.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, after_long_help = AFTER_LONG_HELP)]
pub(crate) struct RawArgs {
    #[command(flatten)]
    pub(super) chosen: Chosen,

    /// Read settings from this TOML file
    #[arg(
        long,
        value_name = "FILE",
        env = "STARPOINT_CONFIG",
        hide_env_values = true,
        help_heading = "Configuration"
    )]
    pub(super) config: Option<PathBuf>,

    /// Print the effective settings as a file for --config, and exit
    ///
    /// Paths are printed absolute. Nothing is started, and no certificate is read.
    #[arg(
        long,
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new(),
        env = "STARPOINT_PRINT_CONFIG",
        hide_env_values = true,
        help_heading = "Configuration"
    )]
    pub(super) print_config: bool,
}

/// Settings that somebody chose; those left open are `None`.
///
/// One definition is flag, variable and file key, so that none of them can lack
/// what the others have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Chosen {
    /// Address to listen on; repeatable [default: 0.0.0.0:9090]
    ///
    /// An IPv6 address stands in brackets: `[::1]:9090`. Port 0 takes a free port. Several addresses
    /// in the variable are separated by commas.
    #[arg(
        long,
        value_name = "IP:PORT",
        value_delimiter = ',',
        env = "STARPOINT_LISTEN",
        hide_env_values = true,
        help_heading = "Listening"
    )]
    pub(super) listen: Option<Vec<ListenAddr>>,

    /// Certificate chain, PEM, the server's own first; serves https
    ///
    /// Needs --tls-key too. Both files are read again when they change.
    #[arg(
        long,
        value_name = "FILE",
        env = "STARPOINT_TLS_CERT",
        hide_env_values = true,
        help_heading = "Listening"
    )]
    pub(super) tls_cert: Option<PathBuf>,

    /// Private key of the certificate, PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "STARPOINT_TLS_KEY",
        hide_env_values = true,
        help_heading = "Listening"
    )]
    pub(super) tls_key: Option<PathBuf>,

    /// Reverse proxy to believe about where clients are; repeatable [default: none]
    ///
    /// An address or a network, such as 10.0.0.0/8. Limits for each IP address then apply to the last
    /// address in X-Forwarded-For that is no trusted proxy, and not to the proxy. Behind a proxy that
    /// is not named, all clients share the limits of one address.
    #[arg(
        long,
        value_name = "NETWORK",
        value_delimiter = ',',
        env = "STARPOINT_TRUSTED_PROXY",
        hide_env_values = true,
        help_heading = "Listening"
    )]
    pub(super) trusted_proxy: Option<Vec<ProxyNetwork>>,

    /// Expect the PROXY protocol, version 2, from trusted proxies [default: false]
    ///
    /// A connection of a trusted proxy that begins with anything else is closed.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        value_parser = BoolishValueParser::new(),
        env = "STARPOINT_PROXY_PROTOCOL",
        hide_env_values = true,
        help_heading = "Listening"
    )]
    pub(super) proxy_protocol: Option<bool>,

    /// Host at which peers dial this star; repeatable [default: any]
    ///
    /// A name or an IP address, with a port or for any port: star.example, star.example:8443,
    /// `[2001:db8::1]`. Name every one that is in use. Native peers that dialed another host are
    /// refused, and know it before: no other star can pass for this one.
    #[arg(
        long,
        value_name = "HOST",
        value_delimiter = ',',
        env = "STARPOINT_HOST",
        hide_env_values = true,
        help_heading = "Peers"
    )]
    pub(super) host: Option<Vec<StarHostName>>,

    /// File with the star's own key, made if missing [default: starpoint/star.key in the data folder]
    ///
    /// Native peers know the star by it. The data folder is $XDG_DATA_HOME, or ~/.local/share. If
    /// the default file cannot be used, the star warns and makes a key for this run only.
    #[arg(
        long,
        value_name = "FILE",
        env = "STARPOINT_KEY",
        hide_env_values = true,
        help_heading = "Peers"
    )]
    pub(super) key: Option<PathBuf>,

    /// Do not ask peers to prove that an address is theirs [default: false]
    ///
    /// Anybody may then take any address. For closed networks and tests. `--no-challenge=false`
    /// turns the challenge on again when the file or the variable turned it off.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        value_parser = BoolishValueParser::new(),
        env = "STARPOINT_NO_CHALLENGE",
        hide_env_values = true,
        help_heading = "Peers"
    )]
    pub(super) no_challenge: Option<bool>,

    /// Let peers join with star addresses only [default: false]
    ///
    /// Those are /HOST/tcp/PORT/ws/p2p-websocket-star/p2p/ID, with wss in place of ws for TLS. Without
    /// it, any multiaddr may join.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        value_parser = BoolishValueParser::new(),
        env = "STARPOINT_STRICT_MULTIADDR",
        hide_env_values = true,
        help_heading = "Peers"
    )]
    pub(super) strict_multiaddr: Option<bool>,

    /// Time between two announcements of a peer to another [default: 10s]
    ///
    /// 100ms to 1h, with its unit: 500ms, 10s, 1m 30s.
    #[arg(
        long,
        value_name = "DURATION",
        env = "STARPOINT_ANNOUNCE_INTERVAL",
        hide_env_values = true,
        help_heading = "Peers"
    )]
    pub(super) announce_interval: Option<AnnounceInterval>,

    /// Time for which a native peer whose connection breaks counts as present [default: 15s]
    ///
    /// 0s to 10m. If it comes back in that time, nobody sees it leave.
    #[arg(
        long,
        value_name = "DURATION",
        env = "STARPOINT_GRACE",
        hide_env_values = true,
        help_heading = "Peers"
    )]
    pub(super) grace: Option<Grace>,

    /// Most peers that may have joined at once [default: 10000]
    ///
    /// Each peer keeps a file open. The limit on open files is raised as far as the system allows
    /// at start, with a warning when that is too low.
    #[arg(
        long,
        value_name = "N",
        value_parser = count_parser(),
        env = "STARPOINT_MAX_PEERS",
        hide_env_values = true,
        help_heading = "Limits"
    )]
    pub(super) max_peers: Option<NonZeroUsize>,

    /// Most peers at once from one IP address [default: a quarter of --max-peers, at least 64]
    ///
    /// Addresses of one IPv6 /64 count as one. A quarter of this number, and at least 64, may join
    /// at once, and as many again in each 30s.
    #[arg(
        long,
        value_name = "N",
        value_parser = count_parser(),
        env = "STARPOINT_MAX_PEERS_PER_IP",
        hide_env_values = true,
        help_heading = "Limits"
    )]
    pub(super) max_peers_per_ip: Option<NonZeroUsize>,

    /// Most connections at once from one IP address [default: a quarter of all, at least 256]
    ///
    /// The star accepts 2 for each peer of --max-peers, and 256. Addresses of one IPv6 /64 count as
    /// one. Those above the limit may ask for /healthz and /metrics only.
    #[arg(
        long,
        value_name = "N",
        value_parser = count_parser(),
        env = "STARPOINT_MAX_CONNECTIONS_PER_IP",
        hide_env_values = true,
        help_heading = "Limits"
    )]
    pub(super) max_connections_per_ip: Option<NonZeroUsize>,

    /// Largest message that a peer may send [default: 16MiB]
    ///
    /// 64KiB to 64MiB: bytes, or a whole number of KiB or MiB.
    #[arg(
        long,
        value_name = "BYTES",
        env = "STARPOINT_MAX_MESSAGE",
        hide_env_values = true,
        help_heading = "Limits"
    )]
    pub(super) max_message: Option<MessageSize>,

    /// Most bytes of peers that may wait in the star [default: 256MiB]
    ///
    /// At least 1MiB: bytes, or a whole number of KiB or MiB. Counts unfinished messages and
    /// everything that waits for a slow reader; when it fills up, large messages are not read. The
    /// star keeps room for eight of the largest messages in any case.
    #[arg(
        long,
        value_name = "BYTES",
        env = "STARPOINT_MAX_BUFFERED",
        hide_env_values = true,
        help_heading = "Limits"
    )]
    pub(super) max_buffered: Option<BufferSize>,

    /// Bytes a second that a native peer may send through its pipes [default: no limit]
    ///
    /// At least 1KiB, shared fairly among the pipes of the peer: bytes, or a whole number of KiB or
    /// MiB.
    #[arg(
        long,
        value_name = "BYTES",
        env = "STARPOINT_PIPE_RATE",
        hide_env_values = true,
        help_heading = "Limits"
    )]
    pub(super) pipe_rate: Option<ByteRate>,

    /// Do not serve GET /metrics [default: false]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        value_parser = BoolishValueParser::new(),
        env = "STARPOINT_NO_METRICS",
        hide_env_values = true,
        help_heading = "Messages and metrics"
    )]
    pub(super) no_metrics: Option<bool>,

    /// Messages to write [default: info]
    ///
    /// A level (off, error, warn, info, debug, trace), or directives separated by commas, such as
    /// info,starpoint_server=debug.
    #[arg(
        long,
        value_name = "FILTER",
        env = "STARPOINT_LOG",
        hide_env_values = true,
        help_heading = "Messages and metrics"
    )]
    pub(super) log: Option<LogFilter>,

    /// How to write messages [default: text]
    #[arg(
        long,
        value_name = "FORMAT",
        env = "STARPOINT_LOG_FORMAT",
        hide_env_values = true,
        help_heading = "Messages and metrics"
    )]
    pub(super) log_format: Option<LogFormat>,
}

fn count_parser() -> impl clap::builder::TypedValueParser<Value = NonZeroUsize> {
    clap::builder::StringValueParser::new().try_map(|text| {
        text.parse::<NonZeroUsize>()
            .map_err(|_| "not a whole number above 0")
    })
}

impl Chosen {
    /// Returns these settings, and those of `other` where these are open.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            trusted_proxy: self.trusted_proxy.or(other.trusted_proxy),
            proxy_protocol: self.proxy_protocol.or(other.proxy_protocol),
            host: self.host.or(other.host),
            key: self.key.or(other.key),
            no_challenge: self.no_challenge.or(other.no_challenge),
            strict_multiaddr: self.strict_multiaddr.or(other.strict_multiaddr),
            announce_interval: self.announce_interval.or(other.announce_interval),
            grace: self.grace.or(other.grace),
            max_peers: self.max_peers.or(other.max_peers),
            max_peers_per_ip: self.max_peers_per_ip.or(other.max_peers_per_ip),
            max_connections_per_ip: self.max_connections_per_ip.or(other.max_connections_per_ip),
            max_message: self.max_message.or(other.max_message),
            max_buffered: self.max_buffered.or(other.max_buffered),
            pipe_rate: self.pipe_rate.or(other.pipe_rate),
            no_metrics: self.no_metrics.or(other.no_metrics),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
        }
    }

    /// Returns the key of every setting, in the order of the help text.
    pub(super) fn keys() -> Vec<String> {
        Self::augment_args(clap::Command::new("keys"))
            .get_arguments()
            .filter_map(|arg| arg.get_long().map(str::to_owned))
            .collect()
    }
}
