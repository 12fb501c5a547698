//! Where connections come from, as far as limits are concerned.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use starpoint_broker::SourceId;
use tokio::sync::Semaphore;

use crate::account::{Account, Share};

/// Sources above which those without connections are looked for and forgotten.
const MIN_SWEPT_SOURCES: usize = 64;

/// The network of one client or household: an IPv4 address, or the /64 of an IPv6
/// address, which one machine can use as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl Network {
    fn of(addr: IpAddr) -> Self {
        match addr.to_canonical() {
            IpAddr::V4(addr) => Self(IpAddr::V4(addr)),
            IpAddr::V6(addr) => {
                let [a, b, c, d, ..] = addr.segments();
                Self(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
            }
        }
    }
}

/// What the connections of one network share.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) id: SourceId,
    /// What it has of the account of waiting bytes.
    pub(crate) share: Share,
    /// One permit for each session with long polling that it may begin.
    pub(crate) polling: Arc<Semaphore>,
}

impl Source {
    pub(crate) fn new(id: SourceId, account: Arc<Account>, max_polling: usize) -> Self {
        Self {
            id,
            share: Share::new(account),
            polling: Arc::new(Semaphore::new(max_polling)),
        }
    }
}

/// Every source that has a connection.
#[derive(Debug)]
pub(crate) struct Sources {
    account: Arc<Account>,
    max_polling: usize,
    last: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_network: HashMap<Network, Weak<Source>>,
    sweep_at: usize,
}

impl Sources {
    /// Creates the sources of one star, which share an account. Each may have
    /// `max_polling` sessions that began with long polling.
    pub(crate) fn new(account: Arc<Account>, max_polling: usize) -> Self {
        Self {
            account,
            max_polling,
            last: AtomicU64::new(0),
            known: Mutex::default(),
        }
    }

    /// Returns the source of an address. It is forgotten with its last holder.
    pub(crate) fn of(&self, addr: IpAddr) -> Arc<Source> {
        let network = Network::of(addr);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = known.by_network.get(&network).and_then(Weak::upgrade) {
            return source;
        }
        if known.by_network.len() >= known.sweep_at.max(MIN_SWEPT_SOURCES) {
            known
                .by_network
                .retain(|_, source| source.strong_count() > 0);
            known.sweep_at = known.by_network.len() * 2;
        }
        let id = SourceId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let source = Arc::new(Source::new(id, Arc::clone(&self.account), self.max_polling));
        known.by_network.insert(network, Arc::downgrade(&source));
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_one_source() {
        let sources = Sources::new(Account::new(1, 1 << 15), 1);
        let id = |addr: &str| sources.of(addr.parse().unwrap()).id;
        let keep = sources.of("192.0.2.1".parse().unwrap());
        assert_eq!(id("192.0.2.1"), keep.id);
        assert_eq!(id("::ffff:192.0.2.1"), keep.id);
        assert_ne!(id("192.0.2.2"), keep.id);
        let keep = sources.of("2001:db8:1:2::1".parse().unwrap());
        assert_eq!(id("2001:db8:1:2:ffff::9"), keep.id);
        assert_ne!(id("2001:db8:1:3::1"), keep.id);
    }

    #[test]
    fn sources_without_holders_are_forgotten() {
        let sources = Sources::new(Account::new(1, 1 << 15), 1);
        for n in 0..10_000_u32 {
            drop(sources.of(IpAddr::V4(n.into())));
        }
        let known = sources.known.lock().unwrap();
        assert!(known.by_network.len() <= 2 * MIN_SWEPT_SOURCES);
    }
}
