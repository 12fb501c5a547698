//! The commands. Each has its arguments, `RawArgs`, and `execute`.
//!
//! Commands do not depend on each other: what `listen` and `connect` share is in
//! [`pipe`], what `expose` and `open` share in [`tunnel`].

mod pipe;
mod tunnel;

pub(crate) mod connect;
pub(crate) mod expose;
pub(crate) mod id;
pub(crate) mod listen;
pub(crate) mod open;
pub(crate) mod peers;
pub(crate) mod ping;
pub(crate) mod serve;
