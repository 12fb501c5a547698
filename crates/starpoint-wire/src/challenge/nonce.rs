//! The text that a peer has to sign.

use std::fmt;

use data_encoding::HEXLOWER;

/// Two version 4 UUIDs, one after the other: 72 ASCII characters (R-CHAL-1).
///
/// Good for one answer. `Debug` hides the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce(Box<str>);

impl Nonce {
    /// Makes a nonce of 32 random bytes, of which 244 bits are kept: version and
    /// variant of the two UUIDs take the other 12.
    pub fn from_random(random: [u8; 32]) -> Self {
        let mut text = String::with_capacity(72);
        for uuid in random.chunks_exact(16) {
            push_uuid(&mut text, uuid);
        }
        Self(text.into())
    }

    /// Checks a nonce that a star sent: two UUIDs of lower-case hex, one after the
    /// other, of any version. A peer signs nothing else (R-CHAL-1).
    pub fn parse(text: &str) -> Option<Self> {
        let is_nonce = text.len() == 72
            && text.bytes().enumerate().all(|(at, byte)| match at % 36 {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            });
        is_nonce.then(|| Self(text.into()))
    }

    /// Returns the text, which is what goes over the wire and what is signed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(..)")
    }
}

/// Writes 16 bytes as a UUID (RFC 9562, section 5.4).
fn push_uuid(text: &mut String, random: &[u8]) {
    for (index, &byte) in random.iter().enumerate() {
        let byte = match index {
            6 => (byte & 0x0f) | 0x40,
            8 => (byte & 0x3f) | 0x80,
            _ => byte,
        };
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        HEXLOWER.encode_append(&[byte], text);
    }
}
