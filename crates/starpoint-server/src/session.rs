//! What the sockets of one client and the star share.
//!
//! A session outlives a change of transport: a client that begins with long
//! polling and goes on with WebSocket stays the same connection to the star.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::{Duration, Instant},
};

use socketioxide::socket::Socket;
use starpoint_broker::{AckId, ConnId, Ending, LinkId, PipeId};
use starpoint_wire::{CallError, CalleeAnswer, ClientCall, native::PipeToken};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};

use crate::{native::Outgoing, pipes::Arrival, source::Source};

/// Bytes of calls that may wait for the star before a client is no longer read.
/// The star handles them in microseconds; only a flood gets here.
const INBOX_HIGH_BYTES: usize = 256 * 1024;
/// Bytes of calls below which the client is read again.
const INBOX_LOW_BYTES: usize = 64 * 1024;
/// Added to the length of each call, so that small ones are bounded too.
const CALL_OVERHEAD_BYTES: usize = 256;

/// Time without a heartbeat after which the star vouches for a client that it
/// does not read or that is in the middle of sending. Engine.IO gives up after
/// 45 s.
const VOUCH_AFTER: Duration = Duration::from_secs(30);
/// A client that has sent within this time is alive.
const ALIVE_WITHIN: Duration = Duration::from_secs(10);
/// Time that a client has to send the rest of a large message.
const LARGE_MESSAGE_DEADLINE: Duration = Duration::from_secs(60);

/// What the star's task is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// A legacy client has said something for the first time, or a native one is
    /// connected.
    Connected {
        session: Arc<Session>,
        socket: ClientSocket,
    },
    /// A native client has answered a question.
    Answered { link: LinkId, answer: CalleeAnswer },
    /// Somebody wants to open a side of a pipe; `None` is no token at all.
    PipeArrived {
        token: Option<PipeToken>,
        reply: oneshot::Sender<Arrival>,
    },
    /// Who waited for the other side of a pipe is gone.
    PipeLeft { pipe: PipeId },
    /// An open pipe is over.
    PipeEnded { pipe: PipeId },
    /// A client has sent an event.
    Call {
        conn: ConnId,
        call: Result<ClientCall, CallError>,
        ack: Option<AckId>,
        /// To be given back with [`Session::handled`].
        weight: usize,
    },
    /// The transport has written something.
    Progress { conn: ConnId },
    /// A client is gone.
    Disconnected { conn: ConnId, ending: Ending },
}

/// The way to a client.
#[derive(Clone, Debug)]
pub(crate) enum ClientSocket {
    /// Through the library.
    Legacy(Arc<Socket>),
    /// Through the star's own queue.
    Native(Arc<Outgoing>),
}

/// State of one client that its transport and the star both touch.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) conn: ConnId,
    /// Where its client is.
    pub(crate) source: Arc<Source>,
    events: mpsc::UnboundedSender<Event>,
    _room: Option<OwnedSemaphorePermit>,
    stage: Mutex<Stage>,
    /// Bytes of calls that the star has not handled.
    inbox_bytes: AtomicUsize,
    is_inbox_full: AtomicBool,
    is_paused: AtomicBool,
    /// Nothing more is read; the transport ends when it has written what it has.
    is_finishing: AtomicBool,
    is_closing: AtomicBool,
    is_vouched: AtomicBool,
    is_progress_told: AtomicBool,
    sent_packets: AtomicU64,
    written_packets: AtomicU64,
    written_bytes: AtomicU64,
    reader: Mutex<Option<Waker>>,
    /// Tells whoever waits for [`readable`](Self::readable) or
    /// [`closed`](Self::closed).
    changed: Notify,
    liveness: Mutex<Liveness>,
    /// Held by the long-polling POST that is being handled.
    turn: tokio::sync::Mutex<()>,
    /// Rooms that the attachments of the next call take.
    large: Mutex<Vec<OwnedSemaphorePermit>>,
}

/// Whether the star knows of the session.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Silent,
    Known,
    Gone,
}

#[derive(Debug)]
struct Liveness {
    heartbeat: Instant,
    heard: Instant,
    large_since: Option<Instant>,
}

