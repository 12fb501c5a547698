//! Stream payload that is in the star, by the source of its writer.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::SourceId;

/// Bytes of chunks that wait in the broker or are in flight: handed to a transport
/// that has not reported them written (R-FLOW-7).
#[derive(Debug, Default)]
pub(crate) struct Account {
    total: usize,
    by_source: BTreeMap<SourceId, usize>,
    /// Sources whose value has changed since it was last published.
    changed: BTreeSet<SourceId>,
}

impl Account {
    pub(crate) fn add(&mut self, source: SourceId, bytes: usize) {
        self.total += bytes;
        *self.by_source.entry(source).or_default() += bytes;
        self.changed.insert(source);
    }

    pub(crate) fn subtract(&mut self, source: SourceId, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.total -= bytes;
        if let Some(of_source) = self.by_source.get_mut(&source) {
            *of_source -= bytes;
            if *of_source == 0 {
                self.by_source.remove(&source);
            }
        }
        self.changed.insert(source);
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Returns the sources that have bytes in the star, with how many.
    pub(crate) fn by_source(&self) -> &BTreeMap<SourceId, usize> {
        &self.by_source
    }

    /// Returns the new value of each source whose value has changed since the last
    /// call.
    pub(crate) fn take_changes(&mut self) -> impl Iterator<Item = (SourceId, usize)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed.map(|source| (source, self.by_source.get(&source).copied().unwrap_or(0)))
    }
}
