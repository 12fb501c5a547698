//! Calls of the native profile.

use data_encoding::BASE64;
use libp2p_identity::PeerId;

use super::{
    MAX_KEY_BYTES, MAX_NAMESPACES, MAX_SIGNATURE_BYTES, Namespace, PeerRecord, PipeToken, StarHost,
    record::PeerRecord as Record,
    wire::{self, DialWire, JoinWire, PeersWire, RefuseWire},
};
use crate::{
    call::{CallKind, EncodedCall},
    limits::MAX_ADDRESS_BYTES,
    names::{self, NativeCallName},
};

/// `star-join`, with everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinCall {
    /// Public key in libp2p's encoding, unread.
    pub key: Vec<u8>,
    /// Signature over [`to_bytes`](Self::to_bytes).
    pub signature: Vec<u8>,
    /// Host at which the client has dialed the star.
    pub host: StarHost,
    /// Where legacy peers dial this one; `None` for a visitor, who only dials.
    pub address: Option<String>,
    /// Namespaces to be in and to hear of; none for a visitor.
    pub namespaces: Vec<Namespace>,
    /// Where else the peer may be found, for those that it connects with.
    pub record: Option<PeerRecord>,
}

/// A call of the native profile, with arguments of the right form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `star-join`.
    Join(Box<JoinCall>),
    /// `star-leave`: the peer goes, and says so.
    Leave,
    /// `star-peers`: a page of a namespace.
    Peers {
        /// Which namespace.
        namespace: Namespace,
        /// The last peer of the page before.
        after: Option<PeerId>,
    },
    /// `star-dial`: connect to a peer by a pipe.
    Dial {
        /// Whom.
        to: PeerId,
        /// With what the caller opens its side; made by it, from a random source.
        token: PipeToken,
    },
    /// `star-refuse`: the caller does not want an inbound dial.
    Refuse {
        /// The token that came with it.
        token: PipeToken,
    },
}

impl Call {
    /// Decodes an event of this name; `json` is the array of the packet, the name
    /// in it. `None` when the arguments are missing, of the wrong type or too long.
    pub(crate) fn decode(name: NativeCallName, json: &str) -> Option<Self> {
        match name {
            NativeCallName::Join => join(wire::second(json)?),
            NativeCallName::Leave => Some(Self::Leave),
            NativeCallName::Peers => {
                let peers: PeersWire<'static> = wire::second(json)?;
                let after = match peers.after {
                    Some(after) => Some(after.parse().ok()?),
                    None => None,
                };
                let namespace = Namespace::parse(&peers.ns)?;
                Some(Self::Peers { namespace, after })
            }
            NativeCallName::Dial => {
                let dial: DialWire<'static> = wire::second(json)?;
                Some(Self::Dial {
                    to: dial.to.parse().ok()?,
                    token: PipeToken::parse(&dial.token)?,
                })
            }
            NativeCallName::Refuse => {
                let refuse: RefuseWire<'static> = wire::second(json)?;
                let token = PipeToken::parse(&refuse.token)?;
                Some(Self::Refuse { token })
            }
        }
    }

    /// Returns the event as a client sends it.
    pub fn encode(&self) -> EncodedCall {
        let (name, args) = match self {
            Self::Join(join) => (names::STAR_JOIN, wire::to_text(&[join.to_wire()])),
            Self::Leave => (names::STAR_LEAVE, "[]".to_owned()),
            Self::Peers { namespace, after } => {
                let peers = PeersWire {
                    ns: namespace.as_str().into(),
                    after: after.map(|peer| peer.to_base58().into()),
                };
                (names::STAR_PEERS, wire::to_text(&[peers]))
            }
            Self::Dial { to, token } => {
                let dial = DialWire {
                    to: to.to_base58().into(),
                    token: token.to_text().into(),
                };
                (names::STAR_DIAL, wire::to_text(&[dial]))
            }
            Self::Refuse { token } => {
                let refuse = RefuseWire {
                    token: token.to_text().into(),
                };
                (names::STAR_REFUSE, wire::to_text(&[refuse]))
            }
        };
        EncodedCall {
            name: name.into(),
            args,
            attachments: Vec::new(),
        }
    }

    /// Returns the kind of the call.
    pub fn kind(&self) -> CallKind {
        match self {
            Self::Join(_) => CallKind::StarJoin,
            Self::Leave => CallKind::StarLeave,
            Self::Peers { .. } => CallKind::StarPeers,
            Self::Dial { .. } => CallKind::StarDial,
            Self::Refuse { .. } => CallKind::StarRefuse,
        }
    }

    /// Returns the bytes that the call keeps alive beside its own size.
    pub fn weight(&self) -> usize {
        match self {
            Self::Join(join) => {
                join.key.len()
                    + join.signature.len()
                    + join.host.to_string().len()
                    + join.address.as_ref().map_or(0, String::len)
                    + join
                        .namespaces
                        .iter()
                        .map(|n| n.as_str().len())
                        .sum::<usize>()
                    + join.record.as_ref().map_or(0, |r| r.as_bytes().len())
            }
            Self::Peers { namespace, .. } => namespace.as_str().len(),
            Self::Leave | Self::Dial { .. } | Self::Refuse { .. } => 0,
        }
    }
}

fn join(join: JoinWire<'_>) -> Option<Call> {
    let is_long = |address: &str| address.len() > MAX_ADDRESS_BYTES;
    if join.namespaces.len() > MAX_NAMESPACES || join.address.as_deref().is_some_and(is_long) {
        return None;
    }
    let mut namespaces = Vec::with_capacity(join.namespaces.len());
    for name in &join.namespaces {
        let namespace = Namespace::parse(name)?;
        if !namespaces.contains(&namespace) {
            namespaces.push(namespace);
        }
    }
    let record = match join.record {
        Some(record) => {
            let bytes = wire::bytes(&record, super::MAX_RECORD_BYTES)?;
            Some(Record::new(&bytes)?)
        }
        None => None,
    };
    Some(Call::Join(Box::new(JoinCall {
        key: wire::bytes(&join.key, MAX_KEY_BYTES)?,
        signature: wire::bytes(&join.signature, MAX_SIGNATURE_BYTES)?,
        host: StarHost::parse(&join.host)?,
        address: join.address.map(Into::into),
        namespaces,
        record,
    })))
}

impl JoinCall {
    fn to_wire(&self) -> JoinWire<'_> {
        JoinWire {
            key: BASE64.encode(&self.key).into(),
            signature: BASE64.encode(&self.signature).into(),
            host: self.host.to_string().into(),
            address: self.address.as_deref().map(Into::into),
            namespaces: self.namespaces.iter().map(|n| n.as_str().into()).collect(),
            record: self
                .record
                .as_ref()
                .map(|record| BASE64.encode(record.as_bytes()).into()),
        }
    }
}
