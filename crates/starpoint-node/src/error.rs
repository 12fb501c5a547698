//! Everything that can go wrong, with cause and cure: one enum for each
//! operation.

use std::{io, path::PathBuf};

use libp2p::{Multiaddr, PeerId, StreamProtocol, swarm};
use libp2p_websocket_star as websocket_star;
use starpoint_file::FileError;
use websocket_star::Refusal;

/// The file of known stars cannot be used as it should. Stars are used all the same,
/// and remembered for the life of the process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnownStarsError {
    /// The file cannot be read, is no regular file, or is too large.
    #[error("cannot read the known stars in `{}`", path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// The file cannot be written: a star is unknown to the next process.
    #[error("cannot write the known stars to `{}`", path.display())]
    Write {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is no host, port and id.
    #[error("no star in line {line} of `{}`", path.display())]
    Line {
        /// Where it is.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
}

/// Why a key cannot be used. The user's fault, or the file system's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be opened or read, is no regular file, or is too large for a key.
    #[error("cannot read the key file `{}`", path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// The file cannot be made. None is left behind.
    #[error("cannot create the key file `{}`", path.display())]
    Write {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner have access. `chmod 600` cures it; if somebody may
    /// have read it, only a new key does.
    #[error("others can access the key file `{}` (mode {mode:04o})", path.display())]
    Exposed {
        /// Where it is.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What is in the file is no private key in libp2p's encoding.
    #[error("no private key in `{}`", path.display())]
    Invalid {
        /// Where it is.
        path: PathBuf,
    },
}

/// Why a node does not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address among the stars names no star. Write
    /// `/dns4/<host>/tcp/<port>/wss/p2p-websocket-star`.
    #[error("`{address}` is no address of a star")]
    NotAStar {
        /// As given.
        address: Multiaddr,
    },
    /// An address to listen on is one of a star, or of something that this build
    /// does not speak.
    #[error("cannot listen on `{address}`: not supported")]
    ListenUnsupported {
        /// As given.
        address: Multiaddr,
    },
    /// An address cannot be listened on, most often because it is in use; or a
    /// star is named twice.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// As given.
        address: Multiaddr,
        /// Why.
        source: io::Error,
    },
    /// The keypair cannot be used for Noise or QUIC.
    #[error("key cannot be used for encryption")]
    Key(#[source] io::Error),
}

/// The node does not run any more: it was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node has stopped")]
pub struct Stopped;

/// Why a peer was not reached. Nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No address of the peer is known. Give one, or share a star with it.
    #[error("no address of {peer} is known")]
    NoAddress {
        /// Who was to be dialed.
        peer: PeerId,
    },
    /// No transport speaks this address.
    #[error("`{address}` is no address that can be dialed")]
    Unsupported {
        /// As given.
        address: Multiaddr,
    },
    /// The address is the node's own.
    #[error("cannot dial self")]
    DialSelf,
    /// Somebody answered who has another key. The address is old, or somebody
    /// pretends.
    #[error("`{address}` is {obtained}, another peer")]
    WrongPeer {
        /// What was dialed.
        address: Multiaddr,
        /// Who answered, proved by key.
        obtained: PeerId,
    },
    /// The star, or the peer by way of it, did not let the dial through.
    #[error("cannot reach the peer at `{address}`")]
    Star {
        /// What was dialed.
        address: Multiaddr,
        /// Why.
        source: websocket_star::Error,
    },
    /// The network did not let the dial through, or what answered does not speak
    /// libp2p with Noise and Yamux; the source says all in one sentence.
    #[error("cannot connect to `{address}`")]
    Connect {
        /// What was dialed; of several addresses the first.
        address: Multiaddr,
        /// Why.
        source: io::Error,
    },
    /// The node's own limits are reached: `max_connections` and the like.
    #[error("own connection limit reached")]
    Limit(#[source] swarm::ConnectionDenied),
    /// The connection was given up, by a shutdown for one.
    #[error("dial given up")]
    Aborted,
    /// The node does not run any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl DialError {
    /// Returns the same error for another one who waited for the same dial.
    pub(crate) fn shared(&self) -> Self {
        match self {
            Self::NoAddress { peer } => Self::NoAddress { peer: *peer },
            Self::Unsupported { address } => Self::Unsupported {
                address: address.clone(),
            },
            Self::DialSelf => Self::DialSelf,
            Self::WrongPeer { address, obtained } => Self::WrongPeer {
                address: address.clone(),
                obtained: *obtained,
            },
            Self::Star { address, source } => Self::Star {
                address: address.clone(),
                source: source.clone(),
            },
            Self::Connect { address, source } => Self::Connect {
                address: address.clone(),
                source: io::Error::new(source.kind(), source.to_string()),
            },
            Self::Limit(denied) => Self::Limit(swarm::ConnectionDenied::new(denied.to_string())),
            Self::Aborted => Self::Aborted,
            Self::Stopped(stopped) => Self::Stopped(*stopped),
        }
    }

    /// Returns the error of the star, if it was one.
    pub fn star_error(&self) -> Option<&websocket_star::Error> {
        match self {
            Self::Star { source, .. } => Some(source),
            Self::NoAddress { .. }
            | Self::Unsupported { .. }
            | Self::DialSelf
            | Self::WrongPeer { .. }
            | Self::Connect { .. }
            | Self::Limit(_)
            | Self::Aborted
            | Self::Stopped(_) => None,
        }
    }

    /// Returns whether a star says that nobody with this id is there.
    pub fn is_peer_absent(&self) -> bool {
        use websocket_star::Error;
        matches!(
            self.star_error(),
            Some(
                Error::PeerNotFound
                    | Error::Refused(Refusal::PeerNotFound)
                    | Error::Refused(Refusal::PeerGone)
            )
        )
    }

    /// Returns whether the same dial may succeed later without anybody changing
    /// anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Star { source, .. } => source.is_retryable(),
            Self::Connect { .. } | Self::Limit(_) | Self::Aborted => true,
            Self::NoAddress { .. }
            | Self::Unsupported { .. }
            | Self::DialSelf
            | Self::WrongPeer { .. }
            | Self::Stopped(_) => false,
        }
    }
}

/// Why no stream was opened. The connection, if there is one, goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenStreamError {
    /// The peer cannot be reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The peer is there and does not speak the protocol.
    #[error("peer does not speak {0}")]
    Unsupported(StreamProtocol),
    /// The connection was lost meanwhile.
    #[error("connection lost")]
    Lost(#[source] io::Error),
    /// The peer has not answered within 10 s: it is overloaded or hangs.
    #[error("peer did not agree to a stream in time")]
    Timeout,
}

/// Why streams of a protocol are not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IncomingError {
    /// An [`Incoming`](crate::Incoming) of this protocol exists already.
    #[error("streams of {0} are taken already")]
    Taken(StreamProtocol),
}

/// Why a ping has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// No stream to the peer.
    #[error(transparent)]
    Open(#[from] OpenStreamError),
    /// The connection was lost, or the peer answered with something else.
    #[error("connection lost")]
    Lost(#[source] io::Error),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
}
