//! Addresses as clients name a star.

use std::{
    borrow::Cow,
    fmt,
    hash::{Hash, Hasher},
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

use super::{AddressError, parts};
use crate::native::StarHost;

/// Longest DNS name, and longest label of one, in bytes (RFC 1035, section 2.3.4).
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// A star, or a peer at a star.
///
/// ```text
/// /dns|dns4|dns6|dnsaddr|ip4|ip6/<host> [/tcp/<port>] /ws|wss|tls/ws
///     /p2p-websocket-star [/p2p-circuit] [/p2p|ipfs/<id>]
/// ```
///
/// `tcp` may be missing behind a name; then the port is the
/// [default](Self::port). `/p2p-circuit` says nothing that the star does not say
/// and is not kept (R-ADDR-5). Equal are addresses of the same peer at the same
/// host, port and security, however they are spelled. Cheap to clone.
#[derive(Clone)]
pub struct StarAddress {
    host: Host,
    /// As written; `None` stands for the default.
    tcp: Option<u16>,
    security: Security,
    peer: Option<PeerId>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Host {
    Name(NameKind, Arc<str>),
    Ip4(Ipv4Addr),
    Ip6(Ipv6Addr),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum NameKind {
    Dns,
    Dns4,
    Dns6,
    Dnsaddr,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Security {
    Plain,
    Tls,
}

impl StarAddress {
    /// Returns the URL of the server, without a path: `ws://` or `wss://`, the
    /// host, and the port unless it is the scheme's own (R-ADDR-4).
    pub fn server_url(&self) -> String {
        let scheme = self.security.scheme();
        let host = match &self.host {
            Host::Ip6(ip) => format!("[{ip}]"),
            Host::Name(..) | Host::Ip4(_) => self.host().into_owned(),
        };
        if self.port() == self.security.default_port() {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{}", self.port())
        }
    }

    /// Returns the DNS name, or the IP address without brackets.
    pub fn host(&self) -> Cow<'_, str> {
        match &self.host {
            Host::Name(_, name) => Cow::Borrowed(name),
            Host::Ip4(ip) => Cow::Owned(ip.to_string()),
            Host::Ip6(ip) => Cow::Owned(ip.to_string()),
        }
    }

    /// Returns the TCP port: 80 for `ws` and 443 for `wss` unless the address has
    /// one.
    pub fn port(&self) -> u16 {
        self.tcp.unwrap_or(self.security.default_port())
    }

    /// Returns the host and port at which the star is dialed, as a join names them
    /// (R-NATIVE-13).
    pub fn dialed_host(&self) -> StarHost {
        let host = self.host();
        StarHost::new(&host, self.port()).expect("the host of an address was checked")
    }

    /// Returns whether the connection to the server is encrypted.
    pub fn is_secure(&self) -> bool {
        self.security == Security::Tls
    }

    /// Returns the peer, if the address names one.
    pub fn peer(&self) -> Option<PeerId> {
        self.peer
    }

    /// Returns the address of the star itself.
    #[must_use]
    pub fn without_peer(&self) -> Self {
        Self {
            peer: None,
            ..self.clone()
        }
    }

    /// Returns the address of `peer` at this star.
    #[must_use]
    pub fn with_peer(&self, peer: PeerId) -> Self {
        Self {
            peer: Some(peer),
            ..self.clone()
        }
    }

    /// Returns the address as it is used inside libp2p: with `/p2p/<id>`.
    pub fn to_multiaddr(&self) -> Multiaddr {
        let mut address = Multiaddr::empty().with(self.host.protocol());
        if let Some(port) = self.tcp {
            address.push(Protocol::Tcp(port));
        }
        address.push(match self.security {
            Security::Plain => Protocol::Ws("/".into()),
            Security::Tls => Protocol::Wss("/".into()),
        });
        address.push(Protocol::P2pWebSocketStar);
        if let Some(peer) = self.peer {
            address.push(Protocol::P2p(peer));
        }
        address
    }

    /// Returns the address as old stars and peers compare it: with `/ipfs/<id>`
    /// and without `/p2p-circuit` (R-ADDR-2).
    pub fn to_legacy_string(&self) -> String {
        let star = self.without_peer().to_multiaddr();
        match self.peer {
            Some(peer) => format!("{star}/ipfs/{peer}"),
            None => star.to_string(),
        }
    }

    fn from_protocols(protocols: &[Protocol<'_>]) -> Result<Self, AddressError> {
        let [host, rest @ ..] = protocols else {
            return Err(AddressError::Empty);
        };
        let host = Host::of(host)?;
        let (tcp, rest) = match rest {
            [Protocol::Tcp(port), rest @ ..] => (Some(*port), rest),
            rest => (None, rest),
        };
        if tcp.is_none() && !matches!(host, Host::Name(..)) {
            return Err(AddressError::NotStar);
        }
        let (security, rest) = Security::of(rest)?;
        let peer = match rest {
            [Protocol::P2pWebSocketStar] | [Protocol::P2pWebSocketStar, Protocol::P2pCircuit] => {
                None
            }
            [Protocol::P2pWebSocketStar, Protocol::P2p(peer)]
            | [
                Protocol::P2pWebSocketStar,
                Protocol::P2pCircuit,
                Protocol::P2p(peer),
            ] => Some(*peer),
            _ => return Err(AddressError::NotStar),
        };
        Ok(Self {
            host,
            tcp,
            security,
            peer,
        })
    }
}

impl Host {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is foreign and may grow"
    )]
    fn of(protocol: &Protocol<'_>) -> Result<Self, AddressError> {
        let (kind, name) = match protocol {
            Protocol::Ip4(ip) => return Ok(Self::Ip4(*ip)),
            Protocol::Ip6(ip) => return Ok(Self::Ip6(*ip)),
            Protocol::Dns(name) => (NameKind::Dns, name),
            Protocol::Dns4(name) => (NameKind::Dns4, name),
            Protocol::Dns6(name) => (NameKind::Dns6, name),
            Protocol::Dnsaddr(name) => (NameKind::Dnsaddr, name),
            _ => return Err(AddressError::NotStar),
        };
        if is_dns_name(name) {
            Ok(Self::Name(kind, name.as_ref().into()))
        } else {
            Err(AddressError::InvalidHost)
        }
    }

    fn protocol(&self) -> Protocol<'_> {
        match self {
            Self::Ip4(ip) => Protocol::Ip4(*ip),
            Self::Ip6(ip) => Protocol::Ip6(*ip),
            Self::Name(NameKind::Dns, name) => Protocol::Dns(Cow::Borrowed(name)),
            Self::Name(NameKind::Dns4, name) => Protocol::Dns4(Cow::Borrowed(name)),
            Self::Name(NameKind::Dns6, name) => Protocol::Dns6(Cow::Borrowed(name)),
            Self::Name(NameKind::Dnsaddr, name) => Protocol::Dnsaddr(Cow::Borrowed(name)),
        }
    }
}

impl Security {
    fn of<'a, 'p>(
        protocols: &'a [Protocol<'p>],
    ) -> Result<(Self, &'a [Protocol<'p>]), AddressError> {
        match protocols {
            [Protocol::Ws(path), rest @ ..] if path == "/" => Ok((Self::Plain, rest)),
            [Protocol::Wss(path), rest @ ..] if path == "/" => Ok((Self::Tls, rest)),
            [Protocol::Tls, Protocol::Ws(path), rest @ ..] if path == "/" => Ok((Self::Tls, rest)),
            _ => Err(AddressError::NotStar),
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Plain => "ws",
            Self::Tls => "wss",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Plain => 80,
            Self::Tls => 443,
        }
    }
}

