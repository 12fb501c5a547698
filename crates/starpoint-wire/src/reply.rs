//! Errors of replies, in both profiles.

/// An answer cannot be read: the star's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// Not an array of arguments of the right types.
    #[error("malformed answer")]
    Malformed,
    /// The challenge is not of the form that stars give (R-CHAL-1). Signing it
    /// could sign something else.
    #[error("malformed challenge")]
    Challenge,
}
