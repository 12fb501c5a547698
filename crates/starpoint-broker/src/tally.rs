//! How many dials and dialed connections everybody has.

use std::collections::BTreeMap;

use crate::{id::SourceId, quota};

/// The ends of one dial, by connections or by peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route<K> {
    pub(crate) dialer: K,
    pub(crate) callee: K,
    /// The network of the dialer.
    pub(crate) source: SourceId,
}

/// Dials by what their quotas are about. Those of a dialer count from the call on,
/// those of a callee from the moment at which it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tally<K> {
    outgoing: Counts<K>,
    incoming: Counts<K>,
    of_pair: Counts<(K, K)>,
    /// Of one callee, by the source of the dialers.
    from: Counts<(K, SourceId)>,
    /// The part of `from` that has not been agreed on.
    waiting: Counts<(K, SourceId)>,
}

/// The quota that a dial would pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All that the callee may have.
    Callee,
    /// Any other.
    Other,
}

impl<K: Copy + Ord> Tally<K> {
    /// Returns whether the dialer may have one more (R-LIMIT-7, R-LIMIT-10).
    pub(crate) fn check_dialer(&self, route: &Route<K>) -> Result<(), Full> {
        let is_full = self.outgoing.get(&route.dialer) >= quota::MAX_LINKS
            || self.of_pair.get(&route.pair()) >= quota::MAX_LINKS_OF_PAIR;
        if is_full { Err(Full::Other) } else { Ok(()) }
    }

    /// Returns whether the callee may be asked (R-LIMIT-7, R-LIMIT-14).
    pub(crate) fn check_callee(&self, route: &Route<K>) -> Result<(), Full> {
        let key = (route.callee, route.source);
        if self.waiting.get(&key) >= quota::MAX_WAITING_OF_SOURCE
            || self.from.get(&key) >= quota::MAX_LINKS_OF_SOURCE
        {
            return Err(Full::Other);
        }
        if self.incoming.get(&route.callee) >= quota::MAX_LINKS {
            return Err(Full::Callee);
        }
        Ok(())
    }

    /// The dialer has one more.
    pub(crate) fn dialed(&mut self, route: &Route<K>) {
        self.outgoing.add(route.dialer);
        self.of_pair.add(route.pair());
    }

    /// The callee has been asked.
    pub(crate) fn asked(&mut self, route: &Route<K>) {
        self.incoming.add(route.callee);
        self.from.add((route.callee, route.source));
        self.waiting.add((route.callee, route.source));
    }

    /// Both have agreed.
    pub(crate) fn opened(&mut self, route: &Route<K>) {
        self.waiting.remove((route.callee, route.source));
    }

    /// An open one is over.
    pub(crate) fn closed(&mut self, route: &Route<K>) {
        self.incoming.remove(route.callee);
        self.from.remove((route.callee, route.source));
        self.forgotten(route);
    }

    /// One that was asked for and not agreed on is over.
    pub(crate) fn given_up(&mut self, route: &Route<K>) {
        self.opened(route);
        self.closed(route);
    }

    /// One that its callee was not asked for is over.
    pub(crate) fn forgotten(&mut self, route: &Route<K>) {
        self.outgoing.remove(route.dialer);
        self.of_pair.remove(route.pair());
    }

    /// Returns how many of a callee's come from a source.
    pub(crate) fn from(&self, callee: K, source: SourceId) -> usize {
        self.from.get(&(callee, source))
    }
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self {
            outgoing: Counts::default(),
            incoming: Counts::default(),
            of_pair: Counts::default(),
            from: Counts::default(),
            waiting: Counts::default(),
        }
    }
}

impl<K: Copy + Ord> Route<K> {
    fn pair(&self) -> (K, K) {
        let (a, b) = (self.dialer, self.callee);
        (a.min(b), a.max(b))
    }
}

/// Numbers of things by a key; none is kept for a key that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts<K>(BTreeMap<K, usize>);

impl<K: Ord> Counts<K> {
    pub(crate) fn get(&self, key: &K) -> usize {
        self.0.get(key).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, key: K) {
        *self.0.entry(key).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, key: K) {
        if let Some(count) = self.0.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&key);
            }
        }
    }
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}
