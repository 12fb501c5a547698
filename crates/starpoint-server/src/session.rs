//! What the sockets of one client and the star share.
//!
//! A session outlives a change of transport: a client that begins with long
//! polling and goes on with WebSocket stays the same connection to the star.

mod liveness;

pub(crate) use liveness::Heartbeat;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::Instant,
};

use bytes::Bytes;
use socketioxide::socket::Socket;
use starpoint_broker::{AckId, ConnId, Ending, LinkId, PipeId};
use starpoint_wire::{Call, CallError, legacy, native::PipeToken};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{
    account::Charge,
    outlet::Outlet,
    pipes::Arrival,
    registry::PollingRoom,
    source::Source,
    tally::{CloseCause, Tally},
};
use liveness::{Finding, Liveness, Output, Reading};

/// Bytes of calls that may wait for the star before a client is no longer read.
/// The star handles them in microseconds; only a flood gets here.
const INBOX_HIGH_BYTES: usize = 256 * 1024;
/// Bytes of calls below which the client is read again.
const INBOX_LOW_BYTES: usize = 64 * 1024;
/// Added to the length of each call, so that small ones are bounded too.
const CALL_OVERHEAD_BYTES: usize = 256;

/// Bytes that a transport reads at once, at most, beside a large frame.
const MIN_BLOCK_BYTES: usize = 16 * 1024;
/// Bytes of a large packet that are written between two words to the star.
const PROGRESS_BYTES: u64 = 16 * 1024;
/// A payload that is less than this part of a block is copied out of it.
const PINNED_SHARE: usize = 4;

/// What the star's task is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// A legacy client has said something for the first time, or a native one is
    /// connected.
    Connected {
        session: Arc<Session>,
        outlet: Outlet,
    },
    /// A native client has answered a question.
    Answered {
        link: LinkId,
        answer: legacy::CalleeAnswer,
    },
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
        call: Result<Call, CallError>,
        ack: Option<AckId>,
        /// To be given back with [`Session::handled`].
        charge: Charge,
    },
    /// The transport has written something.
    Progress { conn: ConnId },
    /// A client is gone.
    Disconnected { conn: ConnId, ending: Ending },
}

/// State of one client that its transport and the star both touch.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) conn: ConnId,
    /// Where its client is.
    pub(crate) source: Arc<Source>,
    events: mpsc::UnboundedSender<Event>,
    _room: Option<PollingRoom>,
    stage: Mutex<Stage>,
    /// Bytes of calls that the star has not handled.
    inbox_bytes: AtomicUsize,
    is_inbox_full: AtomicBool,
    is_paused: AtomicBool,
    /// Nothing more is read; the transport ends when it has written what it has.
    is_finishing: AtomicBool,
    is_closing: AtomicBool,
    was_seen_closing: AtomicBool,
    /// The transport ends without writing what it has.
    is_broken: AtomicBool,
    /// It has an address, or has proved who it is.
    is_joined: AtomicBool,
    /// See [`Wait`].
    wait: AtomicU8,
    is_vouched: AtomicBool,
    is_progress_told: AtomicBool,
    /// Length of the longest frame that was read into one block.
    largest_block: AtomicUsize,
    sent_packets: AtomicU64,
    written_packets: AtomicU64,
    written_bytes: AtomicU64,
    reader: Mutex<Option<Waker>>,
    writer: Mutex<Option<Waker>>,
    /// Tells whoever waits for [`readable`](Self::readable) or
    /// [`closed`](Self::closed).
    changed: Notify,
    liveness: Liveness,
    tally: Arc<Tally>,
    /// Held by the long-polling POST that is being handled.
    turn: tokio::sync::Mutex<Incomplete>,
}

/// An event of long polling whose attachments have not all come.
#[derive(Debug, Default)]
pub(crate) struct Incomplete {
    /// Attachments that are missing; 0 when there is no such event.
    pub(crate) n_missing: u8,
    /// What the bodies with its packets are charged.
    pub(crate) charge: Option<Charge>,
}

/// What a transport waits for before it reads more of a large message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wait {
    /// Nothing.
    No,
    /// Room for a message of which nothing was read.
    ForMessage,
    /// Room for the rest of a message.
    WithinMessage,
}

/// Whether the star knows of the session.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Silent,
    Known,
    Gone,
}

