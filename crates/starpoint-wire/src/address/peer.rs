//! Addresses as peers send them.

use std::{fmt, sync::Arc};

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

use super::{
    AddressError, AddressKey, AddressRule,
    parts::{self, Part, Segments},
};

/// The protocols that the original star and its peers can parse, and read as we
/// do: `garlic64`, `ip6zone` and `unix` they know as well, but not like this.
///
/// An address with any other would be announced to peers that throw on it.
const HISTORIC_PROTOCOLS: [&str; 26] = [
    "dccp",
    "dns",
    "dns4",
    "dns6",
    "dnsaddr",
    "http",
    "https",
    "ip4",
    "ip6",
    "ipfs",
    "onion",
    "onion3",
    "p2p",
    "p2p-circuit",
    "p2p-stardust",
    "p2p-webrtc-direct",
    "p2p-webrtc-star",
    "p2p-websocket-star",
    "quic",
    "sctp",
    "tcp",
    "udp",
    "udt",
    "utp",
    "ws",
    "wss",
];

/// How a text names the protocol of a peer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerSpelling {
    /// `/ipfs/<id>`: what the original peers write and understand.
    Ipfs,
    /// `/p2p/<id>`: what is written today.
    P2p,
}

impl PeerSpelling {
    /// Returns the name of the protocol, without slashes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipfs => "ipfs",
            Self::P2p => "p2p",
        }
    }

    fn of(name: &str) -> Self {
        if name == Self::P2p.as_str() {
            Self::P2p
        } else {
            Self::Ipfs
        }
    }
}

/// An address that a peer has sent: the text as it came, and what it means.
///
/// Equal are addresses of the same text; what the star compares are the
/// [keys](Self::key). Cheap to clone.
#[derive(Clone)]
pub struct PeerAddress(Arc<Inner>);

struct Inner {
    text: Box<str>,
    key: AddressKey,
    peer: Option<PeerId>,
    spelling: PeerSpelling,
    /// Byte offsets of the names in front of peer ids.
    peer_names: Box<[usize]>,
}

impl PeerAddress {
    /// Parses an address of at most
    /// [`MAX_ADDRESS_BYTES`](crate::limits::MAX_ADDRESS_BYTES) (R-ADDR-3).
    ///
    /// # Errors
    ///
    /// [`AddressError`] when the text is too long, empty, no multiaddr that the
    /// original can parse, or not what `rule` asks for.
    pub fn parse(text: &str, rule: AddressRule) -> Result<Self, AddressError> {
        let parts = parts::parse(text)?;
        if !parts
            .iter()
            .all(|part| HISTORIC_PROTOCOLS.contains(&part.name))
        {
            return Err(AddressError::Malformed);
        }
        match rule {
            AddressRule::StarOnly if !is_star(&parts) => return Err(AddressError::NotStar),
            AddressRule::AnyMultiaddr | AddressRule::StarOnly => {}
        }
        let peer_names: Vec<&Part<'_>> = parts
            .iter()
            .filter(|part| peer_of(part).is_some())
            .collect();
        let inner = Inner {
            text: text.into(),
            peer: parts.last().and_then(peer_of),
            spelling: peer_names
                .last()
                .map_or(PeerSpelling::Ipfs, |part| PeerSpelling::of(part.name)),
            peer_names: peer_names.iter().map(|part| part.name_at).collect(),
            key: AddressKey::of(
                &parts
                    .into_iter()
                    .map(|part| part.protocol)
                    .collect::<Multiaddr>(),
            ),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Returns the text exactly as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Returns what the address is compared by.
    pub fn key(&self) -> &AddressKey {
        &self.0.key
    }

    /// Returns the peer that the address belongs to: the peer id at its end
    /// (R-ADDR-5).
    ///
    /// An address that goes on behind the last id belongs to nobody: the original
    /// peers throw when such a one is announced to them.
    pub fn peer(&self) -> Option<PeerId> {
        self.0.peer
    }

    /// Returns whether original peers can be told of the address: one that has a
    /// peer id ends with it (R-PEER-8).
    pub fn is_announceable(&self) -> bool {
        self.0.peer.is_some() || self.0.peer_names.is_empty()
    }

    /// Returns how the sender spells the last peer id; without one, the old way.
    pub fn spelling(&self) -> PeerSpelling {
        self.0.spelling
    }

    /// Returns the address for a reader of `spelling`: the text that was sent with
    /// its peer ids named that way, and without empty segments and white space at
    /// the end, on which the original peers throw (R-ADDR-2).
    pub fn spelled(&self, spelling: PeerSpelling) -> String {
        let mut spelled = String::with_capacity(self.as_str().len() + 1);
        let mut segments = Segments::of(self.as_str());
        while let Some((at, segment)) = segments.peek() {
            let is_peer_name = self.0.peer_names.contains(&at);
            spelled.push('/');
            spelled.push_str(if is_peer_name {
                spelling.as_str()
            } else {
                segment
            });
            segments.next();
        }
        spelled
    }
}

impl PartialEq for PeerAddress {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for PeerAddress {}

impl fmt::Debug for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerAddress({:?})", self.as_str())
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn peer_of(part: &Part<'_>) -> Option<PeerId> {
    if let Protocol::P2p(peer) = part.protocol {
        Some(peer)
    } else {
        None
    }
}

/// The form that the original's address filter matches.
fn is_star(parts: &[Part<'_>]) -> bool {
    let [host, rest @ ..] = parts else {
        return false;
    };
    let (is_ip, is_name) = match host.name {
        "ip4" | "ip6" => (true, false),
        "dns" | "dns4" | "dns6" | "dnsaddr" => (false, true),
        _ => (false, false),
    };
    let names: Vec<&str> = rest.iter().map(|part| part.name).collect();
    let behind_port = match names.as_slice() {
        ["tcp", rest @ ..] if is_ip || is_name => rest,
        rest if is_name => rest,
        _ => return false,
    };
    matches!(
        behind_port,
        ["ws" | "wss", "p2p-websocket-star"] | ["ws" | "wss", "p2p-websocket-star", "ipfs" | "p2p"]
    )
}
