//! The places that connections have, and who loses one when there are none left.
//! Pure: it only says what is to be done.

use std::collections::{BTreeMap, BTreeSet};

use starpoint_broker::SourceId;

/// Connections above the ordinary ones that are answered about the star's health.
pub(crate) const RESERVE: usize = 32;
/// Part of the reserve that one source may have.
const RESERVE_PER_SOURCE: usize = 8;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Ordinary connections of all sources.
    pub(crate) total: usize,
    /// Ordinary connections of one source.
    pub(crate) per_source: usize,
}

/// Whether the share of a source applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// It does.
    Bounded,
    /// It does not: the connection is of a proxy, which speaks for many.
    Proxy,
}

/// The number of a connection, in the order in which they were accepted.
pub(crate) type Key = u64;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has no request under way: a newcomer may have its place.
    Idle,
    /// A request of it is being answered.
    Busy,
    /// It is no longer one of HTTP.
    Upgraded,
    /// It may ask how the star is, and nothing else.
    Reserve,
    /// It was told to go, and has not yet.
    Closing,
}

/// Why a connection has no ordinary place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The star has as many as it may have.
    StarFull,
    /// The source has its share.
    SourceFull,
}

/// What becomes of a new connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    pub(crate) key: Key,
    /// Why it is in the reserve; `None` for an ordinary place.
    pub(crate) refused: Option<Reason>,
    /// A connection that has to go for it.
    pub(crate) shed: Option<Key>,
}

#[derive(Debug)]
struct Entry {
    source: SourceId,
    stage: Stage,
}

/// Every connection.
#[derive(Debug)]
pub(crate) struct Table {
    bounds: Bounds,
    last: Key,
    entries: BTreeMap<Key, Entry>,
    open: Tally,
    idle: Line,
    reserve: Line,
    n_closing: usize,
}

impl Table {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            last: 0,
            entries: BTreeMap::new(),
            open: Tally::default(),
            idle: Line::default(),
            reserve: Line::default(),
            n_closing: 0,
        }
    }

    /// Gives a new connection a place: an ordinary one, that of a connection without
    /// a request if need be, or one in the reserve.
    pub(crate) fn admit(&mut self, source: SourceId, share: Share) -> Admission {
        let is_full = self.open.n_of(source) >= self.bounds.per_source;
        let room = if is_full && share == Share::Bounded {
            let shed = self.idle.oldest_of(source);
            shed.ok_or(Reason::SourceFull).map(Some)
        } else if self.open.total >= self.bounds.total {
            let shed = self.idle.oldest_of_most();
            shed.ok_or(Reason::StarFull).map(Some)
        } else {
            Ok(None)
        };
        let (stage, refused, shed) = match room {
            Ok(shed) => (Stage::Idle, None, shed),
            Err(reason) => (Stage::Reserve, Some(reason), self.reserve_for(source)),
        };
        if let Some(key) = shed {
            self.set_stage(key, Stage::Closing);
        }
        self.last += 1;
        let key = self.last;
        self.enter(key, source, stage);
        self.entries.insert(key, Entry { source, stage });
        Admission { key, refused, shed }
    }

    /// Returns whose place in the reserve a newcomer takes, if it is full.
    fn reserve_for(&self, source: SourceId) -> Option<Key> {
        if self.reserve.n_of(source) >= RESERVE_PER_SOURCE {
            self.reserve.oldest_of(source)
        } else if self.reserve.len() >= RESERVE {
            self.reserve.oldest_of_most()
        } else {
            None
        }
    }

    /// Frees the place of a connection without a request. `None` when each has one.
    pub(crate) fn shed(&mut self) -> Option<Key> {
        let key = self.idle.oldest_of_most()?;
        self.set_stage(key, Stage::Closing);
        Some(key)
    }

    pub(crate) fn stage(&self, key: Key) -> Option<Stage> {
        Some(self.entries.get(&key)?.stage)
    }

    /// Notes what a connection does now. One in the reserve, or told to go, stays so.
    pub(crate) fn advance(&mut self, key: Key, stage: Stage) {
        match self.stage(key) {
            Some(Stage::Idle | Stage::Busy | Stage::Upgraded) => self.set_stage(key, stage),
            Some(Stage::Reserve | Stage::Closing) | None => {}
        }
    }

    /// Counts a connection of a proxy for the client that the proxy speaks for now, in
    /// place of another one of the client that has no request, if need be. Returns
    /// that one, which has to go.
    pub(crate) fn attribute(
        &mut self,
        key: Key,
        source: SourceId,
        share: Share,
    ) -> Result<Option<Key>, Reason> {
        let Some(entry) = self.entries.get(&key) else {
            return Err(Reason::SourceFull);
        };
        let (before, stage) = (entry.source, entry.stage);
        match stage {
            Stage::Idle | Stage::Busy | Stage::Upgraded if before != source => {}
            Stage::Idle | Stage::Busy | Stage::Upgraded | Stage::Reserve | Stage::Closing => {
                return Ok(None);
            }
        }
        let mut shed = None;
        if share == Share::Bounded && self.open.n_of(source) >= self.bounds.per_source {
            let oldest = self.idle.oldest_of(source).ok_or(Reason::SourceFull)?;
            self.set_stage(oldest, Stage::Closing);
            shed = Some(oldest);
        }
        self.leave(key, before, stage);
        self.enter(key, source, stage);
        self.entries.insert(key, Entry { source, stage });
        Ok(shed)
    }

    /// Forgets a connection that has ended.
    pub(crate) fn end(&mut self, key: Key) {
        if let Some(entry) = self.entries.remove(&key) {
            self.leave(key, entry.source, entry.stage);
        }
    }

    fn set_stage(&mut self, key: Key, stage: Stage) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let source = entry.source;
        let before = std::mem::replace(&mut entry.stage, stage);
        self.leave(key, source, before);
        self.enter(key, source, stage);
    }

    /// Enters a connection where one in this stage is counted.
    fn enter(&mut self, key: Key, source: SourceId, stage: Stage) {
        match stage {
            Stage::Idle => {
                self.open.add(source);
                self.idle.insert(source, key);
            }
            Stage::Busy | Stage::Upgraded => self.open.add(source),
            Stage::Reserve => self.reserve.insert(source, key),
            Stage::Closing => self.n_closing += 1,
        }
    }

    fn leave(&mut self, key: Key, source: SourceId, stage: Stage) {
        match stage {
            Stage::Idle => {
                self.open.subtract(source);
                self.idle.remove(source, key);
            }
            Stage::Busy | Stage::Upgraded => self.open.subtract(source),
            Stage::Reserve => self.reserve.remove(source, key),
            Stage::Closing => self.n_closing -= 1,
        }
    }

    /// Returns the number of connections, those included that were told to go.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the number of connections that were told to go and have not.
    pub(crate) fn n_closing(&self) -> usize {
        self.n_closing
    }

    /// Returns the number of sources that have ordinary connections.
    pub(crate) fn n_sources(&self) -> usize {
        self.open.by_source.len()
    }
}

