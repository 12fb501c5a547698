//! What an operator decides about a broker.

use std::{num::NonZeroUsize, time::Duration};

use libp2p_identity::PeerId;

use starpoint_wire::{AddressRule, limits, native::HostPattern};

use crate::quota::share_of;

/// Whether a peer has to prove that an address is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A join is challenged: only the holder of the key may have the address.
    Required,
    /// Anybody may have any address. For closed networks and tests.
    Off,
}

/// Settings of a broker.
#[derive(Clone, Debug)]
pub struct Config {
    /// Default [`Challenge::Required`].
    pub challenge: Challenge,
    /// Default [`AddressRule::AnyMultiaddr`].
    pub address_rule: AddressRule,
    /// Time between two announcements of one peer to another. Default
    /// [`limits::ANNOUNCE_INTERVAL`]; kept between
    /// [`MIN_ANNOUNCE_INTERVAL`](crate::quota::MIN_ANNOUNCE_INTERVAL) and
    /// [`MAX_ANNOUNCE_INTERVAL`](crate::quota::MAX_ANNOUNCE_INTERVAL).
    pub announce_interval: Duration,
    /// Most addresses that may be registered at once, each visitor counting as one.
    /// Default 10 000.
    pub max_peers: NonZeroUsize,
    /// The part of [`max_peers`](Self::max_peers) that one source may have; how fast it
    /// may join follows from it. Default [`quota::share_of`](crate::quota::share_of) of
    /// the whole.
    pub max_peers_per_source: Option<NonZeroUsize>,
    /// The star's own id, which native peers sign. No default.
    pub star: PeerId,
    /// Every host at which native peers may dial the star; others are refused. At
    /// most [`MAX_HOSTS`](starpoint_wire::native::MAX_HOSTS). Default none, which
    /// refuses nobody.
    pub hosts: Vec<HostPattern>,
    /// How long a native peer whose connection breaks counts as being here.
    /// Default [`quota::GRACE`](crate::quota::GRACE).
    pub grace: Duration,
}

impl Config {
    /// Returns the defaults for a star with this id.
    pub fn new(star: PeerId) -> Self {
        Self {
            star,
            hosts: Vec::new(),
            grace: crate::quota::GRACE,
            challenge: Challenge::Required,
            address_rule: AddressRule::AnyMultiaddr,
            announce_interval: limits::ANNOUNCE_INTERVAL,
            max_peers: NonZeroUsize::new(10_000).expect("10 000 is not zero"),
            max_peers_per_source: None,
        }
    }

    /// Returns how many peers of one source may have joined at once.
    pub fn max_peers_per_source(&self) -> usize {
        self.max_peers_per_source
            .map_or_else(|| share_of(self.max_peers.get()), NonZeroUsize::get)
    }
}
