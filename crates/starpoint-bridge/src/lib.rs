//! TCP connections over one channel of messages, such as a WebRTC data channel.
//!
//! A channel of messages has no streams of its own. This crate multiplexes many
//! connections, called *lines*, over one: it cuts their bytes into frames, puts
//! received frames back into order, and limits each line so that a slow reader
//! delays only its own line. `spec/16-bridge.md` is the normative text.
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
//! The pure part is always there and runs anywhere, browsers included: it has no
//! IO, clock or runtime, and time is a parameter. A caller with an event loop of
//! its own drives a [`Mux`]. Programs on tokio use the module `driver`, behind the
//! default feature of the same name: its `client` and `host` are the two sides of
//! a complete bridge.
//!
//! The frames are those of the original implementation, the *reference*, which can
//! neither limit a writer nor end one direction alone: a
//! [`CLOSE`](codec::FrameEvent::Close) ends both. Two sides of this crate recognize
//! each other by the [room] in their first messages. Between them, each direction
//! ends independently, the receiver grants room to the sender, and a line that is
//! cut says [why](CloseReason).
//!
//! # Reading order
//!
//! 1. [`codec`]: one message of the channel, [`codec::Frame`].
//! 2. [`reassembly`]: frames in any order to messages in order, within bounds.
//! 3. [`room`]: the flow control of a line.
//! 4. [`Mux`]: all lines of one side, with [`Event`] and [`Read`] as its output,
//!    [`MuxConfig`] as its settings and [`CloseReason`] for lines that are cut.
//! 5. `driver`: sockets and a channel, carried by tokio tasks.
//!
//! # Queues
//!
//! | queue | bound | when it is full |
//! |---|---|---|
//! | bytes of a line to be sent | [`OUTBOX_BYTES`] | its connection is not read |
//! | bytes of a line received | [`MuxConfig::window_bytes`] | the sender waits; a reference cannot, so the channel is not read, and after [`STALL_DEADLINE`] the line is cut |
//! | bytes of all lines received | [`MuxConfig::untaken_bytes`] | the channel is not read; after [`STALL_DEADLINE`] the fullest line is cut |
//! | frames out of order | [`ReassemblyLimits`](reassembly::ReassemblyLimits) | the line is cut |
//! | lines | [`MuxConfig::max_lines`] | a further line is refused |
//! | messages between line tasks and driver | 256 of all lines, 4 to each | the sender waits |

#![deny(missing_docs)]

pub mod codec;
pub mod reassembly;
pub mod room;

mod ids;
mod line;
mod mux;
mod reason;

#[cfg(feature = "driver")]
pub mod driver;

/// Bodies of the fuzz targets, not part of the API.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "../../../fuzz/bodies/bridge.rs"]
pub mod fuzzing;

pub use ids::MAX_LINES;
pub use line::Read;
pub use mux::{
    ConfigError, Event, LineKey, Mux, MuxConfig, MuxCounters, OUTBOX_BYTES, OpenError, Role,
    STALL_DEADLINE, WriteError,
};
pub use reason::CloseReason;
