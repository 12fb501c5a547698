//! Bytes to be signed.

use crate::domain::{Domain, Purpose};

/// Bytes to be signed: a domain, then fields that cannot run into each other.
///
/// ```
/// use starpoint_crypto::{Domain, Statement};
///
/// let mut statement = Statement::begin(Domain::Join);
/// statement.counted(b"peer").fixed(&[1]);
/// assert_eq!(statement.into_bytes(), b"/starpoint/join/1\x00\x04peer\x01");
/// ```
#[derive(Debug)]
pub struct Statement(Vec<u8>);

impl Statement {
    /// Begins a statement under a domain of [`Purpose::Signature`].
    pub fn begin(domain: Domain) -> Self {
        let purpose = domain.purpose();
        debug_assert_eq!(purpose, Purpose::Signature, "what begins is for signatures");
        Self(domain.bytes().to_vec())
    }

    /// Adds a field whose length the domain fixes.
    pub fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a field behind its length: two bytes, big-endian.
    ///
    /// # Panics
    ///
    /// When the field has more than 65 535 bytes.
    pub fn counted(&mut self, bytes: &[u8]) -> &mut Self {
        let len = u16::try_from(bytes.len()).expect("a signed field has at most 65 535 bytes");
        self.fixed(&len.to_be_bytes()).fixed(bytes)
    }

    /// Adds texts, each [`counted`](Self::counted), behind their number in two
    /// bytes.
    ///
    /// # Panics
    ///
    /// When there are more than 65 535 texts, or one is longer.
    pub fn list(&mut self, texts: impl ExactSizeIterator<Item = String>) -> &mut Self {
        let len = u16::try_from(texts.len()).expect("a signed list has at most 65 535 texts");
        self.fixed(&len.to_be_bytes());
        for text in texts {
            self.counted(text.as_bytes());
        }
        self
    }

    /// Returns the bytes to sign.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
