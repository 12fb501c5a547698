//! What to do about a peer or star that cannot be reached.

use std::borrow::Cow;

use libp2p_websocket_star::{
    self as websocket_star, Refusal, StarChange,
    sio::{ConnectError, OpenError},
};
use starpoint_node::{DialError, KeyError, OpenStreamError, PingError, StartError};

use crate::ui::{error::Failure, exit::Exit};

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let hint = match &error {
            KeyError::Exposed { path, .. } => format!(
                "whoever reads it is you: `chmod 600 '{}'`, or make a new one with --key",
                path.display()
            ),
            KeyError::Invalid { .. } => {
                "a key file has a private key as libp2p encodes it; --key names another file, \
                 which is made if it is missing"
                    .to_owned()
            }
            KeyError::Read { .. } | KeyError::Write { .. } | _ => {
                "--key names another file".to_owned()
            }
        };
        Self::new(Exit::KEY, error, hint)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::NotAStar { .. } => {
                Self::new(Exit::USAGE, error, "stars are given with --star")
            }
            StartError::Listen { .. } => Self::new(Exit::LISTEN, error, "name each star once"),
            StartError::ListenUnsupported { .. } | StartError::Key(_) | _ => Self::internal(error),
        }
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        if let DialError::Star { source, .. } = &error {
            let (exit, hint) = star_advice(source);
            return Self::new(exit, error, hint);
        }
        let (exit, hint) = match &error {
            DialError::NoAddress { .. } => (Exit::NO_PEER, PEER_AWAY),
            DialError::Unsupported { .. } => (
                Exit::USAGE,
                "addresses end with the peer's id: \
                 /dns4/star.example/tcp/443/wss/p2p-websocket-star/p2p/<id>",
            ),
            DialError::DialSelf => (
                Exit::USAGE,
                "that is this key's own address; name another key with --key",
            ),
            DialError::WrongPeer { .. } => (
                Exit::WRONG_PEER,
                "the address is old, or somebody pretends: ask the peer for its address",
            ),
            DialError::Connect { .. } => (
                Exit::NO_ANSWER,
                "check that the address is the peer's, and that it runs libp2p with Noise and \
                 Yamux; a peer without them needs --raw",
            ),
            DialError::Star { .. }
            | DialError::Limit(_)
            | DialError::Aborted
            | DialError::Stopped(_)
            | _ => {
                return Self::internal(error);
            }
        };
        Self::new(exit, error, hint)
    }
}

const PEER_AWAY: &str =
    "it is offline or at another star; `starpoint peers --star <star>` shows who is here";

const STAR_AWAY: &str = "check the address of the star, and that it runs";

const STAR_FULL: &str =
    "the star has no room for more connections, or for more of this network; try again later";

const STAR_UNTRUSTED: &str =
    "trust the authority of a private star with --ca; a public one needs a valid certificate";

/// Says how to exit when a star does not let a dial or a join through, and what
/// to do about it.
pub(crate) fn star_advice(error: &websocket_star::Error) -> (Exit, Cow<'static, str>) {
    if let websocket_star::Error::StarChanged(change) = error {
        return (Exit::WRONG_PEER, changed(change));
    }
    let (exit, hint) = fixed_advice(error);
    (exit, hint.into())
}

/// Says what to do about another star in the place of a known one.
fn changed(change: &StarChange) -> Cow<'static, str> {
    let at = match &change.written_at {
        Some(place) => format!("remove {place}"),
        None => "start again".to_owned(),
    };
    format!("somebody may be in its place: ask its operator; if the star has a new key, {at}")
        .into()
}

fn fixed_advice(error: &websocket_star::Error) -> (Exit, &'static str) {
    use websocket_star::{Error, Stage};
    match error {
        Error::StarUnreachable(OpenError::Connect(ConnectError::Certificate(_))) => {
            (Exit::NO_STAR, STAR_UNTRUSTED)
        }
        Error::StarUnreachable(OpenError::Connect(ConnectError::Rejected { status: 503 })) => {
            (Exit::NO_STAR, STAR_FULL)
        }
        Error::StarUnreachable(_) | Error::StarLost(_) | Error::Deadline(Stage::Join) => {
            (Exit::NO_STAR, STAR_AWAY)
        }
        Error::Protocol(_) | Error::StarUnproved => {
            (Exit::NO_STAR, "what answers there is no star")
        }
        Error::StarDenied(_) => (
            Exit::WRONG_PEER,
            "somebody passes for that star; or its operator has to name this host with --host",
        ),
        Error::StarTwin(_) => (
            Exit::WRONG_PEER,
            "one of the two passes for the other: name one only; or they are the same star, and \
             its operator has to name both hosts with --host",
        ),
        Error::JoinRefused(Refusal::WrongHost) => (
            Exit::WRONG_PEER,
            "somebody passes for that star; or its operator has to name this host with --host",
        ),
        Error::ChallengeDisabled => (
            Exit::NO_STAR,
            "anybody can take anybody's address there; --allow-no-challenge accepts that",
        ),
        Error::JoinRefused(_) | Error::JoinRefusedOther(_) | Error::Key => (
            Exit::NO_STAR,
            "the star does not let this peer in; try again later",
        ),
        Error::TakenOver => (Exit::NO_STAR, "give each process its own key with --key"),
        Error::PeerNotFound | Error::Refused(Refusal::PeerNotFound | Refusal::PeerGone) => {
            (Exit::NO_PEER, PEER_AWAY)
        }
        Error::Deadline(Stage::Dial) | Error::Refused(Refusal::DialTimeout) => (
            Exit::NO_ANSWER,
            "the peer is at the star and does not answer; try again later",
        ),
        Error::Refused(_) | Error::RefusedByPeer(_) => (
            Exit::REFUSED,
            "the peer takes no connections now, or none from here; try again later",
        ),
        Error::PeerMissing => (Exit::USAGE, "append `/p2p/<id>` to the star's address"),
        Error::DialSelf => (Exit::USAGE, "name another key with --key"),
        Error::Slept
        | Error::ForeignPeer
        | Error::AlreadyHome
        | Error::TooManyDials
        | Error::TooManyVisits
        | Error::InboundGone
        | Error::Closed
        | Error::StarChanged(_)
        | _ => (Exit::INTERNAL, "`--log debug` tells more"),
    }
}

/// Tells of a star that cannot be used, with its address.
pub(crate) fn star_failure(error: anyhow::Error, reason: &websocket_star::Error) -> Failure {
    let (exit, hint) = star_advice(reason);
    Failure::new(exit, error, hint)
}

impl From<OpenStreamError> for Failure {
    fn from(error: OpenStreamError) -> Self {
        match error {
            OpenStreamError::Dial(error) => error.into(),
            OpenStreamError::Unsupported(_) => Self::new(
                Exit::REFUSED,
                error,
                "the peer does not run `starpoint listen`, or serves somebody already",
            ),
            OpenStreamError::Lost(_) => Self::new(Exit::BROKEN, error, "try again"),
            OpenStreamError::Timeout => Self::new(Exit::NO_ANSWER, error, "try again later"),
            other => Self::internal(other),
        }
    }
}

impl From<PingError> for Failure {
    fn from(error: PingError) -> Self {
        match error {
            PingError::Open(error) => error.into(),
            PingError::Lost(_) => Self::new(Exit::BROKEN, error, "try again"),
            PingError::Timeout => Self::new(Exit::NO_ANSWER, error, "try again later"),
            other => Self::internal(other),
        }
    }
}
