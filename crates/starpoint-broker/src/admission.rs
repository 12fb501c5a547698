//! The peers that a star has room for, in total and for each source.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;
use starpoint_wire::Refusal;

use crate::{
    config::Config,
    id::SourceId,
    quota::{self, Bucket, Rate},
};

/// Sources above which those without peers and debts are looked for and forgotten.
const MIN_SWEPT_SOURCES: usize = 64;

/// Slots of peers and the rates of their sources.
///
/// A registered address takes a slot, and so does a visitor, which has none. Peers in
/// their grace period take slots that nobody else asks for: they make room for a join,
/// and the one whose period ends first goes.
#[derive(Debug)]
pub(crate) struct Admission {
    bounds: Bounds,
    slots: usize,
    sources: BTreeMap<SourceId, Holdings>,
    n_in_grace: usize,
    /// Sources with peers in grace, by how many they have.
    by_in_grace: BTreeSet<(usize, SourceId)>,
    /// Bytes of immediate announcements about all peers.
    announced: Bucket,
    sweep_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    slots: usize,
    slots_of_source: usize,
    in_grace: usize,
    in_grace_of_source: usize,
    joins_of_source: Rate,
    pages_of_source: Rate,
    announced_of_source: Rate,
    announced: Rate,
}

/// What one source has.
#[derive(Debug, Default)]
struct Holdings {
    slots: usize,
    /// Peers in grace, the first one to go in front.
    in_grace: BTreeSet<(Instant, PeerId)>,
    joins: Bucket,
    /// Bytes of pages that it has read.
    pages: Bucket,
    /// Bytes of immediate announcements about it.
    announced: Bucket,
}

/// Slots and peers in grace: what there is to count again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Occupancy {
    pub(crate) slots: BTreeMap<SourceId, usize>,
    pub(crate) in_grace: BTreeMap<SourceId, usize>,
}

impl Admission {
    pub(crate) fn new(config: &Config) -> Self {
        let slots = config.max_peers.get();
        let slots_of_source = config.max_peers_per_source();
        Self {
            bounds: Bounds {
                slots,
                slots_of_source,
                in_grace: quota::share_of(slots),
                in_grace_of_source: quota::share_of(slots_of_source),
                joins_of_source: Rate::over(
                    quota::share_of(slots_of_source),
                    quota::SOURCE_JOINS_PERIOD,
                ),
                pages_of_source: Rate::per_second(quota::PAGE_BYTES_OF_SOURCE),
                announced_of_source: Rate::per_second(quota::ANNOUNCED_BYTES_OF_SOURCE),
                announced: Rate::per_second(quota::ANNOUNCED_BYTES),
            },
            slots: 0,
            sources: BTreeMap::new(),
            n_in_grace: 0,
            by_in_grace: BTreeSet::new(),
            announced: Bucket::default(),
            sweep_at: MIN_SWEPT_SOURCES,
        }
    }

    /// Charges a source for one attempt to join (R-LIMIT-26).
    pub(crate) fn attempt(&mut self, source: SourceId, now: Instant) -> Result<(), Refusal> {
        let rate = self.bounds.joins_of_source;
        if self.holdings(source, now).joins.take(rate, now) {
            Ok(())
        } else {
            Err(Refusal::TooManyRequests)
        }
    }

    /// Returns whether there is a slot for one more peer of a source, once one of
    /// `leaving` is free (R-JOIN-13, R-LIMIT-24).
    pub(crate) fn check(&self, source: SourceId, leaving: Option<SourceId>) -> Result<(), Refusal> {
        let of_source = self.sources.get(&source).map_or(0, |held| held.slots);
        let own = usize::from(leaving == Some(source));
        if of_source.saturating_sub(own) >= self.bounds.slots_of_source {
            return Err(Refusal::SourceFull);
        }
        if self.slots.saturating_sub(usize::from(leaving.is_some())) >= self.bounds.slots {
            return Err(Refusal::StarFull);
        }
        Ok(())
    }

    pub(crate) fn take(&mut self, source: SourceId, now: Instant) {
        self.slots += 1;
        self.holdings(source, now).slots += 1;
    }

    pub(crate) fn free(&mut self, source: SourceId) {
        if let Some(held) = self.sources.get_mut(&source) {
            held.slots -= 1;
            self.slots -= 1;
        }
    }