impl Session {
    /// Creates a session. It keeps `room`, if it needs any, for as long as it lives.
    pub(crate) fn new(
        conn: ConnId,
        source: Arc<Source>,
        events: mpsc::UnboundedSender<Event>,
        room: Option<PollingRoom>,
        heartbeat: Heartbeat,
        tally: Arc<Tally>,
    ) -> Arc<Self> {
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
            was_seen_closing: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            is_joined: AtomicBool::new(false),
            wait: AtomicU8::new(Wait::No as u8),
            is_vouched: AtomicBool::new(false),
            is_progress_told: AtomicBool::new(false),
            largest_block: AtomicUsize::new(0),
            sent_packets: AtomicU64::new(0),
            written_packets: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            reader: Mutex::new(None),
            writer: Mutex::new(None),
            changed: Notify::new(),
            liveness: Liveness::new(heartbeat),
            tally,
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// Hands a call to the star. Calls of a session that is gone are dropped.
    ///
    /// The queue to the star has no bound of its own: each session stops being
    /// read when what it has in there passes [`INBOX_HIGH_BYTES`].
    pub(crate) fn call(
        self: &Arc<Self>,
        socket: &Arc<Socket>,
        call: Result<Call, CallError>,
        ack: Option<AckId>,
    ) {
        let call = call.map(|call| call.map_payload(|payload| self.unpinned(payload)));
        let weight = call.as_ref().map_or(0, Call::weight) + CALL_OVERHEAD_BYTES;
        let mut stage = lock(&self.stage);
        match *stage {
            Stage::Silent => {
                *stage = Stage::Known;
                self.report(Event::Connected {
                    session: self.clone(),
                    outlet: Outlet::Legacy(socket.clone()),
                });
            }
            Stage::Known => {}
            Stage::Gone => return,
        }
        self.hand_over(call, ack, weight);
    }

    /// Tells the star that a native client is here, once.
    pub(crate) fn connected(self: &Arc<Self>, outlet: Outlet) {
        let mut stage = lock(&self.stage);
        if *stage == Stage::Silent {
            *stage = Stage::Known;
            let session = self.clone();
            self.report(Event::Connected { session, outlet });
        }
    }

    /// Hands a call of a native client to the star; see [`call`](Self::call).
    pub(crate) fn native_call(&self, call: Result<Call, CallError>, ack: Option<AckId>) {
        if *lock(&self.stage) == Stage::Known {
            let call = call.map(|call| call.map_payload(|payload| self.unpinned(payload)));
            let weight = call.as_ref().map_or(0, Call::weight) + CALL_OVERHEAD_BYTES;
            self.hand_over(call, ack, weight);
        }
    }

    /// Hands the answer to a question to the star.
    pub(crate) fn answered(&self, link: LinkId, answer: legacy::CalleeAnswer) {
        self.report(Event::Answered { link, answer });
    }

    fn hand_over(&self, call: Result<Call, CallError>, ack: Option<AckId>, weight: usize) {
        let inbox = self.inbox_bytes.fetch_add(weight, Ordering::AcqRel) + weight;
        if inbox > INBOX_HIGH_BYTES {
            self.is_inbox_full.store(true, Ordering::Release);
        }
        let conn = self.conn;
        let charge = Charge::of(Arc::clone(&self.source), weight);
        self.report(Event::Call {
            conn,
            call,
            ack,
            charge,
        });
    }

    /// Gives back what a call weighed.
    pub(crate) fn handled(&self, charge: Charge) {
        let weight = charge.bytes();
        drop(charge);
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
            self.report(Event::Disconnected { conn, ending });
        }
    }

