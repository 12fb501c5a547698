//! Every way in which a star says no.
//!
//! Two closed lists, both in `spec/03-refusals.md`: a [`Refusal`] answers a call,
//! a [`Cut`] ends a stream that its writer did not end. The text is what goes
//! over the legacy wire; the code is what logs, metrics and the native profile
//! use. Where the original has a text for the same case, it is that text.

use std::fmt;

use crate::limits::MAX_ERROR_TEXT_BYTES;

/// Why a call was refused (R-REFUSE-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Arguments of the wrong number or type. The caller's fault; retrying the
    /// same call is useless.
    InvalidArguments,
    /// The address does not parse, is too long, or is not a star address where
    /// the star insists on one. The caller's fault.
    InvalidAddress,
    /// The star challenges and the address names no peer, or no key was given.
    KeyMissing,
    /// The public key does not parse or is of a kind that the star refuses.
    InvalidKey,
    /// The public key is not that of the peer in the address.
    IdMismatch,
    /// The signature has the right form and does not verify.
    SignatureInvalid,
    /// The signature has not even the form of one.
    SignatureMalformed,
    /// The challenge was answered too late.
    ChallengeExpired,
    /// Too many failed answers on this connection. It is closed.
    TooManyAttempts,
    /// Calls come faster than the star takes them. Retry later.
    TooManyRequests,
    /// The connection holds as many addresses as it may.
    TooManyAddresses,
    /// The star has as many peers as it may. Retry later.
    StarFull,
    /// The star has as many peers of the caller's network as it may. Retry later.
    SourceFull,
    /// The star is shutting down. Retry with another, or later.
    ShuttingDown,
    /// The dialer has not joined with the address that it dials from.
    NotAuthorized,
    /// Nobody here has the dialed address.
    PeerNotFound,
    /// The dialer dialed itself.
    DialSelf,
    /// The dial id is empty, too long, or has characters that need escaping.
    InvalidDialId,
    /// One of the two peers has a dial or connection of this id already.
    DuplicateDialId,
    /// One of the two peers has as many dials or connections as it may.
    TooManyDials,
    /// The callee did not answer in time.
    DialTimeout,
    /// The callee left before it answered.
    PeerGone,
    /// The callee does not want the dial.
    PeerRefused,
    /// The callee speaks the legacy profile only: dial it there.
    LegacyPeer,
    /// The connection has joined natively already.
    AlreadyJoined,
    /// No pipe waits for this token: it is wrong, used, or too late.
    PipeUnknown,
    /// The client has dialed a host that is not one of this star: somebody stands
    /// between, or the operator has not named every host.
    WrongHost,
}

impl Refusal {
    /// All refusals, in the order of the specification.
    pub const ALL: [Self; 27] = [
        Self::InvalidArguments,
        Self::InvalidAddress,
        Self::KeyMissing,
        Self::InvalidKey,
        Self::IdMismatch,
        Self::SignatureInvalid,
        Self::SignatureMalformed,
        Self::ChallengeExpired,
        Self::TooManyAttempts,
        Self::TooManyRequests,
        Self::TooManyAddresses,
        Self::StarFull,
        Self::SourceFull,
        Self::ShuttingDown,
        Self::NotAuthorized,
        Self::PeerNotFound,
        Self::DialSelf,
        Self::InvalidDialId,
        Self::DuplicateDialId,
        Self::TooManyDials,
        Self::DialTimeout,
        Self::PeerGone,
        Self::PeerRefused,
        Self::LegacyPeer,
        Self::AlreadyJoined,
        Self::PipeUnknown,
        Self::WrongHost,
    ];

