//! Every way in which a host says no.

/// Why a host refuses, or ends a session. Sent as one byte; a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(u8)]
pub enum Refusal {
    /// The request makes no sense. The client's fault, or another version.
    #[error("host does not understand the request")]
    Malformed = 1,
    /// No such code, or the proof of it is wrong. Ask the host for a code.
    #[error("code is unknown to the host")]
    UnknownCode = 2,
    /// The code was used as often as it may. Ask the host for another one.
    #[error("code was used already")]
    UsedCode = 3,
    /// The code is too old. Ask the host for another one.
    #[error("code has expired")]
    ExpiredCode = 4,
    /// Too many wrong attempts, of this client or with this code.
    #[error("too many wrong attempts")]
    Locked = 5,
    /// The host has said no.
    #[error("host declined")]
    Declined = 6,
    /// The host has said nothing in time. The code can be used again.
    #[error("host did not answer in time")]
    NoDecision = 7,
    /// As many clients as may are there.
    #[error("host has as many clients as it takes")]
    Full = 8,
    /// Only clients of a session may open sockets; this one is none, or no more.
    #[error("not a client of the host")]
    NotJoined = 9,
    /// The host does not offer such a target.
    #[error("host does not offer this target")]
    NoSuchTarget = 10,
    /// Nobody listens at the target.
    #[error("target refused the connection")]
    TargetRefused = 11,
    /// There is no way to the target.
    #[error("target is unreachable")]
    TargetUnreachable = 12,
    /// The target did not answer in time.
    #[error("target did not answer in time")]
    TargetTimeout = 13,
    /// The name of the target stands for an address that the host does not allow.
    #[error("host does not allow the address of the target")]
    Forbidden = 14,
    /// The name of the target stands for nothing.
    #[error("name of the target cannot be resolved")]
    NoSuchName = 15,
    /// As many requests or sockets as may are there. Later is better.
    #[error("host is busy")]
    Busy = 16,
    /// The host has dropped the client. Its session is over.
    #[error("host ended the session")]
    Dropped = 17,
    /// The host stops. Its session is over.
    #[error("host has stopped")]
    Stopped = 18,
    /// The host has banned this peer: it was dropped before, or never wanted.
    #[error("host has banned this peer")]
    Banned = 19,
}

impl Refusal {
    /// Every refusal there is, in the order of its number.
    pub const ALL: [Self; 19] = [
        Self::Malformed,
        Self::UnknownCode,
        Self::UsedCode,
        Self::ExpiredCode,
        Self::Locked,
        Self::Declined,
        Self::NoDecision,
        Self::Full,
        Self::NotJoined,
        Self::NoSuchTarget,
        Self::TargetRefused,
        Self::TargetUnreachable,
        Self::TargetTimeout,
        Self::Forbidden,
        Self::NoSuchName,
        Self::Busy,
        Self::Dropped,
        Self::Stopped,
        Self::Banned,
    ];

    /// Returns its number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the refusal with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_tunnel_5_refusals_are_the_numbers_from_1_to_19() {
        for (refusal, number) in Refusal::ALL.into_iter().zip(1..) {
            assert_eq!(refusal.number(), number);
            assert_eq!(Refusal::from_number(number), Some(refusal));
        }
        for number in [0, 20, 255] {
            assert_eq!(Refusal::from_number(number), None);
        }
    }
}
