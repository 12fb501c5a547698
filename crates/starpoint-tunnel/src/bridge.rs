//! TCP connections as messages: for channels that carry messages and no streams.

pub mod codec;
pub mod reassembly;
pub mod room;

mod driver;
mod ids;
mod line;
mod mux;
mod reason;

pub use driver::{
    BridgeError, CONNECT_DEADLINE, LocalStream, MessageChannel, Target, TcpTarget, client, host,
};
pub use ids::MAX_LINES;
pub use line::Read;
pub use mux::{
    ConfigError, Event, LineKey, Mux, MuxConfig, MuxCounters, OUTBOX_BYTES, OpenError, Role,
    STALL_DEADLINE, WriteError,
};
pub use reason::CloseReason;
