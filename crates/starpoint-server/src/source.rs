//! Where connections come from, as far as limits are concerned.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use starpoint_broker::SourceId;
use tokio::sync::Semaphore;

use crate::account::{Account, Share};

/// Sources above which those without connections are looked for.
const MIN_SWEPT_SOURCES: usize = 64;
/// Time that a source without connections is remembered: what the broker holds
/// against it must not be gone with its last connection.
const MEMORY: Duration = Duration::from_secs(60);
/// Most sources without connections that are remembered.
const MAX_REMEMBERED: usize = 16 * 1024;

/// The network of one client or household: an IPv4 address, or the /64 of an IPv6
/// address, which one machine can use as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// Every source that has a connection, and those that had one lately.
#[derive(Debug)]
pub(crate) struct Sources {
    account: Arc<Account>,
    max_polling: usize,
    last: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_network: BTreeMap<Network, Entry>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Entry {
    source: Arc<Source>,
    /// When it was first seen without a connection.
    idle_since: Option<Instant>,
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

    /// Returns the source of an address. It is remembered for [`MEMORY`] after its last
    /// holder.
    pub(crate) fn of(&self, addr: IpAddr) -> Arc<Source> {
        self.of_at(addr, Instant::now())
    }

    fn of_at(&self, addr: IpAddr, now: Instant) -> Arc<Source> {
        let network = Network::of(addr);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.by_network.get_mut(&network) {
            entry.idle_since = None;
            return Arc::clone(&entry.source);
        }
        if known.by_network.len() >= known.sweep_at.max(MIN_SWEPT_SOURCES) {
            known.sweep(now);
        }
        let id = SourceId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let source = Arc::new(Source::new(id, Arc::clone(&self.account), self.max_polling));
        let entry = Entry {
            source: Arc::clone(&source),
            idle_since: None,
        };
        known.by_network.insert(network, entry);
        source
    }
}

impl Known {
    /// Forgets the sources that have been without a connection for long enough, and
    /// those that are too many. The next sweep is due when there are twice as many.
    fn sweep(&mut self, now: Instant) {
        let mut idle = Vec::new();
        self.by_network.retain(|network, entry| {
            if Arc::strong_count(&entry.source) > 1 {
                entry.idle_since = None;
                return true;
            }
            let since = *entry.idle_since.get_or_insert(now);
            let is_remembered = now.saturating_duration_since(since) < MEMORY;
            if is_remembered {
                idle.push((since, *network));
            }
            is_remembered
        });
        idle.sort_unstable();
        let n_surplus = idle.len().saturating_sub(MAX_REMEMBERED);
        for (_, network) in idle.drain(..n_surplus) {
            self.by_network.remove(&network);
        }
        self.sweep_at = self.by_network.len() * 2;
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

    fn n_known(sources: &Sources) -> usize {
        sources.known.lock().unwrap().by_network.len()
    }

    #[test]
    fn r_limit_26_a_source_that_reconnects_is_the_same() {
        let sources = Sources::new(Account::new(1, 1 << 15), 1);
        let start = Instant::now();
        let addr = |n: u32| IpAddr::V4(n.into());
        let id = sources.of_at(addr(0), start).id;
        // Others come and go, in several sweeps.
        for n in 1..1_000 {
            sources.of_at(addr(n), start + MEMORY / 2_000 * n);
        }
        assert_eq!(sources.of_at(addr(0), start + MEMORY / 2).id, id);
    }

    #[test]
    fn sources_without_holders_are_forgotten_in_time() {
        let sources = Sources::new(Account::new(1, 1 << 15), 1);
        let start = Instant::now();
        let addr = |n: u32| IpAddr::V4(n.into());
        let held = sources.of_at(addr(0), start);
        for n in 1..1_000 {
            sources.of_at(addr(n), start);
        }
        assert_eq!(n_known(&sources), 1_000);
        // A sweep notes that they are idle, and a later one that they have been for long.
        for n in 1_000..4_000 {
            sources.of_at(addr(n), start + MEMORY / 1_000 * n);
        }
        assert!(n_known(&sources) <= 2_000, "{}", n_known(&sources));
        assert_eq!(sources.of_at(addr(0), start + MEMORY * 4).id, held.id);
    }

    #[test]
    fn sources_without_holders_are_bounded() {
        let sources = Sources::new(Account::new(1, 1 << 15), 1);
        let start = Instant::now();
        let held = sources.of_at(IpAddr::V4(0.into()), start);
        for n in 1..200_000_u32 {
            sources.of_at(IpAddr::V4(n.into()), start);
        }
        assert!(n_known(&sources) <= 3 * MAX_REMEMBERED);
        assert_eq!(sources.of_at(IpAddr::V4(0.into()), start).id, held.id);
    }
}
