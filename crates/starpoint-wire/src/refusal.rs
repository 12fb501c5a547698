//! Every way in which a star says no.
//!
//! Two closed lists, both in `spec/03-refusals.md`: a [`Refusal`] answers a call,
//! a [`Cut`] ends a stream that its writer did not end. The text is what goes
//! over the legacy wire; the code is what logs, metrics and the native profile
//! use. Where the original has a text for the same case, it is that text.

use std::{fmt, time::Duration};

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

/// When a call refused for too high a rate may succeed.
const SOON: Duration = Duration::from_secs(1);
/// When the peer of a lost connection may be back.
const GRACE: Duration = Duration::from_secs(2);
/// When a full or draining star may have room.
const BUSY: Duration = Duration::from_secs(10);

/// Everything that is known of a refusal. A new one needs a variant and a row here, in
/// the same order, and its line in `spec/03-refusals.md`.
const TABLE: [Row; 27] = [
    Row::lasting(
        Refusal::InvalidArguments,
        "invalid-arguments",
        "Invalid arguments",
    ),
    Row::lasting(
        Refusal::InvalidAddress,
        "invalid-address",
        "Invalid multiaddr",
    ),
    Row::lasting(
        Refusal::KeyMissing,
        "key-missing",
        "Crypto Challenge required but no Id provided",
    ),
    Row::lasting(Refusal::InvalidKey, "invalid-key", "Invalid public key"),
    Row::lasting(Refusal::IdMismatch, "id-mismatch", "Id is not matching"),
    Row::lasting(
        Refusal::SignatureInvalid,
        "signature-invalid",
        "Signature Invalid",
    ),
    Row::lasting(
        Refusal::SignatureMalformed,
        "signature-malformed",
        "Crypto error",
    ),
    Row::temporary(
        Refusal::ChallengeExpired,
        "challenge-expired",
        "Challenge expired",
    ),
    Row::lasting(
        Refusal::TooManyAttempts,
        "too-many-attempts",
        "Too many attempts",
    ),
    Row::temporary(
        Refusal::TooManyRequests,
        "too-many-requests",
        "Too many requests",
    )
    .retry(SOON),
    Row::lasting(
        Refusal::TooManyAddresses,
        "too-many-addresses",
        "Too many addresses",
    ),
    Row::temporary(Refusal::StarFull, "star-full", "Star is full").retry(BUSY),
    Row::temporary(
        Refusal::SourceFull,
        "source-full",
        "Too many peers from this network",
    )
    .retry(BUSY),
    Row::temporary(
        Refusal::ShuttingDown,
        "shutting-down",
        "Star is shutting down",
    )
    .retry(BUSY),
    Row::temporary(
        Refusal::NotAuthorized,
        "not-authorized",
        "Not authorized for this address",
    ),
    Row::temporary(Refusal::PeerNotFound, "peer-not-found", "Peer not found"),
    Row::lasting(Refusal::DialSelf, "dial-self", "Cannot dial self"),
    Row::lasting(Refusal::InvalidDialId, "invalid-dial-id", "Invalid dial id"),
    Row::temporary(
        Refusal::DuplicateDialId,
        "duplicate-dial-id",
        "Dial id already in use",
    ),
    Row::temporary(Refusal::TooManyDials, "too-many-dials", "Too many dials").retry(SOON),
    Row::temporary(Refusal::DialTimeout, "dial-timeout", "Dial timed out")
        .retry(SOON)
        .status(504),
    Row::temporary(Refusal::PeerGone, "peer-gone", "Peer disconnected")
        .retry(GRACE)
        .status(410),
    Row::temporary(Refusal::PeerRefused, "peer-refused", "Peer refused").status(403),
    Row::lasting(
        Refusal::LegacyPeer,
        "legacy-peer",
        "Peer speaks the legacy profile",
    ),
    Row::lasting(Refusal::AlreadyJoined, "already-joined", "Already joined"),
    Row::temporary(Refusal::PipeUnknown, "pipe-unknown", "Pipe unknown").status(404),
    Row::lasting(Refusal::WrongHost, "wrong-host", "Host is not of this star"),
];

/// A row of the table.
struct Row {
    refusal: Refusal,
    code: &'static str,
    text: &'static str,
    is_temporary: bool,
    retry: Option<Duration>,
    http_status: u16,
}

impl Row {
    /// A refusal that the same call may not meet later.
    const fn temporary(refusal: Refusal, code: &'static str, text: &'static str) -> Self {
        Self {
            refusal,
            code,
            text,
            is_temporary: true,
            retry: None,
            http_status: 503,
        }
    }

    /// A refusal that the same call meets again.
    const fn lasting(refusal: Refusal, code: &'static str, text: &'static str) -> Self {
        let row = Self::temporary(refusal, code, text);
        Self {
            is_temporary: false,
            ..row
        }
    }

    const fn retry(self, after: Duration) -> Self {
        Self {
            retry: Some(after),
            ..self
        }
    }

    const fn status(self, http_status: u16) -> Self {
        Self {
            http_status,
            ..self
        }
    }
}

impl Refusal {
    /// All refusals, in the order of the specification.
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::InvalidArguments; TABLE.len()];
        let mut at = 0;
        while at < TABLE.len() {
            all[at] = TABLE[at].refusal;
            assert!(
                all[at] as usize == at,
                "the table has the order of the variants"
            );
            at += 1;
        }
        all
    };

    const fn row(self) -> &'static Row {
        const ROWS: &[Row] = &TABLE;
        &ROWS[self as usize]
    }

    /// Returns the code, stable for ever: lower case, words joined by dashes.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// Returns the text that goes over the legacy wire (R-REFUSE-2).
    pub fn text(self) -> &'static str {
        self.row().text
    }

    /// Returns whether the same call may succeed later.
    pub fn is_temporary(self) -> bool {
        self.row().is_temporary
    }

    /// Returns when the same call may succeed, as a star hints (R-NATIVE-8).
    pub fn retry_after(self) -> Option<Duration> {
        self.row().retry
    }

    /// Returns the HTTP status of a pipe that is refused (R-DIAL-10).
    pub fn http_status(self) -> u16 {
        self.row().http_status
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
    /// [`MAX_ERROR_TEXT_BYTES`]; for people.
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
    fn rows_are_where_their_variants_look() {
        for (at, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, at, "{refusal}");
            assert!((400..600).contains(&refusal.http_status()), "{refusal}");
            assert!(
                refusal.is_temporary() || refusal.retry_after().is_none(),
                "{refusal}"
            );
        }
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
