//! What a star says first.

use std::{fmt, time::Duration};

use data_encoding::BASE64;
use libp2p_identity::PeerId;

use super::{
    VERSION,
    wire::{self, HelloWire},
};

/// A challenge: 32 random bytes that one join may sign.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce32(pub [u8; 32]);

impl fmt::Debug for Nonce32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce32(…)")
    }
}

/// Whether the legacy peers of a star have to prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openness {
    /// Every peer proves who it is.
    Proven,
    /// Legacy peers may have any address, that of a native peer included.
    Open,
}

/// `star-hello`: who the star is, and what a join has to sign (R-NATIVE-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The star's own id.
    pub star: PeerId,
    /// What to sign; for one join on this connection.
    pub challenge: Nonce32,
    /// Until when the challenge can be answered, in seconds of Unix time by the
    /// star's clock. It is signed as it is, so the clocks need not agree.
    pub expires: u64,
    /// Whether legacy peers are challenged.
    pub openness: Openness,
    /// How long a peer whose connection breaks is kept as being here.
    pub grace: Duration,
}

impl Hello {
    /// Returns the arguments of the event.
    pub fn encode(&self) -> String {
        wire::to_text(&[HelloWire {
            v: VERSION,
            star: self.star.to_base58().into(),
            challenge: BASE64.encode(&self.challenge.0).into(),
            expires: self.expires,
            open: self.openness == Openness::Open,
            grace_ms: u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX),
        }])
    }

    /// Reads the arguments of the event; `None` when they are none, or of another
    /// version.
    pub fn decode(args: &str) -> Option<Self> {
        let hello: HelloWire<'static> = wire::first(args)?;
        if hello.v != VERSION {
            return None;
        }
        let challenge = wire::bytes(&hello.challenge, 32)?;
        Some(Self {
            star: hello.star.parse().ok()?,
            challenge: Nonce32(challenge.try_into().ok()?),
            expires: hello.expires,
            openness: if hello.open {
                Openness::Open
            } else {
                Openness::Proven
            },
            grace: Duration::from_millis(hello.grace_ms),
        })
    }
}
