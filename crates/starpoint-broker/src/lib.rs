//! The brain of a star as a pure state machine.
//!
//! A [`Broker`] knows who is where, who has proved what, which connections are
//! being dialed, what flows to whom and how much may wait. It owns no socket,
//! clock or source of randomness: the driver tells it what happened and when, and
//! carries out what it answers.
//!
//! # The law of the loop
//!
//! After **every** call that takes `&mut Broker`, drain [`Broker::poll`] until it
//! returns [`Output::Wait`]; only then is the broker consistent. Call
//! [`Broker::handle_timeout`] at or after the time that it names.
//!
//! ```
//! # use std::time::Instant;
//! # use starpoint_broker::{Broker, Config, ConnId, Output, SourceId};
//! # fn drive(mut broker: Broker<impl rand_core::CryptoRng>, now: Instant) {
//! broker.connected(ConnId(1), SourceId(1), now);
//! loop {
//!     match broker.poll() {
//!         Output::Do(command) => { /* hand it to the sockets */ }
//!         Output::Wait(_next) => break,
//!     }
//! }
//! # }
//! ```
//!
//! # Architecture invariants
//!
//! - The broker never looks into a chunk: it cannot read what it carries.
//! - Everything that waits is bounded by [`quota`], whatever peers do.
//! - A peer is told of the end of every stream it reads, as it was: clean only if
//!   the writer ended it cleanly and every byte was handed over.

#![deny(missing_docs)]

mod account;
mod admission;
mod broker;
mod command;
mod config;
mod counters;
mod id;
mod message;
pub mod quota;

mod connection;
mod deadline;
mod directory;
mod link;
mod native;
mod outbox;
mod pipes;
mod roster;
mod spaces;
mod tally;

pub use broker::{Audit, Broker, Ending, Verdict};
pub use command::{CloseReason, Command, Output};
pub use config::{Challenge, Config};
pub use counters::{Counters, Gauges};
pub use id::{AckId, ConnId, LinkId, PipeId, PipeSide, ProofId, SourceId};
pub use message::Message;
