//! Every session, by number and by the name that long polling uses.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use starpoint_broker::ConnId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    session::{Event, Heartbeat, Session},
    source::Source,
    tally::Tally,
};

/// Finds sessions and makes new ones. Holds none alive.
#[derive(Debug)]
pub(crate) struct Registry {
    events: mpsc::UnboundedSender<Event>,
    last_conn: AtomicU64,
    /// One permit for each session that began with long polling: these do not end
    /// with a connection.
    polling: Arc<Semaphore>,
    tally: Arc<Tally>,
    known: Mutex<Known>,
}

/// The place of a session that began with long polling.
#[derive(Debug)]
pub(crate) struct PollingRoom {
    _of_source: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct Known {
    by_conn: BTreeMap<ConnId, Weak<Session>>,
    /// By Engine.IO session id; only sessions that began with long polling.
    by_sid: HashMap<String, Weak<Session>>,
}

impl Registry {
    pub(crate) fn new(
        events: mpsc::UnboundedSender<Event>,
        max_polling: usize,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            events,
            last_conn: AtomicU64::new(0),
            polling: Arc::new(Semaphore::new(max_polling)),
            tally,
            known: Mutex::default(),
        }
    }

    /// Returns the way to the star's task.
    pub(crate) fn events(&self) -> mpsc::UnboundedSender<Event> {
        self.events.clone()
    }

    /// Tells the star something that is no session's. Each connection has at most
    /// one such word under way.
    pub(crate) fn report(&self, event: Event) {
        // The star's task ends after every connection.
        let _ = self.events.send(event);
    }

    /// Begins a session that lives with its WebSocket.
    pub(crate) fn begin(&self, source: Arc<Source>, heartbeat: Heartbeat) -> Arc<Session> {
        self.add(source, None, heartbeat)
    }

    /// Begins a session with long polling; `None` when there are as many as may be,
    /// in total or of its source.
    pub(crate) fn begin_polling(&self, source: Arc<Source>) -> Option<Arc<Session>> {
        let room = PollingRoom {
            _of_source: source.polling.clone().try_acquire_owned().ok()?,
            _of_all: self.polling.clone().try_acquire_owned().ok()?,
        };
        Some(self.add(source, Some(room), Heartbeat::OfLibrary))
    }

    fn add(
        &self,
        source: Arc<Source>,
        room: Option<PollingRoom>,
        heartbeat: Heartbeat,
    ) -> Arc<Session> {
        let conn = ConnId(self.last_conn.fetch_add(1, Ordering::Relaxed) + 1);
        let (events, tally) = (self.events.clone(), Arc::clone(&self.tally));
        let session = Session::new(conn, source, events, room, heartbeat, tally);
        self.known().by_conn.insert(conn, Arc::downgrade(&session));
        session
    }

    /// Gives a session the name that its client will use.
    pub(crate) fn name(&self, sid: String, session: &Arc<Session>) {
        self.known().by_sid.insert(sid, Arc::downgrade(session));
    }

    /// Finds a session that began with long polling.
    pub(crate) fn find(&self, sid: &str) -> Option<Arc<Session>> {
        self.known().by_sid.get(sid)?.upgrade()
    }

    /// Looks after every session; forgets those that are gone.
    pub(crate) fn watch(&self, now: Instant) {
        for session in self.sessions() {
            session.watch(now);
        }
        let mut known = self.known();
        known
            .by_conn
            .retain(|_, session| session.strong_count() > 0);
        known.by_sid.retain(|_, session| session.strong_count() > 0);
    }

    /// Ends every session, those included that the star has never heard of, when
    /// what was sent to it is written.
    pub(crate) fn finish_all(&self) {
        for session in self.sessions() {
            session.finish();
        }
    }

    /// Ends every session now.
    pub(crate) fn close_all(&self) {
        for session in self.sessions() {
            session.close();
        }
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        let known = self.known();
        known.by_conn.values().filter_map(Weak::upgrade).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