/// Numbers of connections, by source.
#[derive(Debug, Default)]
struct Tally {
    by_source: BTreeMap<SourceId, usize>,
    total: usize,
}

impl Tally {
    fn add(&mut self, source: SourceId) {
        *self.by_source.entry(source).or_default() += 1;
        self.total += 1;
    }

    fn subtract(&mut self, source: SourceId) {
        let Some(number) = self.by_source.get_mut(&source) else {
            return;
        };
        *number -= 1;
        self.total -= 1;
        if *number == 0 {
            self.by_source.remove(&source);
        }
    }

    fn n_of(&self, source: SourceId) -> usize {
        self.by_source.get(&source).copied().unwrap_or_default()
    }
}

/// Connections in order, by source.
#[derive(Debug, Default)]
struct Line {
    by_source: BTreeMap<SourceId, BTreeSet<Key>>,
    /// Each source with the length of its line.
    by_length: BTreeSet<(usize, SourceId)>,
    len: usize,
}

impl Line {
    fn insert(&mut self, source: SourceId, key: Key) {
        let keys = self.by_source.entry(source).or_default();
        let before = keys.len();
        if keys.insert(key) {
            self.by_length.remove(&(before, source));
            self.by_length.insert((before + 1, source));
            self.len += 1;
        }
    }

    fn remove(&mut self, source: SourceId, key: Key) {
        let Some(keys) = self.by_source.get_mut(&source) else {
            return;
        };
        let before = keys.len();
        if !keys.remove(&key) {
            return;
        }
        self.len -= 1;
        self.by_length.remove(&(before, source));
        if before == 1 {
            self.by_source.remove(&source);
        } else {
            self.by_length.insert((before - 1, source));
        }
    }

    fn len(&self) -> usize {
        self.len
    }

    fn n_of(&self, source: SourceId) -> usize {
        self.by_source.get(&source).map_or(0, BTreeSet::len)
    }

    fn oldest_of(&self, source: SourceId) -> Option<Key> {
        self.by_source.get(&source)?.first().copied()
    }