    fn report(&self, event: Event) {
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

    /// Makes the transport end now because of what its client does. What was not
    /// written is lost.
    pub(crate) fn break_off(&self, cause: CloseCause) {
        if !self.is_broken.swap(true, Ordering::AcqRel) {
            tracing::debug!(conn = self.conn.0, ?cause, "Connection broken off");
            self.tally.closed(cause);
        }
        self.close();
    }

    /// Returns whether the transport is to end without writing what it has.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    /// Notes that the client has joined: it may send large messages.
    pub(crate) fn set_joined(&self) {
        self.is_joined.store(true, Ordering::Release);
    }

    pub(crate) fn is_joined(&self) -> bool {
        self.is_joined.load(Ordering::Acquire)
    }

    /// Notes what the transport waits for.
    pub(crate) fn set_wait(&self, wait: Wait) {
        self.wait.store(wait as u8, Ordering::Relaxed);
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    fn wake(&self) {
        for waker in [&self.reader, &self.writer] {
            let waker = lock(waker).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        self.changed.notify_waiters();
    }

    /// Registers a reader to be woken when anything about the session changes. The
    /// reader looks again after this.
    pub(crate) fn register_reader(&self, cx: &Context<'_>) {
        register(&self.reader, cx);
    }

    /// Registers a writer to be woken when anything about the session changes. The
    /// writer looks again after this.
    pub(crate) fn register_writer(&self, cx: &Context<'_>) {
        register(&self.writer, cx);
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

    /// Waits until no other POST of the session is being handled; returns what the
    /// last one has left. Cancel safe.
    pub(crate) async fn polling_turn(&self) -> tokio::sync::MutexGuard<'_, Incomplete> {
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

    /// Notes that the library reserves a block of memory for a frame of this length.
    pub(crate) fn reads_block_of(&self, bytes: usize) {
        self.largest_block.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Returns a payload that does not keep much more memory alive than it has: it
    /// is a piece of the block that was read into, and may wait for long.
    pub(crate) fn unpinned(&self, payload: Bytes) -> Bytes {
        let largest = self.largest_block.load(Ordering::Relaxed);
        if payload.len() < largest.max(MIN_BLOCK_BYTES) / PINNED_SHARE {
            Bytes::copy_from_slice(&payload)
        } else {
            payload
        }
    }

    /// Notes that the transport has written packets and bytes.
    pub(crate) fn wrote(&self, packets: u64, bytes: u64) {
        self.written_packets.fetch_add(packets, Ordering::AcqRel);
        self.written_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.tell_progress();
        self.close_if_finished();
    }

    /// Notes that the client's system has taken bytes of packets that are not
    /// written whole yet. The star hears of it when the next packet is, or when
    /// this is much.
    pub(crate) fn took(&self, bytes: u64) {
        let before = self.written_bytes.fetch_add(bytes, Ordering::AcqRel);
        if before / PROGRESS_BYTES != (before + bytes) / PROGRESS_BYTES {
            self.tell_progress();
        }
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
            self.report(Event::Progress { conn: self.conn });
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
    pub(crate) fn note_activity(&self) {
        self.liveness.note_activity();
    }

    /// Notes that a heartbeat has come from the client.
    pub(crate) fn note_heartbeat(&self) {
        self.liveness.note_heartbeat();
    }

    /// Notes that a message has begun that has not been read whole.
    pub(crate) fn message_began(&self) {
        self.liveness.message_began();
    }

    /// Notes that all messages that were begun have been read whole.
    pub(crate) fn messages_completed(&self) {
        self.liveness.messages_completed();
    }

    /// Looks after the session; to be called every few seconds.
    ///
    /// A client whose data is not read, or whose data is still on its way, cannot
    /// get a heartbeat through: the star vouches for it, as the original took any
    /// packet for a sign of life. A client that does not complete a message, or
    /// takes nothing of what waits for it, is broken off.
    pub(crate) fn watch(&self, now: Instant) {
        if self.is_closing() {
            // From one look to the next it has time to end in order.
            if self.was_seen_closing.swap(true, Ordering::Relaxed) {
                self.break_off(CloseCause::Stalled);
            }
            return;
        }
        if self.is_finishing.load(Ordering::Acquire) {
            // What is not written by now is not read by the client either.
            return self.close();
        }
        match self.liveness.look(now, self.reading(), self.output()) {
            Finding::Fine => {}
            Finding::Vouch => {
                self.is_vouched.store(true, Ordering::Release);
                self.wake();
            }
            Finding::Unfinished => self.break_off(CloseCause::Unfinished),
            Finding::NoRoom => self.break_off(CloseCause::NoRoom),
            Finding::Stalled => self.break_off(CloseCause::Stalled),
        }
    }

    fn reading(&self) -> Reading {
        let wait = self.wait.load(Ordering::Relaxed);
        if wait == Wait::WithinMessage as u8 {
            Reading::NoRoomWithin
        } else if wait == Wait::ForMessage as u8 || self.is_held() {
            Reading::Held
        } else {
            Reading::Open
        }
    }

    fn output(&self) -> Output {
        let written_packets = self.written_packets.load(Ordering::Acquire);
        Output {
            is_waiting: written_packets < self.sent_packets.load(Ordering::Acquire),
            written_bytes: self.written_bytes.load(Ordering::Acquire),
            is_crowded: self.source.share.account().is_crowded(),
        }
    }

    /// Ends the transport because of a message that its client may not send. The
    /// client is told the reason if it reads.
    pub(crate) fn refuse_message(&self) {
        self.tally.closed(CloseCause::BadMessage);
        tracing::debug!(conn = self.conn.0, "Message refused");
        self.close();
    }

    /// Returns whether the star vouches for the client now.
    pub(crate) fn is_vouched(&self) -> bool {
        self.is_vouched.load(Ordering::Acquire)
    }

    /// Returns whether the star vouches for the client, once.
    pub(crate) fn take_vouch(&self) -> bool {
        self.is_vouched.swap(false, Ordering::AcqRel)
    }
}

fn register(slot: &Mutex<Option<Waker>>, cx: &Context<'_>) {
    let mut slot = lock(slot);
    if !slot.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

/// Locks a leaf lock. A panic elsewhere leaves plain values that are still right.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
