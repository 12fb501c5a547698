//! Why a pipe is closed.

/// Status of a close frame in a pipe: RFC 6455, section 7.4, and what a star
/// adds in the range for private use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PipeClose {
    /// Both directions have ended; every byte was handed over.
    Done,
    /// A peer gave the pipe up before both directions had ended.
    Reset,
    /// The other peer has vanished, or is of no more use to the star.
    Lost,
    /// The star shuts down.
    ShuttingDown,
    /// The peer that is told so has broken the protocol.
    Malformed,
    /// The peer that is told so was silent, or took nothing, for too long.
    Idle,
    /// The star carries no more for this pipe.
    Limit,
}

impl PipeClose {
    /// All of them, in the order of their statuses.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Reset,
        Self::Lost,
        Self::ShuttingDown,
        Self::Malformed,
        Self::Idle,
        Self::Limit,
    ];

    /// Returns the status.
    pub fn status(self) -> u16 {
        match self {
            Self::Done => 1000,
            Self::Reset => 4000,
            Self::Lost => 4001,
            Self::ShuttingDown => 4002,
            Self::Malformed => 4003,
            Self::Idle => 4004,
            Self::Limit => 4005,
        }
    }

    /// Returns the one with this status.
    pub fn from_status(status: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|close| close.status() == status)
    }
}