    fn oldest_of_most(&self) -> Option<Key> {
        let (_, source) = self.by_length.last()?;
        self.oldest_of(*source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SourceId = SourceId(1);
    const OTHER: SourceId = SourceId(2);

    fn table(total: usize, per_source: usize) -> Table {
        Table::new(Bounds { total, per_source })
    }

    fn admit(table: &mut Table, source: SourceId) -> Admission {
        table.admit(source, Share::Bounded)
    }

    /// Admits a connection that is answered for good.
    fn admit_busy(table: &mut Table, source: SourceId) -> Key {
        let admission = admit(table, source);
        assert_eq!(admission.refused, None);
        table.advance(admission.key, Stage::Busy);
        admission.key
    }

    #[test]
    fn a_full_star_sheds_the_oldest_idle_connection_of_the_source_that_has_most() {
        let mut table = table(4, 4);
        let busy = admit_busy(&mut table, ONE);
        let oldest = admit(&mut table, OTHER).key;
        let hog = admit(&mut table, ONE).key;
        admit(&mut table, ONE);
        let admission = admit(&mut table, SourceId(3));
        assert_eq!((admission.refused, admission.shed), (None, Some(hog)));
        assert_eq!(table.stage(hog), Some(Stage::Closing));
        assert_eq!(table.n_closing(), 1);
        table.end(hog);
        assert_eq!((table.n_closing(), table.len()), (0, 4));
        assert_eq!(table.stage(busy), Some(Stage::Busy));
        assert_eq!(table.stage(oldest), Some(Stage::Idle));
    }

    #[test]
    fn a_source_with_its_share_sheds_its_own_and_nobody_elses() {
        let mut table = table(10, 2);
        admit(&mut table, OTHER);
        let first = admit(&mut table, ONE).key;
        admit_busy(&mut table, ONE);
        let admission = admit(&mut table, ONE);
        assert_eq!((admission.refused, admission.shed), (None, Some(first)));
        table.advance(admission.key, Stage::Upgraded);
        let admission = admit(&mut table, ONE);
        assert_eq!(admission.refused, Some(Reason::SourceFull));
        assert_eq!(admission.shed, None);
        assert_eq!(table.stage(admission.key), Some(Stage::Reserve));
        assert_eq!(admit(&mut table, OTHER).refused, None);
    }

    #[test]
    fn a_connection_in_the_reserve_never_leaves_it() {
        let mut table = table(1, 1);
        admit_busy(&mut table, ONE);
        let key = admit(&mut table, OTHER).key;
        for stage in [Stage::Busy, Stage::Idle, Stage::Upgraded] {
            table.advance(key, stage);
            assert_eq!(table.stage(key), Some(Stage::Reserve));
        }
    }

    #[test]
    fn no_source_has_the_reserve_for_itself() {
        let mut table = table(1, 1);
        admit_busy(&mut table, ONE);
        let mut keys = Vec::new();
        for n in 0..RESERVE_PER_SOURCE {
            let admission = admit(&mut table, ONE);
            assert_eq!(admission.shed, None, "{n}");
            keys.push(admission.key);
        }
        assert_eq!(admit(&mut table, ONE).shed, Some(keys[0]));
        for n in 0..RESERVE - RESERVE_PER_SOURCE {
            let source = SourceId(100 + n as u64);
            assert_eq!(admit(&mut table, source).shed, None, "{n}");
        }
        assert_eq!(admit(&mut table, SourceId(99)).shed, Some(keys[1]));
        assert_eq!(table.reserve.len(), RESERVE);
    }

    #[test]
    fn a_connection_of_a_proxy_counts_for_its_client() {
        let proxy = SourceId(9);
        let mut table = table(10, 1);
        let mut keys = Vec::new();
        for _ in 0..3 {
            let admission = table.admit(proxy, Share::Proxy);
            assert_eq!(admission.refused, None);
            keys.push(admission.key);
        }
        assert_eq!(table.attribute(keys[0], ONE, Share::Bounded), Ok(None));
        assert_eq!(table.attribute(keys[0], ONE, Share::Bounded), Ok(None));
        table.advance(keys[0], Stage::Busy);
        let refused = table.attribute(keys[1], ONE, Share::Bounded);
        assert_eq!(refused, Err(Reason::SourceFull));
        assert_eq!(table.attribute(keys[1], OTHER, Share::Bounded), Ok(None));
        // One without a request makes room, as for a connection without a proxy.
        table.advance(keys[0], Stage::Idle);
        let shed = table.attribute(keys[2], ONE, Share::Bounded);
        assert_eq!(shed, Ok(Some(keys[0])));
        assert_eq!(admit(&mut table, ONE).shed, Some(keys[2]));
        assert_eq!(table.n_sources(), 2);
    }

    #[test]
    fn nothing_is_left_of_connections_that_ended() {
        let mut table = table(3, 2);
        for round in 0..1_000_u64 {
            let key = admit(&mut table, SourceId(round % 5)).key;
            if round % 3 == 0 {
                table.advance(key, Stage::Busy);
            }
            if round % 7 == 0 {
                table.shed();
            }
            if round >= 4 {
                table.end(round - 3);
            }
        }
        for key in 0..=1_000 {
            table.end(key);
        }
        assert_eq!(
            (table.len(), table.n_closing(), table.n_sources()),
            (0, 0, 0)
        );
        assert_eq!(table.open.total, 0);
        for line in [&table.idle, &table.reserve] {
            assert!(line.len() == 0 && line.by_source.is_empty() && line.by_length.is_empty());
        }
    }
}