    /// Returns the code, stable for ever: lower case, words joined by dashes.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidArguments => "invalid-arguments",
            Self::InvalidAddress => "invalid-address",
            Self::KeyMissing => "key-missing",
            Self::InvalidKey => "invalid-key",
            Self::IdMismatch => "id-mismatch",
            Self::SignatureInvalid => "signature-invalid",
            Self::SignatureMalformed => "signature-malformed",
            Self::ChallengeExpired => "challenge-expired",
            Self::TooManyAttempts => "too-many-attempts",
            Self::TooManyRequests => "too-many-requests",
            Self::TooManyAddresses => "too-many-addresses",
            Self::StarFull => "star-full",
            Self::SourceFull => "source-full",
            Self::ShuttingDown => "shutting-down",
            Self::NotAuthorized => "not-authorized",
            Self::PeerNotFound => "peer-not-found",
            Self::DialSelf => "dial-self",
            Self::InvalidDialId => "invalid-dial-id",
            Self::DuplicateDialId => "duplicate-dial-id",
            Self::TooManyDials => "too-many-dials",
            Self::DialTimeout => "dial-timeout",
            Self::PeerGone => "peer-gone",
            Self::PeerRefused => "peer-refused",
            Self::LegacyPeer => "legacy-peer",
            Self::AlreadyJoined => "already-joined",
            Self::PipeUnknown => "pipe-unknown",
            Self::WrongHost => "wrong-host",
        }
    }

    /// Returns the text that goes over the legacy wire (R-REFUSE-2).
    pub fn text(self) -> &'static str {
        match self {
            Self::InvalidArguments => "Invalid arguments",
            Self::InvalidAddress => "Invalid multiaddr",
            Self::KeyMissing => "Crypto Challenge required but no Id provided",
            Self::InvalidKey => "Invalid public key",
            Self::IdMismatch => "Id is not matching",
            Self::SignatureInvalid => "Signature Invalid",
            Self::SignatureMalformed => "Crypto error",
            Self::ChallengeExpired => "Challenge expired",
            Self::TooManyAttempts => "Too many attempts",
            Self::TooManyRequests => "Too many requests",
            Self::TooManyAddresses => "Too many addresses",
            Self::StarFull => "Star is full",
            Self::SourceFull => "Too many peers from this network",
            Self::ShuttingDown => "Star is shutting down",
            Self::NotAuthorized => "Not authorized for this address",
            Self::PeerNotFound => "Peer not found",
            Self::DialSelf => "Cannot dial self",
            Self::InvalidDialId => "Invalid dial id",
            Self::DuplicateDialId => "Dial id already in use",
            Self::TooManyDials => "Too many dials",
            Self::DialTimeout => "Dial timed out",
            Self::PeerGone => "Peer disconnected",
            Self::PeerRefused => "Peer refused",
            Self::LegacyPeer => "Peer speaks the legacy profile",
            Self::AlreadyJoined => "Already joined",
            Self::PipeUnknown => "Pipe unknown",
            Self::WrongHost => "Host is not of this star",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A refusal as a client reads it: from the star, or from a peer through it.
///
/// The wire has one text for both, so a peer that uses a star's words looks like
/// the star.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteRefusal {
    /// In the words of `spec/03-refusals.md`.
    #[error("{0}")]
    Known(Refusal),
    /// In other words: an original star's, or a peer's. At most
    /// [`MAX_ERROR_TEXT_BYTES`](crate::limits::MAX_ERROR_TEXT_BYTES); for people.
    /// Empty where no words are given: original stars do so when a key does not
    /// parse or is not that of the address.
    #[error("{0:?}")]
    Other(String),
}

impl RemoteRefusal {
    /// Reads a refusal's text; it is cut, not refused, when it is too long.
    pub fn from_text(text: String) -> Self {
        let known = Refusal::ALL.into_iter().find(|r| r.text() == text);
        known.map_or_else(|| Self::Other(cut_text(text)), Self::Known)
    }
}

/// Cuts a peer's error text to [`MAX_ERROR_TEXT_BYTES`] at a character border
/// (R-LIMIT-4).
pub(crate) fn cut_text(mut text: String) -> String {
    let mut end = MAX_ERROR_TEXT_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Why the star ended a stream that its writer had not ended (R-REFUSE-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cut {
    /// The other peer's connection to the star is gone.
    PeerDisconnected,
    /// The reader took too little for too long.
    ReaderStalled,
    /// The dial was not answered in time.
    DialTimeout,
    /// The star is shutting down.
    ShuttingDown,
    /// Nothing had moved for long, and there was a new dial to make room for.
    Idle,
}

impl Cut {
    /// All cuts, in the order of the specification.
    pub const ALL: [Self; 5] = [
        Self::PeerDisconnected,
        Self::ReaderStalled,
        Self::DialTimeout,
        Self::ShuttingDown,
        Self::Idle,
    ];

    /// Returns the code, stable for ever.
    pub fn code(self) -> &'static str {
        match self {
            Self::PeerDisconnected => "peer-disconnected",
            Self::ReaderStalled => "reader-stalled",
            Self::DialTimeout => "dial-timeout",
            Self::ShuttingDown => "shutting-down",
            Self::Idle => "idle",
        }
    }

    /// Returns the text that goes over the legacy wire.
    pub fn text(self) -> &'static str {
        match self {
            Self::PeerDisconnected => "Peer disconnected",
            Self::ReaderStalled => "Reader stalled",
            Self::DialTimeout => "Dial timed out",
            Self::ShuttingDown => "Star is shutting down",
            Self::Idle => "Idle for too long",
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn r_refuse_1_codes_and_texts_are_unique() {
        let codes: BTreeSet<_> = Refusal::ALL.iter().map(|r| r.code()).collect();
        let texts: BTreeSet<_> = Refusal::ALL.iter().map(|r| r.text()).collect();
        assert_eq!(codes.len(), Refusal::ALL.len());
        assert_eq!(texts.len(), Refusal::ALL.len());
        let cuts: BTreeSet<_> = Cut::ALL.iter().map(|c| c.code()).collect();
        assert_eq!(cuts.len(), Cut::ALL.len());
    }

    #[test]
    fn r_refuse_2_historic_texts_are_frozen() {
        let historic = [
            (Refusal::InvalidAddress, "Invalid multiaddr"),
            (
                Refusal::KeyMissing,
                "Crypto Challenge required but no Id provided",
            ),
            (Refusal::SignatureInvalid, "Signature Invalid"),
            (Refusal::SignatureMalformed, "Crypto error"),
            (Refusal::NotAuthorized, "Not authorized for this address"),
            (Refusal::PeerNotFound, "Peer not found"),
        ];
        for (refusal, text) in historic {
            assert_eq!(refusal.text(), text);
        }
    }
}
