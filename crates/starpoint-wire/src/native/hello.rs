//! What a star says first, signed.

use std::{fmt, time::Duration};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use libp2p_identity::{Keypair, PeerId, SigningError};
use starpoint_crypto::{Domain, Statement};

use super::{
    HostPattern, MAX_HOSTS, MAX_KEY_BYTES, MAX_SIGNATURE_BYTES, ProofError, StarHost, VERSION,
    wire::{self, HelloWire},
};
use crate::proof::read_key;

/// A challenge: 32 random bytes that one join may sign.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce32(pub [u8; 32]);

impl fmt::Debug for Nonce32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce32(…)")
    }
}

/// The client's part of the handshake: 16 random bytes that the star has to sign,
/// so that no hello of another connection passes for its own (R-NATIVE-12).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientNonce([u8; 16]);

impl ClientNonce {
    /// Makes a nonce of random bytes.
    pub fn from_random(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// Reads a nonce; `None` unless it is 16 bytes in base64 for URLs, unpadded.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Returns the text that goes into the query.
    pub fn to_text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }
}

impl fmt::Debug for ClientNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientNonce(…)")
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

/// The content of `star-hello`: the star's id, and what a join has to sign
/// (R-NATIVE-3).
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
    /// Every host at which the star may be dialed, by its operator's word; empty
    /// when the operator has named none. At most [`MAX_HOSTS`].
    pub hosts: Vec<HostPattern>,
}

impl Hello {
    /// Returns the bytes to sign for the connection with this nonce.
    pub fn to_bytes(&self, nonce: &ClientNonce) -> Vec<u8> {
        let mut statement = Statement::begin(Domain::Hello);
        statement
            .counted(&self.star.to_bytes())
            .fixed(&nonce.0)
            .fixed(&self.challenge.0)
            .fixed(&self.expires.to_be_bytes())
            .fixed(&[u8::from(self.openness == Openness::Open)])
            .fixed(&millis(self.grace).to_be_bytes())
            .list(self.hosts.iter().map(HostPattern::to_string));
        statement.into_bytes()
    }

    /// Signs the hello with the star's key, for the connection with this nonce.
    ///
    /// # Errors
    ///
    /// When the key cannot sign.
    pub fn sign(&self, key: &Keypair, nonce: &ClientNonce) -> Result<SignedHello, SigningError> {
        Ok(SignedHello {
            hello: self.clone(),
            key: key.public().encode_protobuf(),
            signature: key.sign(&self.to_bytes(nonce))?,
        })
    }

    /// Returns whether the operator has named hosts, and this one is none of them.
    pub fn denies(&self, host: &StarHost) -> bool {
        !self.hosts.is_empty() && !self.vouches_for(host)
    }

    /// Returns whether the operator has named this host.
    pub fn vouches_for(&self, host: &StarHost) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// Returns about how many bytes the event takes on the wire, signed.
    pub fn weight(&self) -> usize {
        let hosts = self.hosts.iter().map(|host| host.to_string().len() + 3);
        512 + hosts.sum::<usize>()
    }
}

/// A [`Hello`] as a client reads it: nothing in it is to be used before it is
/// [verified](Self::verify).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHello {
    hello: Hello,
    key: Vec<u8>,
    signature: Vec<u8>,
}

impl SignedHello {
    /// Returns the arguments of the event, the text of a JSON array.
    pub fn encode(&self) -> String {
        let hello = &self.hello;
        wire::to_text(&[HelloWire {
            v: VERSION,
            star: hello.star.to_base58().into(),
            challenge: BASE64.encode(&hello.challenge.0).into(),
            expires: hello.expires,
            open: hello.openness == Openness::Open,
            grace_ms: millis(hello.grace),
            hosts: hello.hosts.iter().map(|h| h.to_string().into()).collect(),
            key: BASE64.encode(&self.key).into(),
            signature: BASE64.encode(&self.signature).into(),
        }])
    }

    /// Reads the arguments of the event; `None` when they are none, or of another
    /// version.
    pub fn decode(args: &str) -> Option<Self> {
        let hello: HelloWire<'static> = wire::first(args)?;
        if hello.v != VERSION || hello.hosts.len() > MAX_HOSTS {
            return None;
        }
        let challenge = wire::bytes(&hello.challenge, 32)?;
        let hosts = hello.hosts.iter().map(|host| HostPattern::parse(host));
        Some(Self {
            key: wire::bytes(&hello.key, MAX_KEY_BYTES)?,
            signature: wire::bytes(&hello.signature, MAX_SIGNATURE_BYTES)?,
            hello: Hello {
                star: hello.star.parse().ok()?,
                challenge: Nonce32(challenge.try_into().ok()?),
                expires: hello.expires,
                openness: if hello.open {
                    Openness::Open
                } else {
                    Openness::Proven
                },
                grace: Duration::from_millis(hello.grace_ms),
                hosts: hosts.collect::<Option<_>>()?,
            },
        })
    }

    /// Returns what the star has signed, for the connection with this nonce.
    ///
    /// # Errors
    ///
    /// [`ProofError::Key`] when the key is not that of the id, or cannot be used;
    /// [`ProofError::Signature`] when the signature is of other bytes.
    pub fn verify(&self, nonce: &ClientNonce) -> Result<&Hello, ProofError> {
        let key = read_key(&self.key)?;
        if key.to_peer_id() != self.hello.star {
            return Err(ProofError::Key);
        }
        if key.verify(&self.hello.to_bytes(nonce), &self.signature) {
            Ok(&self.hello)
        } else {
            Err(ProofError::Signature)
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
