//! Everything that can go wrong, with cause and cure.

use std::io;

use starpoint_sio::{Closed, OpenError};
use std::sync::Arc;

use libp2p_identity::PeerId;
use starpoint_wire::{Refusal, native::StarHost};

use crate::pins::Pin;

/// What the transport gives to libp2p: an [`Error`], one level deeper.
///
/// Composed transports put errors into an `Either`, which shows the source of
/// what it holds and not the thing itself. Behind this wrapper the error is
/// found in every composition.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no connection through the star")]
pub struct Failure(#[from] Error);

impl Failure {
    /// Returns what has gone wrong.
    pub fn reason(&self) -> &Error {
        &self.0
    }
}

/// Why a dial failed or a home was lost.
///
/// A swarm wraps it; [`Error::find`] gets it out again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The star cannot be reached: it is down, blocked, or there is no network.
    /// A home tries again by itself; a dial goes through another address.
    #[error("star unreachable")]
    StarUnreachable(#[source] OpenError),
    /// The star went away while the dial was on its way. Dial again.
    #[error("connection to the star lost")]
    StarLost(#[source] Closed),
    /// What answers does not behave like a star. The operator's fault; another
    /// star may be better.
    #[error("star violates the protocol: {0}")]
    Protocol(Violation),
    /// What answers cannot prove the id that it shows, on this connection: it is no
    /// star, or repeats the words of one. Nothing was signed for it.
    #[error("star cannot prove its id")]
    StarUnproved,
    /// A star answers that is not at the dialed host, by its operator's word:
    /// somebody relays it, or the operator has not named every host. Nothing was
    /// signed for it.
    #[error("{0}")]
    StarDenied(Box<StarDenial>),
    /// Another star, or one that proves nothing, answers where one is
    /// [pinned](crate::StarPins). Its key was replaced, or somebody is in its place;
    /// only its operator can tell.
    #[error("{0}")]
    StarChanged(Box<StarChange>),
    /// The star behind one home is the one behind another, and its operator has not
    /// named the host: somebody relays it, or it has two names. Nothing was signed
    /// for it.
    #[error("{0}")]
    StarTwin(Box<StarTwin>),
    /// The star lets everybody in as anybody. Its operator turns the challenge
    /// on, or the user accepts it with
    /// [`Challenge::Optional`](crate::Challenge::Optional).
    #[error("star does not challenge its peers")]
    ChallengeDisabled,
    /// The star refuses to let this peer in. [`Refusal::StarFull`],
    /// [`Refusal::SourceFull`] and [`Refusal::ShuttingDown`] pass; others are a disagreement about the key.
    #[error("star refuses the join: {0}")]
    JoinRefused(Refusal),
    /// The star refuses to let this peer in, in words that nobody knows: at most
    /// 1024 bytes, without control characters.
    #[error("star refuses the join: {0:?}")]
    JoinRefusedOther(Box<str>),
    /// The private key cannot sign: an RSA key without its private part. The
    /// user's fault.
    #[error("key cannot sign")]
    Key,
    /// Nobody with this id is at the star. It is offline, or at another star.
    #[error("peer is not at the star")]
    PeerNotFound,
    /// The star refuses the dial. The refusal says whether later is better.
    #[error("star refuses the dial: {0}")]
    Refused(Refusal),
    /// The callee refuses, in its own words: at most 1024 bytes, without control
    /// characters. It is busy, or takes no connections.
    #[error("peer refuses the dial: {0:?}")]
    RefusedByPeer(Box<str>),
    /// A deadline of the [`Config`](crate::Config) passed. The star or the callee
    /// is overloaded or hangs, or packets vanish; try again later.
    #[error("{0} not finished in time")]
    Deadline(Stage),
    /// Another process has proved to be this peer and has its address at this
    /// star now. The user's fault: give each process its own key.
    #[error("another process with the same key took over")]
    TakenOver,
    /// The machine was asleep and the star does not answer any more. The home
    /// connects anew at once.
    #[error("connection did not survive sleep")]
    Slept,
    /// The dialed peer is this one. Nothing was sent.
    #[error("cannot dial self")]
    DialSelf,
    /// The dialed star address names no peer. Append `/p2p/<id>`.
    #[error("star address without a peer id")]
    PeerMissing,
    /// The address to listen on ends with the id of somebody else.
    #[error("cannot listen as another peer")]
    ForeignPeer,
    /// The star is a home already. Use the listener that there is.
    #[error("star is a home already")]
    AlreadyHome,
    /// As many dials wait at this star as may. Later, or fewer at once.
    #[error("too many dials at this star")]
    TooManyDials,
    /// As many stars are visited as may. Later, or fewer at once.
    #[error("too many stars visited")]
    TooManyVisits,
    /// The inbound dial ended before the swarm began with it: refused because of
    /// [`Config::accept_deadline`](crate::Config::accept_deadline), or the star
    /// was lost.
    #[error("inbound dial is gone")]
    InboundGone,
    /// The transport was dropped, or the listener removed.
    #[error("transport closed")]
    Closed,
}

/// A star that is not at the host where it answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the star {star} is not at {host}, it says")]
pub struct StarDenial {
    /// The star.
    pub star: PeerId,
    /// Where it was dialed.
    pub host: StarHost,
}

/// A star in the place of another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the star at {host} was {known} and is {}", Found(.found.as_ref()))]
pub struct StarChange {
    /// Where it was dialed.
    pub host: StarHost,
    /// The star that is expected there.
    pub known: PeerId,
    /// The star that answers; `None` when it does not say.
    pub found: Option<PeerId>,
    /// Where the expected one is [written down](Pin::written_at).
    pub written_at: Option<Arc<str>>,
}

impl StarChange {
    pub(crate) fn error(host: &StarHost, pin: &Pin, found: Option<PeerId>) -> Error {
        Error::StarChanged(Box::new(Self {
            host: host.clone(),
            known: pin.star,
            found,
            written_at: pin.written_at.clone(),
        }))
    }
}

struct Found<'a>(Option<&'a PeerId>);

impl std::fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(star) => star.fmt(f),
            None => f.write_str("one without an id"),
        }
    }
}

