//! Names of the groups in which peers see each other.

use std::{fmt, sync::Arc};

use super::MAX_NAMESPACE_BYTES;

/// A namespace: 1 to [`MAX_NAMESPACE_BYTES`] letters, digits and `. _ - / :`
/// (R-NATIVE-6). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Name of the namespace in which legacy peers are.
    pub const DEFAULT: &str = "default";

    /// Checks a name.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=MAX_NAMESPACE_BYTES).contains(&text.len());
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:".contains(&b);
        (fits && text.bytes().all(is_plain)).then(|| Self(text.into()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    /// Returns the namespace in which legacy peers are.
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
