//! Bounds of the streams that are not yet those of a session (R-TUNNEL-4).
//!
//! ```text
//!          take               spoke               drop
//!  opened ──────► silent ─────────────► asking ─────────► free
//!                   │ a newer one of another
//!                   │ stranger needs its place
//!                   └────────► cut
//! ```
//!
//! A stream gives its slot back when its session has a bound for it (a control
//! stream is let in, a socket is granted), or when it ends. Peers that are not in
//! share what there is for strangers; a client has its own, which no stranger can
//! take.

use std::{
    collections::BTreeMap,
    num::NonZero,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use starpoint_node::PeerId;
use tokio_util::sync::CancellationToken;

/// Streams of one peer that is not in. A client needs one to join.
const MAX_OF_STRANGER: usize = 8;
/// Streams of all peers that are not in.
const MAX_OF_STRANGERS: usize = 256;
/// Streams that a client may have besides its sockets: those of its control
/// stream and of sockets that end.
const MORE_THAN_SOCKETS: usize = 8;

/// Who has opened a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// A client that is in.
    Member,
    /// Anybody else.
    Stranger,
}

/// The slots of a host.
#[derive(Debug)]
pub(super) struct Slots {
    table: Arc<Mutex<Table>>,
    max_of_member: usize,
}

#[derive(Debug, Default)]
struct Table {
    n_taken: u64,
    /// Streams of strangers by their age.
    strangers: BTreeMap<u64, Stranger>,
    /// Number of streams of each client.
    members: BTreeMap<PeerId, usize>,
}

#[derive(Debug)]
struct Stranger {
    peer: PeerId,
    is_silent: bool,
    cut: CancellationToken,
}

/// The place of one stream, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    table: Arc<Mutex<Table>>,
    peer: PeerId,
    whose: Whose,
    number: u64,
    cut: CancellationToken,
}

impl Slots {
    pub(super) fn new(max_sockets: NonZero<usize>) -> Self {
        Self {
            table: Arc::default(),
            max_of_member: max_sockets.get().saturating_add(MORE_THAN_SOCKETS),
        }
    }

    /// Takes a place for a stream; none when its peer has as many as it may, or
    /// all strangers together have and none of theirs is silent.
    pub(super) fn take(&self, peer: PeerId, whose: Whose) -> Option<Slot> {
        let mut table = lock(&self.table);
        table.n_taken += 1;
        let number = table.n_taken;
        let cut = CancellationToken::new();
        match whose {
            Whose::Member => {
                let n_streams = table.members.entry(peer).or_default();
                if *n_streams >= self.max_of_member {
                    return None;
                }
                *n_streams += 1;
            }
            Whose::Stranger => {
                let is_its = |held: &&Stranger| held.peer == peer;
                if table.strangers.values().filter(is_its).count() >= MAX_OF_STRANGER {
                    return None;
                }
                if table.strangers.len() >= MAX_OF_STRANGERS {
                    table.cut_oldest_silent()?;
                }
                let stranger = Stranger {
                    peer,
                    is_silent: true,
                    cut: cut.clone(),
                };
                table.strangers.insert(number, stranger);
            }
        }
        drop(table);
        Some(Slot {
            table: Arc::clone(&self.table),
            peer,
            whose,
            number,
            cut,
        })
    }
}

impl Table {
    fn cut_oldest_silent(&mut self) -> Option<()> {
        let mut silent = self.strangers.iter().filter(|(_, held)| held.is_silent);
        let oldest = silent.next().map(|(number, _)| *number)?;
        self.strangers.remove(&oldest)?.cut.cancel();
        Some(())
    }

    fn free(&mut self, slot: &Slot) {
        match slot.whose {
            Whose::Stranger => drop(self.strangers.remove(&slot.number)),
            Whose::Member => {
                if let Some(n_streams) = self.members.get_mut(&slot.peer) {
                    *n_streams -= 1;
                    if *n_streams == 0 {
                        self.members.remove(&slot.peer);
                    }
                }
            }
        }
    }
}

impl Slot {
    /// Waits until another stream needs the place of this silent one.
    pub(super) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Takes note that the stream has said what it is for: it is not cut any more.
    pub(super) fn spoke(&self) {
        if let Some(held) = lock(&self.table).strangers.get_mut(&self.number) {
            held.is_silent = false;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.table).free(self);
    }
}

/// The table is whole between any two statements, so a panic elsewhere has not
/// broken it.
fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(max_sockets: usize) -> Slots {
        Slots::new(NonZero::new(max_sockets).unwrap())
    }

    #[test]
    fn r_tunnel_4_a_stranger_has_eight_streams() {
        let slots = slots(1);
        let [peer, other] = [PeerId::random(), PeerId::random()];
        let take = |peer| slots.take(peer, Whose::Stranger);
        let mut held: Vec<_> = (0..MAX_OF_STRANGER).map_while(|_| take(peer)).collect();
        assert_eq!(held.len(), MAX_OF_STRANGER);
        assert!(take(peer).is_none());
        assert!(take(other).is_some());
        held.pop();
        held.push(take(peer).unwrap());
        assert!(take(peer).is_none());
    }

    #[test]
    fn r_tunnel_4_the_oldest_silent_stream_of_strangers_makes_room() {
        let slots = slots(1);
        let take = || slots.take(PeerId::random(), Whose::Stranger).unwrap();
        let held: Vec<_> = (0..MAX_OF_STRANGERS).map(|_| take()).collect();
        held[0].spoke();
        let newest = take();
        assert!(!held[0].cut.is_cancelled());
        assert!(held[1].cut.is_cancelled());
        assert!(held[2..].iter().all(|slot| !slot.cut.is_cancelled()));
        // Who has spoken keeps its place.
        held.iter().for_each(Slot::spoke);
        let another = take();
        assert!(newest.cut.is_cancelled());
        another.spoke();
        assert!(slots.take(PeerId::random(), Whose::Stranger).is_none());
        // What was cut has no place to give back.
        drop(newest);
        assert!(slots.take(PeerId::random(), Whose::Stranger).is_none());
        drop(another);
        assert!(slots.take(PeerId::random(), Whose::Stranger).is_some());
    }

    #[test]
    fn r_tunnel_4_a_client_has_streams_that_no_stranger_can_take() {
        let slots = slots(2);
        let strangers: Vec<_> = (0..MAX_OF_STRANGERS)
            .map(|_| slots.take(PeerId::random(), Whose::Stranger).unwrap())
            .collect();
        let [client, other] = [PeerId::random(), PeerId::random()];
        let take = |peer| slots.take(peer, Whose::Member);
        let held: Vec<_> = (0..99).map_while(|_| take(client)).collect();
        assert_eq!(held.len(), 2 + MORE_THAN_SOCKETS);
        assert!(take(other).is_some());
        assert!(strangers.iter().all(|slot| !slot.cut.is_cancelled()));
        drop(held);
        assert!(take(client).is_some());
        assert!(lock(&slots.table).members.is_empty());
    }
}