/// One star behind two homes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the star at {host} is {star}, which is at {other}")]
pub struct StarTwin {
    /// The star.
    pub star: PeerId,
    /// Where it was dialed now.
    pub host: StarHost,
    /// The other home.
    pub other: StarHost,
}

/// What was not finished in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The star did not answer a join.
    Join,
    /// The callee did not answer, or its star not.
    Dial,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Join => "join",
            Self::Dial => "dial",
        })
    }
}

/// How a star breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The answer to a join or dial cannot be read.
    #[error("malformed answer")]
    Answer,
    /// The text to be signed is no challenge: signing it would sign anything.
    #[error("malformed challenge")]
    Challenge,
    /// It asks for a second signature in one join.
    #[error("repeated challenge")]
    SecondChallenge,
    /// A star that has offered the native profile says something else first.
    #[error("no hello")]
    Hello,
}

impl Error {
    /// Returns whether the same attempt may succeed later without anybody
    /// changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::StarUnreachable(_)
            | Self::StarLost(_)
            | Self::PeerNotFound
            | Self::RefusedByPeer(_)
            | Self::Deadline(_)
            | Self::Slept
            | Self::TooManyDials
            | Self::TooManyVisits
            | Self::InboundGone => true,
            Self::JoinRefused(refusal) | Self::Refused(refusal) => refusal.is_temporary(),
            Self::Protocol(_)
            | Self::StarUnproved
            | Self::StarDenied(_)
            | Self::StarChanged(_)
            | Self::StarTwin(_)
            | Self::ChallengeDisabled
            | Self::JoinRefusedOther(_)
            | Self::Key
            | Self::TakenOver
            | Self::DialSelf
            | Self::PeerMissing
            | Self::ForeignPeer
            | Self::AlreadyHome
            | Self::Closed => false,
        }
    }

    /// Finds the error of this transport in one that a swarm reports, however
    /// deep it is wrapped.
    pub fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            if let Some(Failure(found)) = error.downcast_ref() {
                return Some(found);
            }
            // An IO error hides what it wraps from `source`.
            let wrapped = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            next = match wrapped {
                Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
                None => error.source(),
            };
        }
        None
    }
}
