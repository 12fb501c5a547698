//! Connections of the native profile: the star speaks Socket.IO itself here.
//!
//! A client that offers the profile and takes WebSocket needs none of what makes
//! the library's connections large: no polling, no namespaces, no handlers. The
//! star owns both ends of its queue, so it knows what is written, and stops reading
//! by not reading.
//!
//! ```text
//!  http ── connection ── packet ── session ── star ── broker
//!               └─────── outgoing ◄────────────┘
//! ```

mod connection;
mod fragments;
mod metered;
mod outgoing;
pub(crate) mod packet;

pub(crate) use connection::{Connection, Engine, Greeter};
pub(crate) use outgoing::Outgoing;
