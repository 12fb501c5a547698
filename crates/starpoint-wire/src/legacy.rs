//! The legacy profile: the historic protocol, byte for byte.
//!
//! A client sends a [`Call`]; the star sends an [`Event`], and a [`Reply`] to a call
//! that carries an acknowledgement. Each type encodes and decodes: a star reads calls
//! strictly, a client reads what JavaScript stars write. The normative text is
//! `spec/01-events.md`.

mod answer;
mod args;
mod call;
mod event;
mod reply;

pub use answer::{CalleeAnswer, encode_callee_answer};
pub use call::Call;
pub use event::{Event, EventError};
pub use reply::{DialReply, JoinReply, MAX_LISTED_PEERS, Reply};

pub(crate) use args::Arguments;

#[cfg(test)]
mod tests;
