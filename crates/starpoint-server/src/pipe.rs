//! Copies between the two WebSockets of a pipe: the hot path of the product.
//!
//! ```text
//!  socket a ──read──▶ buffer: [head|payload][head|payload]…
//!                       │ unmask and write the outgoing heads where they stand
//!                       ▼
//!  socket b ◀─write── [control frames] [head|payload]…          and the same back
//! ```
//!
//! One task for each pipe, one [buffer](Buffers) for each direction and only while
//! something is in it, no allocation and no copy for each frame. Nothing is read
//! while the other side does not take it.

mod batch;
mod buffers;
mod end;
mod finish;
mod rate;
mod relay;
mod settings;
mod way;

#[cfg(test)]
mod tests;

pub(crate) use buffers::Buffers;
pub(crate) use rate::Rate;
pub(crate) use relay::relay;
pub(crate) use settings::{PipeEnd, PipeReport, PipeSettings, PipeSide, PipeTimes};