impl Session {
    /// Creates a session. It keeps `room`, if it needs any, for as long as it lives.
    pub(crate) fn new(
        conn: ConnId,
        source: Arc<Source>,
        events: mpsc::UnboundedSender<Event>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            conn,
            source,
            events,
            _room: room,
            stage: Mutex::new(Stage::Silent),
            inbox_bytes: AtomicUsize::new(0),
            is_inbox_full: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            is_finishing: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            is_vouched: AtomicBool::new(false),
            is_progress_told: AtomicBool::new(false),
            sent_packets: AtomicU64::new(0),
            written_packets: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            reader: Mutex::new(None),
            changed: Notify::new(),
            liveness: Mutex::new(Liveness {
                heartbeat: now,
                heard: now,
                large_since: None,
            }),
            turn: tokio::sync::Mutex::new(()),
            large: Mutex::new(Vec::new()),
        })
    }

    /// Hands a call to the star. Calls of a session that is gone are dropped.
    ///
    /// The queue to the star has no bound of its own: each session stops being
    /// read when what it has in there passes [`INBOX_HIGH_BYTES`].
    pub(crate) fn call(
        self: &Arc<Self>,
        socket: &Arc<Socket>,
        call: Result<ClientCall, CallError>,
        ack: Option<AckId>,
    ) {
        let weight = call.as_ref().map_or(0, ClientCall::weight) + CALL_OVERHEAD_BYTES;
        let mut stage = lock(&self.stage);
        match *stage {
            Stage::Silent => {
                *stage = Stage::Known;
                self.tell(Event::Connected {
                    session: self.clone(),
                    socket: ClientSocket::Legacy(socket.clone()),
                });
            }
            Stage::Known => {}
            Stage::Gone => return,
        }
        self.hand_over(call, ack, weight);
    }

    /// Tells the star that a native client is here, once.
    pub(crate) fn connected(self: &Arc<Self>, socket: ClientSocket) {
        let mut stage = lock(&self.stage);
        if *stage == Stage::Silent {
            *stage = Stage::Known;
            let session = self.clone();
            self.tell(Event::Connected { session, socket });
        }
    }

    /// Hands a call of a native client to the star; see [`call`](Self::call).
    pub(crate) fn native_call(&self, call: Result<ClientCall, CallError>, ack: Option<AckId>) {
        if *lock(&self.stage) == Stage::Known {
            let weight = call.as_ref().map_or(0, ClientCall::weight) + CALL_OVERHEAD_BYTES;
            self.hand_over(call, ack, weight);
        }
    }

    /// Hands the answer to a question to the star.
    pub(crate) fn answered(&self, link: LinkId, answer: CalleeAnswer) {
        self.tell(Event::Answered { link, answer });
    }

    fn hand_over(&self, call: Result<ClientCall, CallError>, ack: Option<AckId>, weight: usize) {
        let inbox = self.inbox_bytes.fetch_add(weight, Ordering::AcqRel) + weight;
        if inbox > INBOX_HIGH_BYTES {
            self.is_inbox_full.store(true, Ordering::Release);
        }
        let conn = self.conn;
        self.tell(Event::Call {
            conn,
            call,
            ack,
            weight,
        });
    }

    /// Gives back what a call weighed.
    pub(crate) fn handled(&self, weight: usize) {
        let before = self.inbox_bytes.fetch_sub(weight, Ordering::AcqRel);
        if before - weight < INBOX_LOW_BYTES && self.is_inbox_full.swap(false, Ordering::AcqRel) {
            self.wake();
        }
    }

    /// Tells the star that the client is gone, once.
    pub(crate) fn disconnected(&self) {
        self.disconnected_as(Ending::Closed);
    }

    /// Tells the star that the client is gone, and how, once.
    pub(crate) fn disconnected_as(&self, ending: Ending) {
        let mut stage = lock(&self.stage);
        let was = std::mem::replace(&mut *stage, Stage::Gone);
        if was == Stage::Known {
            let conn = self.conn;
            self.tell(Event::Disconnected { conn, ending });
        }
    }

    fn tell(&self, event: Event) {
        // The star's task ends after every session; a late event is for nobody.
        let _ = self.events.send(event);
    }

    /// Stops or goes on reading the client.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.is_paused.store(paused, Ordering::Release);
        if !paused {
            self.wake();
        }
    }

    /// Returns whether the client is not to be read now.
    pub(crate) fn is_held(&self) -> bool {
        self.is_paused.load(Ordering::Acquire)
            || self.is_inbox_full.load(Ordering::Acquire)
            || self.is_finishing.load(Ordering::Acquire)
    }

    /// Makes the transport end when what it was given is written, or when that
    /// takes too long. Nothing more may be given to it.
    pub(crate) fn finish(&self) {
        self.is_finishing.store(true, Ordering::Release);
        self.close_if_finished();
    }

    fn close_if_finished(&self) {
        let is_written = self.written_packets.load(Ordering::Acquire)
            >= self.sent_packets.load(Ordering::Acquire);
        if is_written && self.is_finishing.load(Ordering::Acquire) && !self.is_closing() {
            self.close();
        }
    }

    /// Makes the transport end now.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    fn wake(&self) {
        let reader = lock(&self.reader).take();
        if let Some(reader) = reader {
            reader.wake();
        }
        self.changed.notify_waiters();
    }

    /// Registers a reader to be woken when anything about the session changes. The
    /// reader looks again after this.
    pub(crate) fn register_reader(&self, cx: &Context<'_>) {
        let mut reader = lock(&self.reader);
        if !reader.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
    }

    /// Waits until the client may be read, or is to be closed. Cancel safe.
    pub(crate) async fn readable(&self) {
        self.wait_until(|session| !session.is_held() || session.is_closing())
            .await;
    }

    /// Waits until the client is to be closed. Cancel safe.
    pub(crate) async fn closed(&self) {
        self.wait_until(Self::is_closing).await;
    }

    /// Waits until no other POST of the session is being handled. Cancel safe.
    pub(crate) async fn polling_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    async fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }

    /// Notes that the transport was given packets.
    pub(crate) fn sent(&self, packets: usize) {
        self.sent_packets
            .fetch_add(packets as u64, Ordering::AcqRel);
    }

    /// Returns how many packets the transport was given so far.
    pub(crate) fn sent_packets(&self) -> u64 {
        self.sent_packets.load(Ordering::Acquire)
    }

    /// Notes that the transport has written packets and bytes.
    pub(crate) fn wrote(&self, packets: u64, bytes: u64) {
        self.written_packets.fetch_add(packets, Ordering::AcqRel);
        self.written_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.tell_progress();
        self.close_if_finished();
    }

    /// Notes that the transport has written all that it was given up to a mark of
    /// [`sent_packets`](Self::sent_packets).
    pub(crate) fn wrote_up_to(&self, mark: u64, bytes: u64) {
        self.written_packets.fetch_max(mark, Ordering::AcqRel);
        self.written_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.tell_progress();
        self.close_if_finished();
    }

    fn tell_progress(&self) {
        let stage = lock(&self.stage);
        if *stage == Stage::Known && !self.is_progress_told.swap(true, Ordering::AcqRel) {
            self.tell(Event::Progress { conn: self.conn });
        }
    }

    /// Returns the packets and bytes written so far. Progress from now on is told
    /// anew.
    pub(crate) fn take_progress(&self) -> (u64, u64) {
        self.is_progress_told.store(false, Ordering::Release);
        let packets = self.written_packets.load(Ordering::Acquire);
        (packets, self.written_bytes.load(Ordering::Acquire))
    }

    /// Notes that bytes have come from the client.
    pub(crate) fn heard(&self) {
        lock(&self.liveness).heard = Instant::now();
    }

    /// Notes that a heartbeat has come from the client.
    pub(crate) fn heard_heartbeat(&self) {
        lock(&self.liveness).heartbeat = Instant::now();
    }

    /// Notes that a large message has begun, or that none is on its way.
    pub(crate) fn set_large(&self, is_large: bool) {
        lock(&self.liveness).large_since = is_large.then(Instant::now);
    }

    /// Keeps a large message's room until its call is taken.
    pub(crate) fn keep_room(&self, room: OwnedSemaphorePermit) {
        lock(&self.large).push(room);
    }

    /// Takes the room of the attachments that the current call has.
    pub(crate) fn take_rooms(&self) -> Vec<OwnedSemaphorePermit> {
        std::mem::take(&mut lock(&self.large))
    }

    /// Looks after the session; to be called every few seconds.
    ///
    /// A client whose data is not read, or whose data is still on its way, cannot
    /// get a heartbeat through: the star vouches for it, as the original took any
    /// packet for a sign of life. A client that began a large message and does not
    /// go on is closed.
    pub(crate) fn watch(&self, now: Instant) {
        if self.is_finishing.load(Ordering::Acquire) {
            // What is not written by now is not read by the client either.
            return self.close();
        }
        let is_held = self.is_held();
        let mut liveness = lock(&self.liveness);
        let is_silent = now.saturating_duration_since(liveness.heartbeat) >= VOUCH_AFTER;
        let is_alive = now.saturating_duration_since(liveness.heard) < ALIVE_WITHIN;
        if is_silent && (is_held || is_alive) {
            liveness.heartbeat = now;
            self.is_vouched.store(true, Ordering::Release);
        }
        let is_stuck = liveness
            .large_since
            .is_some_and(|since| now.saturating_duration_since(since) >= LARGE_MESSAGE_DEADLINE);
        if is_held && liveness.large_since.is_some() {
            liveness.large_since = Some(now);
        }
        drop(liveness);
        if is_stuck && !is_held {
            tracing::debug!(conn = self.conn.0, "Large message not completed in time");
            self.close();
        } else if self.is_vouched.load(Ordering::Acquire) {
            self.wake();
        }
    }

    /// Returns whether the star vouches for the client, once.
    pub(crate) fn take_vouch(&self) -> bool {
        self.is_vouched.swap(false, Ordering::AcqRel)
    }
}

/// Locks a leaf lock. A panic elsewhere leaves plain values that are still right.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
