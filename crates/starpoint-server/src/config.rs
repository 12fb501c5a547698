//! What an operator decides about a star.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use libp2p_identity::Keypair;
use starpoint_wire::{
    AddressRule, limits,
    native::{HostPattern, MAX_HOSTS},
};

use crate::{connections, proxy::TrustedProxy};

/// Settings of one star. [`Config::default`] is a star for the public, without TLS.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to listen on, at least one. Port 0 takes a free port. Default
    /// `0.0.0.0:9090`.
    pub listen: Vec<SocketAddr>,
    /// Whether a peer has to prove that an address is its own. Default
    /// [`Challenge::Required`].
    pub challenge: Challenge,
    /// Which addresses may join. Default [`AddressRule::AnyMultiaddr`].
    pub address_rule: AddressRule,
    /// Time between two announcements of a peer to another. 100 ms to 1 h; default
    /// [`limits::ANNOUNCE_INTERVAL`].
    pub announce_interval: Duration,
    /// Certificate and key; `None`, the default, serves plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whether `GET /metrics` is served. Default [`Metrics::Served`].
    pub metrics: Metrics,
    /// Most peers that may have joined at once. Default 10 000.
    pub max_peers: NonZeroUsize,
    /// The part of [`max_peers`](Self::max_peers) that one IPv4 address or IPv6 /64 may
    /// have; how fast it may join follows from it. `None`, the default, allows a quarter
    /// of all, and at least [`MIN_SHARE`](starpoint_broker::quota::MIN_SHARE).
    pub max_peers_per_ip: Option<NonZeroUsize>,
    /// Most TCP connections at once; `None`, the default, allows two for each peer of
    /// [`max_peers`](Self::max_peers) and [`SPARE_CONNECTIONS`]. A few more are
    /// accepted, and answered about the star's health only.
    pub max_connections: Option<NonZeroUsize>,
    /// Most TCP connections at once from one IPv4 address or one IPv6 /64; `None`, the
    /// default, allows a quarter of all, and at least
    /// [`MIN_DEFAULT_CONNECTIONS_PER_IP`].
    pub max_connections_per_ip: Option<NonZeroUsize>,
    /// Reverse proxies that are believed about where a client is, in `X-Forwarded-For`
    /// and with [`proxy_protocol`](Self::proxy_protocol). Default none.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Whether trusted proxies speak the PROXY protocol. Default
    /// [`ProxyProtocol::Off`].
    pub proxy_protocol: ProxyProtocol,
    /// Largest message that a peer may send, in bytes of payload. 64 KiB to
    /// 64 MiB; default [`limits::MAX_MESSAGE_BYTES`].
    pub max_message_bytes: usize,
    /// Bytes of clients that may wait in the server, for a reader or for the rest of
    /// a message; at least eight times [`max_message_bytes`](Self::max_message_bytes)
    /// in any case. Beyond it large messages are not read. Default
    /// [`DEFAULT_BUFFERED_BYTES`].
    pub max_buffered_bytes: usize,
    /// Time that streams have to end in a shutdown. Default 5 s.
    pub drain_deadline: Duration,
    /// Who the star is to native peers. Default: made for the occasion, so that they
    /// see another star after each start.
    pub identity: Keypair,
    /// Every host at which native peers may dial the star, at most
    /// [`MAX_HOSTS`]. Default none: they may dial it anywhere, and nothing keeps
    /// another star from relaying their joins.
    pub hosts: Vec<HostPattern>,
    /// How long a native peer whose connection breaks counts as being here. At most
    /// [`MAX_GRACE`]; default 15 s.
    pub grace: Duration,
    /// Bytes a second that a native peer may send through all its pipes together,
    /// fairly among them. Default: no bound.
    pub pipe_rate: Option<NonZeroU64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9090))],
            challenge: Challenge::Required,
            address_rule: AddressRule::AnyMultiaddr,
            announce_interval: limits::ANNOUNCE_INTERVAL,
            tls: None,
            metrics: Metrics::Served,
            max_peers: NonZeroUsize::new(10_000).expect("10 000 is not zero"),
            max_peers_per_ip: None,
            max_connections: None,
            max_connections_per_ip: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: ProxyProtocol::Off,
            max_message_bytes: limits::MAX_MESSAGE_BYTES,
            max_buffered_bytes: DEFAULT_BUFFERED_BYTES,
            drain_deadline: Duration::from_secs(5),
            identity: Keypair::ed25519_from_bytes(rand::random::<[u8; 32]>())
                .expect("32 bytes are an Ed25519 key"),
            hosts: Vec::new(),
            grace: starpoint_broker::quota::GRACE,
            pipe_rate: None,
        }
    }
}

pub use starpoint_broker::Challenge;

