//! Why a line is cut: what the last word on it says (R-BRIDGE-9).

/// Why a line ends before both directions have ended. The code is the payload of
/// the CLOSE; the reference sends none, and does not look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The connection behind the line broke.
    #[error("the connection was reset")]
    Reset,
    /// The target refused the connection.
    #[error("the target refused the connection")]
    Refused,
    /// The target was not reached in time.
    #[error("the target was not reached")]
    Unreachable,
    /// There are as many lines as there may be.
    #[error("too many lines")]
    Busy,
    /// A frame of the line could not be read, or came when it must not.
    #[error("the line broke the protocol")]
    Malformed,
    /// More came than there was room for.
    #[error("more was sent than there was room for")]
    Flood,
    /// More of the line was out of order than may wait.
    #[error("too much of the line was out of order")]
    Overflow,
    /// Something of the line did not come in time.
    #[error("a part of the line is missing")]
    Expired,
    /// The reader takes nothing and holds all others up.
    #[error("the reader takes nothing")]
    Stalled,
    /// The bridge ends.
    #[error("the bridge ends")]
    Stopped,
}

impl CloseReason {
    /// All reasons, in the order of the specification.
    pub const ALL: [Self; 10] = [
        Self::Reset,
        Self::Refused,
        Self::Unreachable,
        Self::Busy,
        Self::Malformed,
        Self::Flood,
        Self::Overflow,
        Self::Expired,
        Self::Stalled,
        Self::Stopped,
    ];

    /// Returns the code, stable for ever.
    pub fn code(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Busy => "busy",
            Self::Malformed => "malformed",
            Self::Flood => "flood",
            Self::Overflow => "overflow",
            Self::Expired => "expired",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
        }
    }

    /// Reads the payload of a CLOSE: none when it is empty, and
    /// [`Reset`](Self::Reset) for a code of a later version.
    pub fn from_payload(payload: &[u8]) -> Option<Self> {
        let known = |reason: &Self| reason.code().as_bytes() == payload;
        match payload {
            [] => None,
            _ => Some(Self::ALL.into_iter().find(known).unwrap_or(Self::Reset)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_bridge_9_codes_are_frozen() {
        let codes = CloseReason::ALL.map(CloseReason::code).join(" ");
        assert_eq!(
            codes,
            "reset refused unreachable busy malformed flood overflow expired stalled stopped"
        );
        for reason in CloseReason::ALL {
            let read = CloseReason::from_payload(reason.code().as_bytes());
            assert_eq!(read, Some(reason));
        }
        assert_eq!(CloseReason::from_payload(b""), None);
        assert_eq!(
            CloseReason::from_payload(b"later"),
            Some(CloseReason::Reset)
        );
    }
}
