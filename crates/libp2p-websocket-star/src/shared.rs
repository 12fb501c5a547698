//! What all parts of one transport share.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p_core::Multiaddr;
use libp2p_identity::{Keypair, PeerId};

use crate::{config::Config, gauges::Gauges, homes::Homes, net::OpenPipes};

/// Most addresses of a peer that are told or believed.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// The addresses at which the swarm knows that it can be reached, as the behaviour
/// hears of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExternalAddresses(Arc<Mutex<BTreeSet<Multiaddr>>>);

impl ExternalAddresses {
    pub(crate) fn confirmed(&self, address: Multiaddr) {
        let mut addresses = self.lock();
        if addresses.len() < MAX_ADDRESSES {
            addresses.insert(address);
        }
    }

    pub(crate) fn expired(&self, address: &Multiaddr) {
        self.lock().remove(address);
    }

    pub(crate) fn all(&self) -> Vec<Multiaddr> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Multiaddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) keypair: Keypair,
    pub(crate) own: PeerId,
    pub(crate) gauges: Gauges,
    pub(crate) external: ExternalAddresses,
    pub(crate) pipes: OpenPipes,
    pub(crate) homes: Homes,
}
