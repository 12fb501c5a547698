//! A pipe: one WebSocket of each of two peers, joined by the star (R-PIPE-1).
//!
//! What a peer and a star say to each other once the pipe is open: bytes in
//! binary frames, the text frame [`END`] when one direction ends, and a close
//! frame with a [`PipeClose`]. [`PipeDecoder`] reads both sides of it;
//! [`write_head`] and [`mask`] write it.

mod close;
mod decoder;
mod frame;
mod mask;

#[cfg(test)]
mod tests;

pub use close::PipeClose;
pub use decoder::{ControlPayload, PipeDecoder, PipeItem, PipeStep, PipeViolation};
pub use frame::{MAX_HEAD_BYTES, Opcode, PipeSender, frame_head, head_bytes, write_head};
pub use mask::{copy_masked, mask};

/// Payload of the text frame that ends one direction.
pub const END: &[u8] = b"end";

/// Longest payload of a control frame, in bytes: RFC 6455, section 5.5.
pub const MAX_CONTROL_BYTES: usize = 125;
