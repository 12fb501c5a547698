//! The brain of a star as a pure state machine.
//!
//! A [`Broker`] knows who is where, who has proved what, which connections are
//! being dialed, what flows to whom and how much may wait. It owns no socket,
//! clock or source of randomness: the driver tells it what happened and when, and
//! carries out what it answers.
//!
//! # The law of the loop
//!
//! After **every** [`Broker::handle`], drain [`Broker::poll`] until it returns
//! [`Output::Wait`]; only then is the broker consistent. [`Input::Timeout`] is due at
//! the time that it names.
//!
//! ```
//! # use std::time::Instant;
//! # use starpoint_broker::{Broker, ConnId, Input, Offer, Output, SourceId};
//! # fn drive(mut broker: Broker<impl rand_core::CryptoRng>, now: Instant) {
//! let (conn, source, offer) = (ConnId(1), SourceId(1), Offer::Legacy);
//! broker.handle(Input::Connected { conn, source, offer }, now);
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
mod input;
mod message;
pub mod quota;

mod connection;
mod deadline;
mod directory;
mod legacy;
mod native;
mod outbox;
mod tally;

pub use broker::{Audit, Broker, Ending, Verdict};
pub use command::{CloseReason, Command, Output};
pub use config::{Challenge, Config};
pub use counters::{Counters, Gauges};
pub use id::{AckId, ArrivalId, ConnId, LinkId, PipeId, PipeSide, ProofId, SourceId};
pub use input::{Input, Offer};
pub use message::Message;
