//! The rules of a star connection, without sockets, clock or randomness.

pub(crate) mod backoff;
pub(crate) mod home;
pub(crate) mod link;
pub(crate) mod presence;
pub(crate) mod roster;
pub(crate) mod star;
pub(crate) mod wake;
