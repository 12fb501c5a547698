//! The commands of a peer: `id`, `peers`, `ping`, `listen`, `connect`, `expose` and `open`.

mod approvals;
mod args;
mod failure;
mod pipe;
mod prompt;
mod raw;
mod report;
mod session_code;
mod setup;
mod stars;
mod status;
mod stdio;
mod tunnel;

pub(crate) mod connect;
pub(crate) mod expose;
pub(crate) mod id;
pub(crate) mod listen;
pub(crate) mod open;
pub(crate) mod peers;
pub(crate) mod ping;

/// What `listen` and `connect` speak; see [`pipe::Framing`].
const PIPE: starpoint_node::StreamProtocol =
    starpoint_node::StreamProtocol::new("/starpoint/pipe/1");
