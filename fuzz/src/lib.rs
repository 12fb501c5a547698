//! The bodies of the fuzz targets, one module for each crate.
//!
//! A body takes any bytes and panics when something does not hold that holds for
//! every input. The bodies are in `bodies/<crate>.rs`, and each file is a module of
//! the crate it tests, behind that crate's feature `fuzzing`: so it reaches private
//! items, and the crate's unit tests replay the corpora (`replay.rs`).
//!
//! A target `fuzz_targets/<crate>_<what>.rs` calls the body `<crate>::<what>` and has
//! its inputs in `corpus/<crate>_<what>/`.

pub use libp2p_websocket_star::fuzzing as transport;
pub use starpoint_bridge::fuzzing as bridge;
pub use starpoint_crypto::fuzzing as crypto;
pub use starpoint_server::fuzzing as server;
pub use starpoint_sio::fuzzing as sio;
pub use starpoint_tunnel::fuzzing as tunnel;
pub use starpoint_wire::fuzzing as wire;
