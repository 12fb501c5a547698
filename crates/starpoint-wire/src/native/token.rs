//! What opens one side of a pipe.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;

/// A secret that opens one side of one pipe, once (R-DIAL-15): 256 bits, from a
/// random source.
///
/// Whoever has it takes that side, so it is shown to nobody and logged nowhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipeToken([u8; 32]);

impl PipeToken {
    /// Makes a token of random bytes.
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// Reads a token; `None` unless it is 32 bytes in base64 for URLs, unpadded.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 43 {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Returns the text that goes over the wire.
    pub fn to_text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }
}

impl fmt::Debug for PipeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PipeToken(…)")
    }
}
