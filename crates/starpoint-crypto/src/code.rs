//! Session codes: the text that a host hands to a client. It says where the host
//! is, its id, and a secret (R-TUNNEL-1).

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{domain::Domain, hash::hash, secret::Secret};

/// What every code begins with. The digit is the version.
const PREFIX: &str = "spt1";
const CHECKSUM_BYTES: usize = 4;
const MAX_STARS: usize = 4;
const MAX_STAR_BYTES: usize = 255;

/// Longest text of a code, in bytes. Longer text is refused unread.
pub const MAX_CODE_CHARS: usize = 2_048;

/// A session code. Its holder can ask the host to be let in.
///
/// `Display` writes the whole code, secret included; `Debug` leaves the secret out.
/// `FromStr` reads what `Display` writes.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    host: PeerId,
    stars: Vec<Multiaddr>,
    secret: Secret,
}

impl Code {
    /// Makes a code for a host that can be dialed at `stars`. Keeps the first four
    /// that have at most 255 bytes.
    pub fn new(host: PeerId, stars: impl IntoIterator<Item = Multiaddr>, secret: Secret) -> Self {
        let fits = |star: &Multiaddr| star.len() <= MAX_STAR_BYTES;
        let stars = stars.into_iter().filter(fits).take(MAX_STARS).collect();
        Self {
            host,
            stars,
            secret,
        }
    }

    /// Returns the host's id, which the connection to it proves.
    pub fn host(&self) -> PeerId {
        self.host
    }

    /// Returns the addresses of the host's stars, best first; at most four.
    pub fn stars(&self) -> &[Multiaddr] {
        &self.stars
    }

    /// Returns the secret. It never goes over the wire.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes: Zeroizing<Vec<u8>> = self.secret.bytes().to_vec().into();
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
        let (secret, mut rest) = bytes.split_first_chunk::<{ Secret::BYTES }>()?;
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
    let digest = hash(Domain::CodeChecksum, bytes);
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

/// Why a text is no code: mistyped, or damaged on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// It does not begin with `spt1`, or is longer than [`MAX_CODE_CHARS`].
    #[error("not a session code: those begin with `spt1`")]
    NotACode,
    /// It has a character that is not in the alphabet.
    #[error("not a session code: it has a letter that no code has")]
    Letters,
    /// The checksum does not match: a letter is wrong or missing.
    #[error("session code is damaged: letters are wrong or missing")]
    Checksum,
    /// The checksum matches, but the contents are not those of this version.
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

#[cfg(test)]
mod tests;
