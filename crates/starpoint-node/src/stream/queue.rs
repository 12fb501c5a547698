//! Streams that wait to be taken, shared fairly between their peers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use libp2p::PeerId;
use tokio::sync::Notify;

/// A bounded queue in which peers take turns. When it is full, a peer with fewer
/// items takes a place of the one that has most: so one peer cannot keep others
/// out, and one that is alone may have all of it.
///
/// The lock is for the table alone: nothing is dropped or waited for under it.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    table: Mutex<Table<T>>,
    changed: Notify,
    max_items: usize,
}

#[derive(Debug)]
struct Table<T> {
    /// Never empty ones.
    items: BTreeMap<PeerId, VecDeque<T>>,
    /// The peers of `items`, in the order of their turns.
    turns: VecDeque<PeerId>,
    n_items: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing more comes; what is there can be taken.
    Ended,
    /// Nobody takes anything any more.
    Abandoned,
}

impl<T> FairQueue<T> {
    pub(super) fn new(max_items: usize) -> Self {
        Self {
            table: Mutex::new(Table {
                items: BTreeMap::new(),
                turns: VecDeque::new(),
                n_items: 0,
                state: State::Open,
            }),
            changed: Notify::new(),
            max_items,
        }
    }

    /// Puts an item to those of its peer. Returns what found no place or lost it:
    /// this item, or the newest of the peer that has most.
    pub(super) fn push(&self, peer: PeerId, item: T) -> Option<(PeerId, T)> {
        let mut table = self.lock();
        if table.state != State::Open {
            return Some((peer, item));
        }
        let mut displaced = None;
        if table.n_items >= self.max_items {
            match table.greediest(peer) {
                Some(greedy) => displaced = table.take_newest(greedy),
                None => return Some((peer, item)),
            }
        }
        if !table.items.contains_key(&peer) {
            table.turns.push_back(peer);
        }
        table.items.entry(peer).or_default().push_back(item);
        table.n_items += 1;
        drop(table);
        self.changed.notify_one();
        displaced
    }

    /// Waits for the next item; `None` at the end. For one at a time. Cancel safe.
    pub(super) async fn next(&self) -> Option<(PeerId, T)> {
        loop {
            let changed = self.changed.notified();
            {
                let mut table = self.lock();
                if let Some(next) = table.take_next() {
                    return Some(next);
                }
                if table.state != State::Open {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Returns whether somebody may still take what comes.
    pub(super) fn is_open(&self) -> bool {
        self.lock().state == State::Open
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        self.lock().state = State::Ended;
        self.changed.notify_one();
    }

    /// Nobody takes anything any more; drops what waits.
    pub(super) fn abandon(&self) {
        let dropped = {
            let mut table = self.lock();
            table.state = State::Abandoned;
            table.n_items = 0;
            table.turns.clear();
            std::mem::take(&mut table.items)
        };
        drop(dropped);
    }

    /// The table is whole between any two statements, so a panic elsewhere has
    /// not broken it.
    fn lock(&self) -> MutexGuard<'_, Table<T>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Table<T> {
    /// Returns the peer with most items, if it would still have as many as `peer`
    /// after giving one to it.
    fn greediest(&self, peer: PeerId) -> Option<PeerId> {
        let n_own = self.items.get(&peer).map_or(0, VecDeque::len);
        let most = self.items.iter().max_by_key(|(_, items)| items.len());
        most.filter(|(_, items)| items.len() > n_own + 1)
            .map(|(greedy, _)| *greedy)
    }

    fn take_newest(&mut self, peer: PeerId) -> Option<(PeerId, T)> {
        let item = self.items.get_mut(&peer)?.pop_back()?;
        self.n_items -= 1;
        Some((peer, item))
    }

    fn take_next(&mut self) -> Option<(PeerId, T)> {
        let peer = self.turns.pop_front()?;
        let items = self.items.get_mut(&peer)?;
        let item = items.pop_front()?;
        self.n_items -= 1;
        if items.is_empty() {
            self.items.remove(&peer);
        } else {
            self.turns.push_back(peer);
        }
        Some((peer, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_alone_has_all_places_in_order() {
        let queue = FairQueue::new(3);
        let peer = PeerId::random();
        for item in 0..3 {
            assert_eq!(queue.push(peer, item), None);
        }
        assert_eq!(queue.push(peer, 3), Some((peer, 3)));
        for item in 0..3 {
            assert_eq!(queue.next().await, Some((peer, item)));
        }
        queue.end();
        assert_eq!(queue.next().await, None);
        assert_eq!(queue.push(peer, 4), Some((peer, 4)));
    }

    #[tokio::test]
    async fn a_full_queue_has_a_place_for_a_peer_with_fewer() {
        let queue = FairQueue::new(4);
        let [greedy, modest] = [PeerId::random(), PeerId::random()];
        for item in 0..4 {
            queue.push(greedy, item);
        }
        assert_eq!(queue.push(modest, 10), Some((greedy, 3)));
        assert_eq!(queue.push(modest, 11), Some((greedy, 2)));
        // Now both have as many.
        assert_eq!(queue.push(modest, 12), Some((modest, 12)));
        assert_eq!(queue.push(greedy, 4), Some((greedy, 4)));
        for expected in [(greedy, 0), (modest, 10), (greedy, 1), (modest, 11)] {
            assert_eq!(queue.next().await, Some(expected));
        }
    }

    #[tokio::test]
    async fn what_nobody_takes_is_dropped() {
        let queue = FairQueue::new(4);
        let peer = PeerId::random();
        let item = std::sync::Arc::new(());
        queue.push(peer, item.clone());
        assert!(queue.is_open());
        queue.abandon();
        assert!(!queue.is_open());
        assert_eq!(std::sync::Arc::strong_count(&item), 1);
        assert_eq!(queue.next().await, None);
    }
}
