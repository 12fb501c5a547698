//! TCP connections as messages: for channels that carry messages and no streams,
//! such as a WebRTC data channel. The normative text is `spec/16-bridge.md`.
//!
//! ```text
//!  application ─► client ─┐                            ┌─ host ─► service
//!                driver   │   channel of messages      │  driver
//!                  │      └────────────────────────────┘    │
//!                 Mux ──── lines: CONNECT, DATA, CLOSE ─── Mux      pure
//!                  │                                        │
//!             Reassembly ── messages in order ── Reassembly         pure
//!                  │                                        │
//!                codec ─────────── frames ─────────────── codec     pure
//! ```
//!
//! [`client`] and [`host`] are the whole of a bridge. What they stand on has
//! neither IO nor clock, and can be driven by anything else.
//!
//! The frames are those of the reference, and so is what they can say to it: a
//! [`CLOSE`](codec::FrameEvent::Close) ends both directions, and nobody can ask
//! anybody to wait. Two sides of this crate recognize each other by the
//! [room] in their first words; then directions end each by itself, a slow
//! reader stops its writer and nobody else, and a line that is cut says why.
//!
//! # What may wait
//!
//! | queue | bound | when it is full |
//! |---|---|---|
//! | bytes of a line, to be sent | [`OUTBOX_BYTES`] | its connection is not read |
//! | bytes of a line, received | [`MuxConfig::window_bytes`] | the other side waits; if it cannot, the channel is not read, and after [`STALL_DEADLINE`] the line is cut |
//! | bytes of all lines, received | [`MuxConfig::untaken_bytes`] | the channel is not read; as above |
//! | frames out of order | [`ReassemblyLimits`](reassembly::ReassemblyLimits) | the line is cut |
//! | lines | [`MuxConfig::max_lines`] | one more is refused |
//! | words between lines and driver | 256 of all lines, 4 to each | they wait |

pub mod codec;
pub mod reassembly;
pub mod room;

mod driver;
mod ids;
mod line;
mod mux;
mod reason;

pub use driver::{
    BridgeError, CONNECT_DEADLINE, LocalStream, MessageChannel, Target, TcpTarget, accept_all,
    client, host,
};
pub use ids::MAX_LINES;
pub use line::Read;
pub use mux::{
    ConfigError, Event, LineKey, Mux, MuxConfig, MuxCounters, OUTBOX_BYTES, OpenError, Role,
    STALL_DEADLINE, WriteError,
};
pub use reason::CloseReason;
