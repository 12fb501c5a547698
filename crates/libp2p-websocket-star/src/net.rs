//! Carries the machine's input and output: connections, streams, timers.

mod accept;
mod alarm;
mod bell;
mod driver;
mod held;
mod pipes;
mod relayed;
mod session;
mod stream;

pub use accept::Accept;
pub use stream::Stream;

pub(crate) use driver::{Dial, Driver, DriverId, Notice, Outlets, Report};
pub(crate) use held::{Finishing, OpenPipes};
pub(crate) use session::DialReply;
