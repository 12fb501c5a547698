//! TCP connections as messages: for channels that carry messages and no streams.

pub mod codec;
pub mod reassembly;
pub mod room;

mod ids;
mod reason;

pub use ids::MAX_LINES;
pub use reason::CloseReason;
