//! What a host hands to a client: where it is, who it is, and a secret.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use starpoint_node::{Multiaddr, PeerId};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

/// What every code begins with. The digit is the version.
const PREFIX: &str = "spt1";
const CHECKSUM_BYTES: usize = 4;
const SECRET_BYTES: usize = 16;
const MAX_STARS: usize = 4;
const MAX_STAR_BYTES: usize = 255;
/// No code is longer, in characters; longer text is not even looked at.
pub const MAX_CODE_CHARS: usize = 2_048;

/// First bytes of what is hashed; changed whenever the rest is.
const CHECKSUM_DOMAIN: &[u8] = b"starpoint-tunnel-code-1\0";
const ID_DOMAIN: &[u8] = b"starpoint-tunnel-session-1\0";
const PROOF_DOMAIN: &[u8] = b"starpoint-tunnel-join-1\0";

/// A session code. Whoever has it can ask the host to be let in.
///
/// `Display` shows the secret; `Debug` does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    host: PeerId,
    stars: Vec<Multiaddr>,
    secret: Secret,
}

impl Code {
    /// Makes a code for a host that can be dialed at `stars`, of which the first
    /// four are kept.
    pub fn new(host: PeerId, stars: impl IntoIterator<Item = Multiaddr>, secret: Secret) -> Self {
        let fits = |star: &Multiaddr| star.len() <= MAX_STAR_BYTES;
        let stars = stars.into_iter().filter(fits).take(MAX_STARS).collect();
        Self {
            host,
            stars,
            secret,
        }
    }

    /// Returns who the host is, which the connection to it proves.
    pub fn host(&self) -> PeerId {
        self.host
    }

    /// Returns the stars at which the host is, best first.
    pub fn stars(&self) -> &[Multiaddr] {
        &self.stars
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes: Zeroizing<Vec<u8>> = self.secret.0.to_vec().into();
        let mut field = |field: &[u8]| {
            bytes.push(u8::try_from(field.len()).expect("fields are checked when they are set"));
            bytes.extend_from_slice(field);
        };
        field(&self.host.to_bytes());
        self.stars.iter().for_each(|star| field(star.as_ref()));
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (secret, mut rest) = bytes.split_first_chunk::<SECRET_BYTES>()?;
        let host = PeerId::from_bytes(field(&mut rest)?).ok()?;
        let mut stars = Vec::new();
        while !rest.is_empty() {
            if stars.len() == MAX_STARS {
                return None;
            }
            stars.push(Multiaddr::try_from(field(&mut rest)?.to_vec()).ok()?);
        }
        Some(Self {
            host,
            stars,
            secret: Secret::new(*secret),
        })
    }
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first()?;
    let (field, tail) = tail.split_at_checked(usize::from(*length))?;
    *rest = tail;
    Some(field)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new()
        .chain_update(CHECKSUM_DOMAIN)
        .chain_update(bytes)
        .finalize();
    *digest.first_chunk().expect("a digest is longer")
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = BASE32_NOPAD.encode(&self.to_bytes());
        text.make_ascii_lowercase();
        write!(f, "{PREFIX}{text}")?;
        text.zeroize();
        Ok(())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code")
            .field("host", &self.host)
            .field("stars", &self.stars)
            .finish_non_exhaustive()
    }
}

/// Why a text is no code. The one who typed it is at fault, or the way it was
/// handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// It does not begin as codes do, or is far too long.
    #[error("not a session code: those begin with `spt1`")]
    NotACode,
    /// It has a character that no code has.
    #[error("not a session code: it has a letter that no code has")]
    Letters,
    /// A letter is wrong or missing.
    #[error("session code is damaged: letters are wrong or missing")]
    Checksum,
    /// It is whole and makes no sense: of another version.
    #[error("session code of an unknown kind")]
    Contents,
}

impl FromStr for Code {
    type Err = CodeError;

    /// Reads a code; blanks, line breaks and the case of letters do not matter.
    fn from_str(text: &str) -> Result<Self, CodeError> {
        if text.len() > MAX_CODE_CHARS {
            return Err(CodeError::NotACode);
        }
        let compact = |c: char| (!c.is_whitespace()).then(|| c.to_ascii_uppercase());
        let text = Zeroizing::new(text.chars().filter_map(compact).collect::<String>());
        let text = text
            .strip_prefix(&PREFIX.to_ascii_uppercase())
            .ok_or(CodeError::NotACode)?;
        let is_letter = |c: char| matches!(c, 'A'..='Z' | '2'..='7');
        if !text.chars().all(is_letter) {
            return Err(CodeError::Letters);
        }
        let decoded = BASE32_NOPAD.decode(text.as_bytes());
        let bytes = Zeroizing::new(decoded.map_err(|_| CodeError::Checksum)?);
        let (body, sum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(CodeError::Checksum)?;
        if checksum(body) != *sum {
            return Err(CodeError::Checksum);
        }
        Self::from_bytes(body).ok_or(CodeError::Contents)
    }
}

/// What a client proves to have. 128 bits; wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

impl Secret {
    /// Makes a secret out of random bytes; anything that can be guessed is none.
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// Returns the public name of the session. Who does not have the secret cannot
    /// name the session, and so cannot even use up its attempts.
    pub(crate) fn session(&self) -> SessionId {
        let digest = Sha256::new()
            .chain_update(ID_DOMAIN)
            .chain_update(*self.0)
            .finalize();
        SessionId(*digest.first_chunk().expect("a digest is longer"))
    }

    /// Returns what `client` shows to `host`. It is worth nothing to anybody else:
    /// both are proved by the connection.
    pub(crate) fn proof(&self, client: &PeerId, host: &PeerId) -> Proof {
        Proof(self.mac(client, host).finalize().into_bytes().into())
    }

    /// Checks a proof, in constant time.
    pub(crate) fn verifies(&self, proof: &Proof, client: &PeerId, host: &PeerId) -> bool {
        self.proof(client, host).0.ct_eq(&proof.0).into()
    }

    fn mac(&self, client: &PeerId, host: &PeerId) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&*self.0);
        let mut mac = mac.expect("a key of any length will do");
        mac.update(PROOF_DOMAIN);
        for id in [client.to_bytes(), host.to_bytes()] {
            let length = u8::try_from(id.len()).expect("an id is short");
            mac.update(&[length]);
            mac.update(&id);
        }
        mac
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The public name of a session: a hash of its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub(crate) [u8; SessionId::BYTES]);

impl SessionId {
    /// Its length on the wire.
    pub const BYTES: usize = 8;
}

/// What a client shows for having the secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proof(pub(crate) [u8; Proof::BYTES]);

impl Proof {
    /// Its length on the wire.
    pub const BYTES: usize = 32;
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof")
    }
}

#[cfg(test)]
mod tests;
