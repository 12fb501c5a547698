//! Names that the broker and its driver use for the same things.

/// One client connection. Chosen by the driver, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// The network that a connection comes from: an IPv4 address, or the /64 of an IPv6
/// address. Connections of one source share the limits of a source. Chosen by the
/// driver, which may forget a source that has no connections and no peers left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u64);

/// Number under which a client expects an acknowledgement. Chosen by the client,
/// so it may well repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckId(pub i64);

/// One dialed connection between two clients. Chosen by the broker, never used
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(crate) u64);

/// One pipe between two peers. Chosen by the broker, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipeId(pub(crate) u64);

/// One signature that is verified. Chosen by the broker, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProofId(pub u64);

/// One client that wants to open a side of a pipe. Chosen by the driver, never used
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArrivalId(pub u64);

/// Whose side of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PipeSide {
    /// The peer that dialed.
    Dialer,
    /// The peer that was dialed.
    Callee,
}
