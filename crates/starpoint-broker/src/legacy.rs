//! State of the legacy profile.

pub(crate) mod link;
pub(crate) mod sample;
