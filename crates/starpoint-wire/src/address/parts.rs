//! The text of an address, one protocol at a time.

use multiaddr::Protocol;

use super::AddressError;
use crate::limits::MAX_ADDRESS_BYTES;

/// White space to the original, and to it alone.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A protocol, and where the text names it.
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    /// Byte offset of the name in the text.
    pub(super) name_at: usize,
    pub(super) protocol: Protocol<'a>,
}

/// Parses as the original does: empty segments do not count, and neither does
/// white space at the end. White space and control characters elsewhere are
/// refused: they are part of no name, and end up in logs.
pub(super) fn parse(text: &str) -> Result<Vec<Part<'_>>, AddressError> {
    if text.len() > MAX_ADDRESS_BYTES {
        return Err(AddressError::TooLong);
    }
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if !text.starts_with('/') || has_gap(text) {
        return Err(AddressError::Malformed);
    }
    let mut segments = Segments::of(text);
    let mut parts = Vec::new();
    while let Some((name_at, name)) = segments.peek() {
        let protocol =
            Protocol::from_str_parts(&mut segments).map_err(|_| AddressError::Malformed)?;
        parts.push(Part {
            name,
            name_at,
            protocol,
        });
    }
    if parts.is_empty() {
        return Err(AddressError::Empty);
    }
    Ok(parts)
}

fn has_gap(text: &str) -> bool {
    text.trim_end()
        .contains(|c: char| c.is_whitespace() || c.is_control() || c == BYTE_ORDER_MARK)
}

/// What stands between the slashes.
pub(super) struct Segments<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            text: text.trim_end(),
            at: 0,
        }
    }

    /// Returns the next segment and its offset without consuming it.
    pub(super) fn peek(&self) -> Option<(usize, &'a str)> {
        let rest = self.text[self.at..].trim_start_matches('/');
        let start = self.text.len() - rest.len();
        let segment = rest.split('/').next().unwrap_or_default();
        (!segment.is_empty()).then_some((start, segment))
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (start, segment) = self.peek()?;
        self.at = start + segment.len();
        Some(segment)
    }
}
