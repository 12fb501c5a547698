//! Peers to name to a newcomer: drawn at random, from every source in turn.

use std::collections::{BTreeMap, HashMap, VecDeque};

use rand_core::Rng;

use crate::{directory::Seq, id::SourceId};

/// The addresses that a newcomer may be told of, by source.
///
/// Adding, removing and drawing one take the same time however many there are.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    sources: Vec<SourceId>,
    households: HashMap<SourceId, Household>,
}

/// What one source has.
#[derive(Debug, Default)]
struct Household {
    /// Where the source stands among the others.
    place: usize,
    members: Vec<Seq>,
}

impl Roster {
    /// Adds an address; returns its place among those of its source.
    pub(crate) fn add(&mut self, source: SourceId, seq: Seq) -> usize {
        let household = self.households.entry(source).or_insert_with(|| {
            self.sources.push(source);
            Household {
                place: self.sources.len() - 1,
                members: Vec::new(),
            }
        });
        household.members.push(seq);
        household.members.len() - 1
    }

    /// Removes the address at a place; returns the one that stands there now, if any.
    pub(crate) fn remove(&mut self, source: SourceId, place: usize) -> Option<Seq> {
        let household = self.households.get_mut(&source)?;
        household.members.swap_remove(place);
        if household.members.is_empty() {
            self.remove_source(source);
            return None;
        }
        household.members.get(place).copied()
    }

    fn remove_source(&mut self, source: SourceId) {
        let Some(household) = self.households.remove(&source) else {
            return;
        };
        self.sources.swap_remove(household.place);
        let moved = self.sources.get(household.place);
        if let Some(moved) = moved.and_then(|moved| self.households.get_mut(moved)) {
            moved.place = household.place;
        }
    }

    /// Draws the addresses in random order, one of each source in each round, none
    /// twice (R-PEER-4).
    pub(crate) fn draw<'a, R: Rng>(&'a self, rng: &'a mut R) -> Draw<'a, R> {
        Draw {
            roster: self,
            rng,
            sources: Shuffle::new(self.sources.len()),
            turns: VecDeque::new(),
        }
    }
}

/// See [`Roster::draw`].
#[derive(Debug)]
pub(crate) struct Draw<'a, R> {
    roster: &'a Roster,
    rng: &'a mut R,
    /// Sources that have not had their first turn.
    sources: Shuffle,
    /// Sources that have had one, and have more.
    turns: VecDeque<(&'a [Seq], Shuffle)>,
}

impl<R: Rng> Iterator for Draw<'_, R> {
    type Item = Seq;

    fn next(&mut self) -> Option<Seq> {
        let (members, mut shuffle) = match self.sources.draw(self.rng) {
            Some(place) => {
                let source = self.roster.sources.get(place)?;
                let members = &self.roster.households.get(source)?.members[..];
                (members, Shuffle::new(members.len()))
            }
            None => self.turns.pop_front()?,
        };
        let seq = members.get(shuffle.draw(self.rng)?).copied();
        if !shuffle.is_done() {
            self.turns.push_back((members, shuffle));
        }
        seq
    }
}

/// The numbers below a bound in random order, each once, in memory for those that were
/// drawn.
#[derive(Debug)]
struct Shuffle {
    /// What stands where another number was (Fisher and Yates).
    moved: BTreeMap<usize, usize>,
    n_drawn: usize,
    bound: usize,
}

impl Shuffle {
    fn new(bound: usize) -> Self {
        Self {
            moved: BTreeMap::new(),
            n_drawn: 0,
            bound,
        }
    }

    fn is_done(&self) -> bool {
        self.n_drawn == self.bound
    }

    fn draw<R: Rng>(&mut self, rng: &mut R) -> Option<usize> {
        let n_left = self.bound - self.n_drawn;
        // Of 2^64 numbers that many more or less come out at one place: nothing.
        let skip = rng.next_u64().checked_rem(n_left as u64)?;
        let at = self.n_drawn + usize::try_from(skip).ok()?;
        let first = self.moved.remove(&self.n_drawn).unwrap_or(self.n_drawn);
        self.n_drawn += 1;
        if at + 1 == self.n_drawn {
            return Some(first);
        }
        Some(self.moved.insert(at, first).unwrap_or(at))
    }
}

#[cfg(test)]
mod tests;
