//! Interoperation with the original JavaScript programs.
//!
//! The tests of this package run the unmodified npm packages
//! `libp2p-websocket-star`, `socket.io-client` and
//! `libp2p-websocket-star-rendezvous`, at the versions of `js/package-lock.json`,
//! against what is under test: the star, and the peers written in Rust. They need
//! Node.js 20 or newer with npm, and fail without; the first run installs the
//! packages.
//!
//! * `js/scenarios` has one script for each thing that peers do. A script prints
//!   facts, one line of JSON each; the Rust tests judge them.
//! * `js/traces` has conversations frame by frame, as they were recorded between
//!   the original programs, with names for what differs from run to run. Where
//!   the star is stricter than the original, a trace has the star's answer and
//!   says so.
//! * `js/lib` has what the scripts share: the two kinds of peers, identities,
//!   test data, and a player of traces.

#![deny(missing_docs)]

mod certificate;
mod project;
mod scenario;

pub use certificate::Certificate;
pub use project::js_project;
pub use scenario::{Facts, Running, Scenario};