/// Whether the metrics page exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// `GET /metrics` answers.
    Served,
    /// `GET /metrics` is not found.
    Hidden,
}

/// Whether a connection of a trusted proxy begins with a header of the PROXY
/// protocol, version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// It does not.
    Off,
    /// Each does; one that does not is closed. Others are served without one.
    Version2,
}

/// Where the certificate is. Both files are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, PEM, the server's own first.
    pub cert: PathBuf,
    /// Private key, PEM: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// TCP connections that a peer may have on average: long polling takes two.
const CONNECTIONS_PER_PEER: usize = 2;
/// TCP connections beside those of the peers, where the number is not set.
pub const SPARE_CONNECTIONS: usize = 256;
/// Most TCP connections, whatever the settings say.
const MAX_CONNECTIONS: usize = 1 << 24;
/// Smallest default of [`Config::max_connections_per_ip`]: an office or a small
/// carrier's NAT.
pub const MIN_DEFAULT_CONNECTIONS_PER_IP: usize = 256;
/// Part of all connections that one source may have by default.
const SOURCES_THAT_FILL_A_STAR: usize = 4;
/// Descriptors that connections may take beside those of
/// [`Config::max_connections`]: those that are answered about the star's health, and
/// those that are being closed.
pub const CONNECTIONS_BESIDE: usize = connections::RESERVE + connections::MAX_CLOSING;

/// Shortest announce interval.
pub const MIN_ANNOUNCE_INTERVAL: Duration = Duration::from_millis(100);
/// Longest announce interval.
pub const MAX_ANNOUNCE_INTERVAL: Duration = Duration::from_secs(3600);
/// Longest grace period.
pub const MAX_GRACE: Duration = Duration::from_secs(600);
/// Smallest setting for the largest message: 64 KiB.
pub const MIN_MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Bytes of clients that may wait by default: 256 MiB.
pub const DEFAULT_BUFFERED_BYTES: usize = 256 * 1024 * 1024;
/// Largest setting for the largest message: 64 MiB.
pub const MAX_MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A setting that cannot be served: the operator's fault, nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No address to listen on.
    #[error("no address to listen on")]
    NoListener,
    /// The announce interval is out of its range.
    #[error(
        "announce interval {0:?} is not between {MIN_ANNOUNCE_INTERVAL:?} and {MAX_ANNOUNCE_INTERVAL:?}"
    )]
    AnnounceInterval(Duration),
    /// The largest message is out of its range.
    #[error(
        "largest message of {0} bytes is not between {MIN_MAX_MESSAGE_BYTES} and {MAX_MAX_MESSAGE_BYTES}"
    )]
    MaxMessage(usize),
    /// No proxy is trusted to speak the PROXY protocol.
    #[error("the PROXY protocol is on, and no proxy is trusted")]
    ProxyProtocol,
    /// There are too many hosts.
    #[error("{0} hosts are more than {MAX_HOSTS}")]
    Hosts(usize),
    /// The grace period is too long.
    #[error("grace period {0:?} is longer than {MAX_GRACE:?}")]
    Grace(Duration),
}

impl Config {
    /// Returns the number of TCP connections that there may be at once.
    pub fn max_connections(&self) -> usize {
        let wanted = self.max_connections.map_or_else(
            || {
                let of_peers = self.max_peers.get().saturating_mul(CONNECTIONS_PER_PEER);
                of_peers.saturating_add(SPARE_CONNECTIONS)
            },
            NonZeroUsize::get,
        );
        wanted.min(MAX_CONNECTIONS)
    }

    /// Returns the number of TCP connections that one source may have at once.
    pub fn max_connections_per_ip(&self) -> usize {
        let share = self.max_connections() / SOURCES_THAT_FILL_A_STAR;
        self.max_connections_per_ip
            .map_or(share.max(MIN_DEFAULT_CONNECTIONS_PER_IP), NonZeroUsize::get)
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.listen.is_empty() {
            return Err(ConfigError::NoListener);
        }
        if !(MIN_ANNOUNCE_INTERVAL..=MAX_ANNOUNCE_INTERVAL).contains(&self.announce_interval) {
            return Err(ConfigError::AnnounceInterval(self.announce_interval));
        }
        if !(MIN_MAX_MESSAGE_BYTES..=MAX_MAX_MESSAGE_BYTES).contains(&self.max_message_bytes) {
            return Err(ConfigError::MaxMessage(self.max_message_bytes));
        }
        if self.proxy_protocol != ProxyProtocol::Off && self.trusted_proxies.is_empty() {
            return Err(ConfigError::ProxyProtocol);
        }
        if self.hosts.len() > MAX_HOSTS {
            return Err(ConfigError::Hosts(self.hosts.len()));
        }
        if self.grace > MAX_GRACE {
            return Err(ConfigError::Grace(self.grace));
        }
        Ok(())
    }
}
