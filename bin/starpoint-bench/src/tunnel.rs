//! What the `tunnel` mode measures: a TCP service, and the ways to it.

pub(crate) mod door;
pub(crate) mod service;
pub(crate) mod way;
