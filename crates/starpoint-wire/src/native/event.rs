//! Events of the native profile.

use std::sync::Arc;

use data_encoding::BASE64;
use libp2p_identity::PeerId;

use super::{
    MAX_ENTRIES, Namespace, PeerRecord, PipeToken, SignedHello,
    wire::{self, BatchWire, IncomingWire},
};
use crate::names;

/// `star-presence`: what has changed in a namespace since the batch before
/// (R-PRES-4). Written once, whoever it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceBatch {
    /// Which namespace.
    pub namespace: Namespace,
    /// Number of the batch, one above that of the batch before.
    pub seq: u64,
    /// Who has come, in base58.
    pub joined: Vec<Arc<str>>,
    /// Who has gone.
    pub left: Vec<Arc<str>>,
    /// Whether the reader has missed a batch and has to ask for the whole.
    pub sync: Sync,
}

/// Whether a batch goes on from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It does.
    InOrder,
    /// The star has left batches out for this reader: what it knows is of no more
    /// use.
    Lost,
}

impl PresenceBatch {
    fn args(&self) -> String {
        let texts = |ids: &'_ [Arc<str>]| ids.iter().map(|id| id.to_string().into()).collect();
        wire::to_text(&[BatchWire {
            ns: self.namespace.as_str().into(),
            seq: self.seq,
            joined: texts(&self.joined),
            left: texts(&self.left),
            resync: self.sync == Sync::Lost,
        }])
    }

    fn decode(args: &str) -> Option<Self> {
        let batch: BatchWire<'static> = wire::first(args)?;
        if batch.joined.len() > MAX_ENTRIES || batch.left.len() > MAX_ENTRIES {
            return None;
        }
        let texts =
            |ids: &[std::borrow::Cow<'_, str>]| ids.iter().map(|id| (&**id).into()).collect();
        Some(Self {
            namespace: Namespace::parse(&batch.ns)?,
            seq: batch.seq,
            joined: texts(&batch.joined),
            left: texts(&batch.left),
            sync: if batch.resync {
                Sync::Lost
            } else {
                Sync::InOrder
            },
        })
    }
}

/// An event from a star to a native client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `star-hello`, not verified.
    Hello(Box<SignedHello>),
    /// `star-presence`.
    Presence(PresenceBatch),
    /// `star-incoming`.
    Incoming {
        /// Who dials, by the star's word.
        from: PeerId,
        /// What opens this side.
        token: PipeToken,
        /// Where else the dialer may be found, unchecked.
        record: Option<PeerRecord>,
    },
}

/// An event written once for all its receivers. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEvent {
    /// Name of the event.
    pub name: &'static str,
    /// The arguments without the name, as the text of a JSON array.
    pub args: Arc<str>,
}

impl EncodedEvent {
    /// Returns about how many bytes the event takes on the wire.
    pub fn weight(&self) -> usize {
        32 + self.args.len()
    }
}

impl Event {
    /// Encodes the event as [`decode`](Self::decode) reads it.
    pub fn encode(&self) -> EncodedEvent {
        let (name, args) = match self {
            Self::Hello(hello) => (names::STAR_HELLO, hello.encode()),
            Self::Presence(batch) => (names::STAR_PRESENCE, batch.args()),
            Self::Incoming {
                from,
                token,
                record,
            } => {
                let incoming = IncomingWire {
                    from: from.to_base58().into(),
                    token: token.to_text().into(),
                    record: record
                        .as_ref()
                        .map(|record| BASE64.encode(record.as_bytes()).into()),
                };
                (names::STAR_INCOMING, wire::to_text(&[incoming]))
            }
        };
        EncodedEvent {
            name,
            args: args.into(),
        }
    }

    /// Decodes an event; `args` is the JSON array without the name. `None` when it
    /// is none of the profile, or cannot be read.
    pub fn decode(name: &str, args: &str) -> Option<Self> {
        match name {
            names::STAR_HELLO => Some(Self::Hello(Box::new(SignedHello::decode(args)?))),
            names::STAR_PRESENCE => PresenceBatch::decode(args).map(Self::Presence),
            names::STAR_INCOMING => {
                let incoming: IncomingWire<'static> = wire::first(args)?;
                Some(Self::Incoming {
                    from: incoming.from.parse().ok()?,
                    token: PipeToken::parse(&incoming.token)?,
                    record: incoming
                        .record
                        .and_then(|text| wire::bytes(&text, super::MAX_RECORD_BYTES))
                        .and_then(|bytes| PeerRecord::new(&bytes)),
                })
            }
            _ => None,
        }
    }
}
