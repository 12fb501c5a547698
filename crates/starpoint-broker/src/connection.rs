//! What a broker knows of one connection.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use libp2p_identity::{PeerId, PublicKey};
use starpoint_wire::{
    AddressKey, DialId, Direction, Nonce, PeerAddress, PeerSpelling, native::JoinCall,
};

use crate::{
    directory::Seq,
    id::{AckId, ConnId, LinkId, ProofId, SourceId},
    native::{Joined, Native, Standing},
    outbox::Outbox,
    quota::Bucket,
};

/// One client connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Where it comes from.
    pub(crate) source: SourceId,
    /// Addresses that it has joined with.
    pub(crate) addresses: BTreeSet<AddressKey>,
    /// How it writes peer ids, as of its last join.
    pub(crate) spelling: PeerSpelling,
    /// Challenges that it has not answered.
    pub(crate) challenges: BTreeMap<AddressKey, OpenChallenge>,
    pub(crate) failed_answers: u32,
    pub(crate) joins: Bucket,
    pub(crate) dials: Bucket,
    /// Dials and dialed connections, either side.
    pub(crate) links: BTreeMap<DialId, LinkId>,
    pub(crate) outbox: Outbox,
    /// Why its reads are paused; it is read while there is no reason.
    pub(crate) pauses: BTreeSet<PauseReason>,
    pub(crate) is_closing: bool,
    /// A signature that is being verified; there is one at a time.
    pub(crate) proof: Option<Box<OpenProof>>,
    pub(crate) profile: Profile,
}

/// The profile of a connection, and how it learns of the other peers.
///
/// The calls of the legacy profile mean the same in both (R-NATIVE-2): a native peer
/// connects with a legacy one by them.
#[derive(Debug)]
pub(crate) enum Profile {
    /// Gets announcements.
    Legacy(Announcer),
    /// Gets batches of changes.
    Native(Box<Native>),
}

/// A challenge that waits for its answer.
#[derive(Debug)]
pub(crate) struct OpenChallenge {
    pub(crate) nonce: Nonce,
    pub(crate) key: PublicKey,
    pub(crate) expires: Instant,
}

/// A join that waits for its signature to be verified.
#[derive(Debug)]
pub(crate) struct OpenProof {
    pub(crate) ticket: ProofId,
    pub(crate) ack: AckId,
    pub(crate) claim: Claim,
}

/// What the signature is for.
#[derive(Debug)]
pub(crate) enum Claim {
    /// A legacy connection may have this address.
    Legacy(PeerAddress),
    /// A native connection is this peer's.
    Native(PeerId, Box<JoinCall>),
}

/// Why a connection's reads are paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PauseReason {
    /// Too much waits in a stream that it writes.
    Stream(LinkId, Direction),
    /// Too much waits for a destination that it writes to.
    Destination(ConnId),
    /// Too much waits in the whole star, some of it for a destination that it
    /// writes to.
    Total(ConnId),
    /// Too much waits for it: it asks faster than it takes answers.
    Control,
}

/// Progress of the announcements to one connection.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    /// Time of the next announcements, made only if it has an address then.
    pub(crate) next: Option<Instant>,
    /// Every registration up to here has been announced to it.
    pub(crate) news: Seq,
    /// Old registrations up to here have been announced to it again.
    pub(crate) refresh: Seq,
}

impl Connection {
    /// Creates a connection that has not joined.
    pub(crate) fn new(source: SourceId, profile: Profile) -> Self {
        Self {
            source,
            addresses: BTreeSet::new(),
            spelling: PeerSpelling::Ipfs,
            challenges: BTreeMap::new(),
            failed_answers: 0,
            joins: Bucket::default(),
            dials: Bucket::default(),
            links: BTreeMap::new(),
            outbox: Outbox::default(),
            pauses: BTreeSet::new(),
            is_closing: false,
            proof: None,
            profile,
        }
    }

    /// Returns the state of the native profile.
    pub(crate) fn native(&self) -> Option<&Native> {
        match &self.profile {
            Profile::Native(native) => Some(native),
            Profile::Legacy(_) => None,
        }
    }

    /// Returns the state of the native profile.
    pub(crate) fn native_mut(&mut self) -> Option<&mut Native> {
        match &mut self.profile {
            Profile::Native(native) => Some(native),
            Profile::Legacy(_) => None,
        }
    }

    /// Returns the progress of announcements, if it gets any.
    pub(crate) fn announcer_mut(&mut self) -> Option<&mut Announcer> {
        match &mut self.profile {
            Profile::Legacy(announcer) => Some(announcer),
            Profile::Native(_) => None,
        }
    }

    /// Returns what it has joined natively as.
    pub(crate) fn joined(&self) -> Option<&Joined> {
        self.native()?.joined()
    }

    /// Returns whether it has joined without an address.
    pub(crate) fn is_visitor(&self) -> bool {
        self.joined()
            .is_some_and(|joined| joined.standing == Standing::Visitor)
    }
}