/// A name that needs no escaping in a URL: letters, digits, `-`, `_` and dots.
pub(crate) fn is_dns_name(name: &str) -> bool {
    let labels = name.strip_suffix('.').unwrap_or(name);
    labels.len() <= MAX_NAME_BYTES
        && labels.split('.').all(|label| {
            (1..=MAX_LABEL_BYTES).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

impl TryFrom<&Multiaddr> for StarAddress {
    type Error = AddressError;

    fn try_from(address: &Multiaddr) -> Result<Self, AddressError> {
        Self::from_protocols(&address.iter().collect::<Vec<_>>())
    }
}

impl FromStr for StarAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parts = parts::parse(text)?;
        let protocols: Vec<_> = parts.into_iter().map(|part| part.protocol).collect();
        Self::from_protocols(&protocols)
    }
}

impl PartialEq for StarAddress {
    fn eq(&self, other: &Self) -> bool {
        self.host == other.host
            && self.port() == other.port()
            && self.security == other.security
            && self.peer == other.peer
    }
}

impl Eq for StarAddress {}

impl Hash for StarAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.host, self.port(), self.security, self.peer).hash(state);
    }
}

impl fmt::Display for StarAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_multiaddr().fmt(f)
    }
}

impl fmt::Debug for StarAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StarAddress({self})")
    }
}