    /// Notes a peer in grace until `until`.
    pub(crate) fn begin_grace(
        &mut self,
        source: SourceId,
        peer: PeerId,
        until: Instant,
        now: Instant,
    ) {
        let in_grace = &mut self.holdings(source, now).in_grace;
        let before = in_grace.len();
        in_grace.insert((until, peer));
        let after = in_grace.len();
        self.recount(source, before, after);
    }

    /// Notes that a peer is back, or its time over.
    pub(crate) fn end_grace(&mut self, source: SourceId, peer: PeerId, until: Instant) {
        let Some(held) = self.sources.get_mut(&source) else {
            return;
        };
        let before = held.in_grace.len();
        held.in_grace.remove(&(until, peer));
        let after = held.in_grace.len();
        self.recount(source, before, after);
    }

    fn recount(&mut self, source: SourceId, before: usize, after: usize) {
        self.n_in_grace = self.n_in_grace - before + after;
        self.by_in_grace.remove(&(before, source));
        if after > 0 {
            self.by_in_grace.insert((after, source));
        }
    }

    /// Returns the peer in grace that has to go, after a source has got a slot or one
    /// more of them (R-LIMIT-25).
    pub(crate) fn surplus(&self, source: SourceId) -> Option<PeerId> {
        let held = self.sources.get(&source)?;
        let is_source_over = held.in_grace.len() > self.bounds.in_grace_of_source
            || held.slots + held.in_grace.len() > self.bounds.slots_of_source;
        if is_source_over && let Some((_, peer)) = held.in_grace.first() {
            return Some(*peer);
        }
        let is_star_over = self.n_in_grace > self.bounds.in_grace
            || self.slots + self.n_in_grace > self.bounds.slots;
        if !is_star_over {
            return None;
        }
        let (_, most) = self.by_in_grace.last()?;
        let (_, peer) = self.sources.get(most)?.in_grace.first()?;
        Some(*peer)
    }

    /// Returns how long a source may read no pages (R-LIMIT-28).
    pub(crate) fn pages_wait(&self, source: SourceId, now: Instant) -> Option<Duration> {
        let pages = &self.sources.get(&source)?.pages;
        pages.wait(self.bounds.pages_of_source, now)
    }

    pub(crate) fn charge_pages(&mut self, source: SourceId, n_bytes: usize, now: Instant) {
        let rate = self.bounds.pages_of_source;
        let pages = &mut self.holdings(source, now).pages;
        pages.charge(rate, n_bytes, now);
    }

    /// Returns how many bytes may be sent at once to tell others of a peer of a source
    /// (R-LIMIT-29).
    pub(crate) fn announceable_bytes(&self, source: SourceId, now: Instant) -> usize {
        let left = self.announced.left(self.bounds.announced, now);
        let announced = self.sources.get(&source).map(|held| held.announced);
        let rate = self.bounds.announced_of_source;
        left.min(announced.unwrap_or_default().left(rate, now))
    }

    pub(crate) fn charge_announced(&mut self, source: SourceId, n_bytes: usize, now: Instant) {
        let rate = self.bounds.announced_of_source;
        let announced = &mut self.holdings(source, now).announced;
        announced.charge(rate, n_bytes, now);
        self.announced.charge(self.bounds.announced, n_bytes, now);
    }

    pub(crate) fn n_in_grace(&self) -> usize {
        self.n_in_grace
    }

    /// Returns what each source has, sources without any left out.
    pub(crate) fn occupancy(&self) -> Occupancy {
        let counts = |count: fn(&Holdings) -> usize| {
            let sources = self.sources.iter();
            sources
                .map(|(source, held)| (*source, count(held)))
                .filter(|(_, n)| *n > 0)
                .collect()
        };
        Occupancy {
            slots: counts(|held| held.slots),
            in_grace: counts(|held| held.in_grace.len()),
        }
    }

    fn holdings(&mut self, source: SourceId, now: Instant) -> &mut Holdings {
        if self.sources.len() >= self.sweep_at {
            self.sources.retain(|_, held| !held.is_even(now));
            self.sweep_at = (self.sources.len() * 2).max(MIN_SWEPT_SOURCES);
        }
        self.sources.entry(source).or_default()
    }
}

impl Holdings {
    /// Returns whether it may be forgotten: a new one would be the same.
    fn is_even(&self, now: Instant) -> bool {
        let mut buckets = [&self.joins, &self.pages, &self.announced].into_iter();
        self.slots == 0 && self.in_grace.is_empty() && buckets.all(|bucket| bucket.is_even(now))
    }
}
