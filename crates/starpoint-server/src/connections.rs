//! Every connection, within bounds in total and for each source.

mod table;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use starpoint_broker::SourceId;
use tokio::sync::{Notify, oneshot};

pub(crate) use table::{Bounds, RESERVE, Reason, Share, Stage};
use table::{Key, Table};

/// Connections told to go that may not have gone yet, before accepting waits for
/// them: each has a descriptor still.
pub(crate) const MAX_CLOSING: usize = 64;

/// Numbers for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) connections: usize,
    pub(crate) sources: usize,
    pub(crate) star_full: u64,
    pub(crate) source_full: u64,
    pub(crate) shed: u64,
}

/// The connections of a star.
#[derive(Debug)]
pub(crate) struct Connections {
    state: Mutex<State>,
    /// Told when a connection has ended.
    ended: Notify,
    star_full: AtomicU64,
    source_full: AtomicU64,
    shed: AtomicU64,
}

#[derive(Debug)]
struct State {
    table: Table,
    /// The ways to tell a connection to go, of those that may be told.
    signals: BTreeMap<Key, oneshot::Sender<()>>,
}

impl State {
    fn tell_to_go(&mut self, key: Key) {
        if let Some(signal) = self.signals.remove(&key) {
            // It may be ending already.
            let _ = signal.send(());
        }
    }
}

/// A connection that was let in.
pub(crate) struct Admitted {
    pub(crate) slot: Slot,
    /// Resolves to `Ok` when the connection has to go.
    pub(crate) to_go: oneshot::Receiver<()>,
    /// Why it may do no more than ask for the star's health.
    pub(crate) refused: Option<Reason>,
}

impl Connections {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                table: Table::new(bounds),
                signals: BTreeMap::new(),
            }),
            ended: Notify::new(),
            star_full: AtomicU64::new(0),
            source_full: AtomicU64::new(0),
            shed: AtomicU64::new(0),
        })
    }

    /// Takes a new connection in.
    pub(crate) fn admit(self: &Arc<Self>, source: SourceId, share: Share) -> Admitted {
        let (signal, to_go) = oneshot::channel();
        let mut state = self.lock();
        let admission = state.table.admit(source, share);
        state.signals.insert(admission.key, signal);
        if let Some(key) = admission.shed {
            state.tell_to_go(key);
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
        drop(state);
        if let Some(reason) = admission.refused {
            self.note(reason);
        }
        Admitted {
            slot: Slot {
                connections: self.clone(),
                key: admission.key,
            },
            to_go,
            refused: admission.refused,
        }
    }

    /// Counts a refusal.
    pub(crate) fn note(&self, reason: Reason) {
        let counter = match reason {
            Reason::StarFull => &self.star_full,
            Reason::SourceFull => &self.source_full,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells a connection without a request to go, if there is one.
    pub(crate) fn shed(&self) {
        let mut state = self.lock();
        if let Some(key) = state.table.shed() {
            state.tell_to_go(key);
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until few of the connections that were told to go are left.
    pub(crate) async fn settled(&self) {
        self.wait_until(|table| table.n_closing() < MAX_CLOSING)
            .await;
    }

    /// Waits until there is no connection.
    pub(crate) async fn all_ended(&self) {
        self.wait_until(|table| table.len() == 0).await;
    }

    async fn wait_until(&self, condition: impl Fn(&Table) -> bool) {
        loop {
            let ended = self.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if condition(&self.lock().table) {
                return;
            }
            ended.await;
        }
    }

    pub(crate) fn numbers(&self) -> Numbers {
        let state = self.lock();
        Numbers {
            connections: state.table.len(),
            sources: state.table.n_sources(),
            star_full: self.star_full.load(Ordering::Relaxed),
            source_full: self.source_full.load(Ordering::Relaxed),
            shed: self.shed.load(Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection, given back when the connection is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    connections: Arc<Connections>,
    key: Key,
}

impl Slot {
    /// Returns a handle to note what the connection does, which holds no place.
    pub(crate) fn marker(&self) -> Marker {
        Marker {
            connections: self.connections.clone(),
            key: self.key,
        }
    }

    /// Returns whether the connection is no longer one of HTTP.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.connections.lock().table.stage(self.key) == Some(Stage::Upgraded)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.connections.lock();
        state.table.end(self.key);
        state.signals.remove(&self.key);
        drop(state);
        self.connections.ended.notify_waiters();
    }
}

/// Notes what one connection does.
#[derive(Clone, Debug)]
pub(crate) struct Marker {
    connections: Arc<Connections>,
    key: Key,
}

impl Marker {
    /// Counts the connection for the client that its proxy speaks for now. Returns
    /// whether the client may have one more.
    pub(crate) fn attribute(&self, source: SourceId, share: Share) -> bool {
        let mut state = self.connections.lock();
        let attributed = state.table.attribute(self.key, source, share);
        if let Ok(Some(key)) = attributed {
            state.tell_to_go(key);
            self.connections.shed.fetch_add(1, Ordering::Relaxed);
        }
        drop(state);
        if let Err(reason) = attributed {
            self.connections.note(reason);
        }
        attributed.is_ok()
    }

    /// Notes that a request is under way.
    pub(crate) fn begin(&self) {
        self.connections.lock().table.advance(self.key, Stage::Busy);
    }

    /// Notes that a request was answered.
    pub(crate) fn finish(&self) {
        self.connections.lock().table.advance(self.key, Stage::Idle);
    }

    /// Notes that the connection is no longer one of HTTP.
    pub(crate) fn upgrade(&self) {
        let mut state = self.connections.lock();
        state.table.advance(self.key, Stage::Upgraded);
        state.signals.remove(&self.key);
    }
}
