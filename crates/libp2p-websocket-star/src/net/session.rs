//! One open connection to a star, and the streams on it.

mod send;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::{Context, Poll},
};

use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt as _;
use libp2p_core::{Multiaddr, PeerRecord as Signed, SignedEnvelope};
use libp2p_identity::PeerId;
use starpoint_sio::{AckId, Closed, Connection, Event as Packet, Pipe, PipeError};
use starpoint_wire::{
    DialId, StarAddress,
    native::{self, ClientNonce, PeerRecord, PipeToken},
};
use web_time::Instant;

use super::{
    accept::Accept,
    bell::Bell,
    pipes::{Note, Offer, Opening, pipe_error},
    relayed::{Break, StreamState, User},
    stream::Stream,
};
use crate::{
    config::Profile,
    error::{Error, StarChange},
    gauges::{Counted, Gauge},
    machine::{
        link::Token,
        presence::Presence,
        star::{CallTag, Event, Greeted, Purpose, RESET, Star},
    },
    shared::{MAX_ADDRESSES, Shared},
};

/// Turns of the loop in one poll, after which others have theirs.
const POLL_BUDGET: usize = 64;

/// Commands that may wait before nothing more is read from the star.
const MAX_COMMANDS: usize = 256;

/// A reader that takes so much within the stall deadline is slow, not stalled.
const STALL_MIN_BYTES: u64 = 64 * 1024;

/// With which words a stream ends whose reader stalls.
const STALLED: &str = "reader stalled";

/// Who dials waits here for the stream.
pub(crate) type DialReply = oneshot::Sender<Result<Stream, Error>>;

/// What the owner of a session has to hear of.
pub(crate) enum Happening {
    Joined,
    TakenOver,
    Incoming(PeerId, Accept),
    /// Where else a peer can be found, by its own signed word.
    Addresses(PeerId, Vec<Multiaddr>),
}

struct Slot {
    shared: Arc<StreamState>,
    is_in_turn: bool,
    /// An inbound dial that the star has not been answered.
    is_offered: bool,
}

struct PendingDial {
    reply: DialReply,
    _counted: Counted,
}

/// A reader that is too slow: nothing is read from the star meanwhile.
struct Blocked {
    reader: Arc<StreamState>,
    deadline: Instant,
    n_read_bytes: u64,
}

/// What is known of the star's having handled what streams have sent.
///
/// ```text
///  Untouched ──a stream──▶ Needed ──asked──▶ Asked
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settling {
    /// No stream has shared the connection.
    Untouched,
    Needed,
    Asked,
}

/// A connection with its machine. Dropping it breaks its streams and dials.
pub(crate) struct Session {
    shared: Arc<Shared>,
    connection: Connection,
    star: Star,
    purpose: Purpose,
    bell: Arc<Bell>,
    calls: BTreeMap<AckId, CallTag>,
    tokens: BTreeMap<Token, AckId>,
    next_token: u64,
    slots: BTreeMap<DialId, Slot>,
    /// Streams that have something to send, a chunk each in turn.
    turns: VecDeque<DialId>,
    dials: BTreeMap<DialId, PendingDial>,
    blocked: Option<Blocked>,
    happenings: VecDeque<Happening>,
    address: StarAddress,
    opening: Opening,
    offers: BTreeMap<PipeToken, Arc<Offer>>,
    notes: (mpsc::UnboundedSender<Note>, mpsc::UnboundedReceiver<Note>),
    /// Whether the star still has to say that it has handled the last stream.
    settling: Settling,
    /// Why the streams break when the session ends; what dials are told.
    closed: Error,
    _counted: Counted,
}

impl Session {
    pub(crate) fn new(
        shared: Arc<Shared>,
        connection: Connection,
        star: StarAddress,
        purpose: Purpose,
        nonce: ClientNonce,
        now: Instant,
    ) -> Self {
        let keypair = shared.keypair.clone();
        let is_native =
            shared.config.profile == Profile::Auto && connection.star() == Some(native::VERSION);
        let machine = if is_native {
            let record = own_record(&shared, &star, purpose);
            let at = star.clone();
            Star::native(&shared.config, keypair, at, purpose, record, nonce, now)
        } else {
            let mut machine = Star::new(&shared.config, keypair, star.clone(), purpose, now);
            if let Some(error) = downgrade(&shared, &star) {
                machine.distrust(error);
            }
            machine
        };
        Self {
            star: machine,
            purpose,
            connection,
            bell: Arc::default(),
            calls: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next_token: 0,
            slots: BTreeMap::new(),
            turns: VecDeque::new(),
            dials: BTreeMap::new(),
            blocked: None,
            settling: Settling::Untouched,
            happenings: VecDeque::new(),
            address: star.clone(),
            opening: Opening::default(),
            offers: BTreeMap::new(),
            notes: mpsc::unbounded(),
            closed: Error::Closed,
            _counted: shared.gauges.count(Gauge::Connection),
            shared,
        }
    }

    pub(crate) fn next_happening(&mut self) -> Option<Happening> {
        self.happenings.pop_front()
    }

    pub(crate) fn presence(&mut self) -> &mut Presence {
        self.star.presence()
    }

    /// Returns whether nobody needs the connection now.
    pub(crate) fn is_idle(&self) -> bool {
        !self.star.has_links()
            && self.slots.is_empty()
            && self.dials.is_empty()
            && self.opening.is_empty()
            && self.offers.is_empty()
            && self.star.n_commands() == 0
            && self.happenings.is_empty()
    }

    /// Returns whether the star has handled everything that streams have sent; asks
    /// it if it has not been asked. The original star drops what it has not handled
    /// when a connection closes, even if it was sent long before.
    pub(crate) fn is_settled(&mut self, now: Instant) -> bool {
        match self.settling {
            Settling::Untouched => true,
            Settling::Needed => {
                self.settling = Settling::Asked;
                self.probe(now);
                false
            }
            Settling::Asked => !self.star.is_probing(),
        }
    }

    pub(crate) fn n_dials(&self) -> usize {
        self.dials.len()
    }

    pub(crate) fn dial(&mut self, peer: PeerId, deadline: Instant, reply: DialReply) {
        let dial = self.fresh_dial_id();
        let pending = PendingDial {
            reply,
            _counted: self.shared.gauges.count(Gauge::Dial),
        };
        self.dials.insert(dial.clone(), pending);
        if self.star.is_native() {
            let token = PipeToken::from_random(rand::random());
            self.star.dial_by_pipe(dial, peer, token, deadline);
        } else {
            self.star.dial(dial, peer, deadline);
        }
    }

    pub(crate) fn leave(&mut self) {
        self.star.leave();
    }

    pub(crate) fn probe(&mut self, now: Instant) {
        let dial = self.fresh_dial_id();
        self.star.probe(&dial, now);
    }

    fn fresh_dial_id(&self) -> DialId {
        let text = format!("{:032x}", rand::random::<u128>());
        DialId::parse(&text).expect("hex needs no escaping")
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let blocked = self.blocked.as_ref().map(|blocked| blocked.deadline);
        [self.star.next_deadline(), blocked]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.star.handle_timeout(now);
        let Some(blocked) = &mut self.blocked else {
            return;
        };
        if blocked.deadline > now {
            return;
        }
        let n_read_bytes = blocked.reader.n_read_bytes();
        if n_read_bytes >= blocked.n_read_bytes + STALL_MIN_BYTES {
            blocked.n_read_bytes = n_read_bytes;
            blocked.deadline = now + self.shared.config.stall_deadline;
            return;
        }
        let reader = Arc::clone(&blocked.reader);
        self.blocked = None;
        self.star.forget(reader.dial(), STALLED);
        reader.break_off(Break::Stalled);
    }

    /// Moves what can be moved. Ready when the connection is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.bell.register(cx);
        for _ in 0..POLL_BUDGET {
            let mut has_moved = self.answer_bell();
            has_moved |= self.poll_pipes(cx);
            if let Some(error) = self.apply_events() {
                return self.over(error);
            }
            match self.poll_send(cx) {
                Ok(has_sent) => has_moved |= has_sent,
                Err(closed) => return self.over(Error::StarLost(closed)),
            }
            match self.poll_receive(cx) {
                Poll::Ready(Ok(())) => has_moved = true,
                Poll::Ready(Err(closed)) => return self.over(Error::StarLost(closed)),
                Poll::Pending => {}
            }
            if !has_moved && !self.bell.is_rung() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Tells the star that this is the end. Ready when it is.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.poll_close(cx)
    }

    fn over(&mut self, error: Error) -> Poll<Error> {
        self.closed = error.clone();
        Poll::Ready(error)
    }

    /// Looks after the streams whose users have done something.
    fn answer_bell(&mut self) -> bool {
        let mut has_moved = false;
        while let Some(shared) = self.bell.next() {
            has_moved = true;
            let dial = shared.dial().clone();
            match shared.answer() {
                User::Undecided => {}
                User::Dropped => self.user_dropped(&dial),
                User::Holds => self.user_holds(&dial),
            }
        }
        if self.blocked.as_ref().is_some_and(|b| b.reader.has_room()) {
            self.blocked = None;
            has_moved = true;
        }
        has_moved
    }

    fn user_dropped(&mut self, dial: &DialId) {
        if let Some(slot) = self.slots.remove(dial) {
            if slot.is_offered {
                self.star.refuse(dial);
            } else {
                self.star.forget(dial, RESET);
            }
        }
    }

    fn user_holds(&mut self, dial: &DialId) {
        let Some(slot) = self.slots.get_mut(dial) else {
            return;
        };
        if std::mem::replace(&mut slot.is_offered, false) && !self.star.accept(dial) {
            slot.shared.break_off(Break::Lost);
        }
        self.take_turn(dial);
    }

    fn take_turn(&mut self, dial: &DialId) {
        if !self.star.may_write(dial) {
            return;
        }
        if let Some(slot) = self.slots.get_mut(dial)
            && !slot.is_in_turn
            && slot.shared.has_chunk()
        {
            slot.is_in_turn = true;
            self.turns.push_back(dial.clone());
        }
    }

    /// Does what the machine says; returns why the connection is over, if it is.
    fn apply_events(&mut self) -> Option<Error> {
        while let Some(event) = self.star.next_event() {
            match event {
                Event::Greeted(greeted) => self.greeted(greeted),
                Event::Joined => self.happenings.push_back(Happening::Joined),
                Event::TakenOver => self.happenings.push_back(Happening::TakenOver),
                Event::Failed(error) => return Some(error),
                Event::Dialed(dial, result) => self.dialed(&dial, result),
                Event::Incoming(dial, peer) => self.offer(dial, peer),
                Event::OfferExpired(dial) => {
                    if let Some(slot) = self.slots.remove(&dial) {
                        slot.shared.break_off(Break::Lost);
                    }
                }
                Event::Writable(dial) => self.take_turn(&dial),
                Event::Data(dial, chunk) => self.deliver(&dial, chunk),
                Event::Ended(dial, end) => {
                    if let Some(slot) = self.slots.get(&dial) {
                        slot.shared.end(end);
                    }
                }
                Event::OpenPipe(dial, token) => {
                    self.opening.begin(&self.shared, &self.address, dial, token);
                }
                Event::AbandonPipe(dial) => self.opening.abandon(&dial),
                Event::PipeOffered(token, peer) => self.offer_pipe(token, peer),
                Event::PipeOfferExpired(token) => {
                    if let Some(offer) = self.offers.remove(&token) {
                        offer.expire();
                    }
                }
                Event::Record(peer, record) => self.recorded(peer, &record),
            }
        }
        None
    }

    fn greeted(&mut self, greeted: Greeted) {
        let (host, config) = (self.address.dialed_host(), &self.shared.config);
        match self.shared.homes.meet(config, &host, greeted, self.purpose) {
            Ok(()) => self.star.trust(),
            Err(error) => self.star.distrust(error),
        }
    }

    fn dialed(&mut self, dial: &DialId, result: Result<(), Error>) {
        let Some(pending) = self.dials.remove(dial) else {
            return;
        };
        let result = result.map(|()| {
            let shared = self.open_slot(dial.clone(), User::Holds);
            Stream::relayed(shared, self.shared.gauges.count(Gauge::Stream))
        });
        // Who has given up drops the stream, and that resets it.
        let _ = pending.reply.send(result);
    }

    fn offer(&mut self, dial: DialId, peer: PeerId) {
        let shared = self.open_slot(dial, User::Undecided);
        let accept = Accept::relayed(shared, self.shared.gauges.count(Gauge::Offer));
        self.happenings.push_back(Happening::Incoming(peer, accept));
    }

    fn offer_pipe(&mut self, token: PipeToken, peer: PeerId) {
        let shared = Arc::clone(&self.shared);
        let notes = self.notes.0.clone();
        let offer = Offer::new(shared, self.address.clone(), token, notes);
        self.offers.insert(token, Arc::clone(&offer));
        let accept = Accept::pipe(offer, self.shared.gauges.count(Gauge::Offer));
        self.happenings.push_back(Happening::Incoming(peer, accept));
    }

    /// Looks after pipes on their way; returns whether something has changed.
    fn poll_pipes(&mut self, cx: &mut Context<'_>) -> bool {
        let mut has_moved = false;
        while let Poll::Ready(Some(note)) = self.notes.1.poll_next_unpin(cx) {
            has_moved = true;
            match note {
                Note::Accepted(token) => {
                    self.offers.remove(&token);
                    self.star.pipe_accepted(&token);
                }
                Note::Dropped(token) => {
                    self.offers.remove(&token);
                    self.star.refuse_pipe(token);
                }
            }
        }
        while let Poll::Ready((dial, result)) = self.opening.poll(cx) {
            has_moved = true;
            self.pipe_opened(&dial, result);
        }
        has_moved
    }

    fn pipe_opened(&mut self, dial: &DialId, result: Result<Box<dyn Pipe>, PipeError>) {
        let result = match result {
            Ok(pipe) => {
                let counted = self.shared.gauges.count(Gauge::Stream);
                Ok(Stream::pipe(self.shared.pipes.hold(pipe), counted))
            }
            // The star says why on the connection that it was asked on, or will.
            Err(PipeError::Refused { code, .. }) if !code.is_empty() => return,
            Err(error) => Err(pipe_error(error)),
        };
        if self.star.pipe_settled(dial)
            && let Some(pending) = self.dials.remove(dial)
        {
            // Who has given up drops the stream, and that resets it.
            let _ = pending.reply.send(result);
        }
    }

    /// Believes where a peer says that it is, if it has signed that.
    fn recorded(&mut self, peer: PeerId, record: &PeerRecord) {
        let envelope = SignedEnvelope::from_protobuf_encoding(record.as_bytes());
        let signed = envelope
            .ok()
            .and_then(|e| Signed::from_signed_envelope(e).ok());
        let Some(signed) = signed.filter(|signed| signed.peer_id() == peer) else {
            return;
        };
        let addresses: Vec<_> = signed
            .addresses()
            .iter()
            .take(MAX_ADDRESSES)
            .cloned()
            .collect();
        self.happenings
            .push_back(Happening::Addresses(peer, addresses));
    }

    fn open_slot(&mut self, dial: DialId, user: User) -> Arc<StreamState> {
        self.settling = Settling::Needed;
        let max_bytes = self.shared.config.stream_buffer_bytes.get();
        let shared = StreamState::new(dial.clone(), max_bytes, Arc::clone(&self.bell), user);
        let slot = Slot {
            shared: Arc::clone(&shared),
            is_in_turn: false,
            is_offered: user == User::Undecided,
        };
        self.slots.insert(dial, slot);
        shared
    }

    fn deliver(&mut self, dial: &DialId, chunk: bytes::Bytes) {
        let Some(slot) = self.slots.get(dial) else {
            return;
        };
        if !slot.shared.deliver(chunk) {
            self.blocked = Some(Blocked {
                n_read_bytes: slot.shared.n_read_bytes(),
                reader: Arc::clone(&slot.shared),
                deadline: self.shared.config.timers.now() + self.shared.config.stall_deadline,
            });
        }
    }

    /// Reads one packet, unless a reader or the star itself has to catch up
    /// first.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if self.blocked.is_some() || self.star.n_commands() >= MAX_COMMANDS {
            return match self.connection.poll_drive_writes(cx) {
                Poll::Ready(Err(closed)) => Poll::Ready(Err(closed)),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
            };
        }
        let packet = std::task::ready!(self.connection.poll_event(cx))?;
        let now = self.shared.config.timers.now();
        match packet {
            Packet::Event {
                name,
                args,
                attachments,
                ack,
            } => {
                let token = Token(self.next_token);
                let wanted = ack.map(|_| token);
                let will_answer = self
                    .star
                    .handle_event(&name, &args, &attachments, wanted, now);
                if let Some(id) = ack
                    && will_answer
                {
                    self.next_token += 1;
                    self.tokens.insert(token, id);
                }
            }
            Packet::Ack { id, args, .. } => {
                if let Some(tag) = self.calls.remove(&id) {
                    self.star.handle_answer(&tag, &args, now);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Returns the error of a star that has proved its id before, and now offers no
/// profile in which it could.
fn downgrade(shared: &Shared, star: &StarAddress) -> Option<Error> {
    let host = star.dialed_host();
    match shared.config.profile {
        Profile::Auto => {
            let pin = shared.config.pins.pinned(&host)?;
            Some(StarChange::error(&host, &pin, None))
        }
        Profile::Legacy => None,
    }
}

/// Says where this peer can be found, signed. A visitor says so, too: whom it dials
/// may want to come back.
fn own_record(shared: &Shared, star: &StarAddress, purpose: Purpose) -> Option<PeerRecord> {
    let mut addresses = shared.external.all();
    let at_star = star.with_peer(shared.own).to_multiaddr();
    if purpose == Purpose::Home && !addresses.contains(&at_star) {
        addresses.push(at_star);
    }
    addresses.truncate(MAX_ADDRESSES);
    let signed = Signed::new(&shared.keypair, addresses).ok()?;
    PeerRecord::new(&signed.into_signed_envelope().into_protobuf_encoding())
}

impl Drop for Session {
    fn drop(&mut self) {
        while let Some((_, pending)) = self.dials.pop_first() {
            // Who dialed may have given up.
            let _ = pending.reply.send(Err(self.closed.clone()));
        }
        while let Some((_, slot)) = self.slots.pop_first() {
            slot.shared.break_off(Break::Lost);
        }
        while let Some((_, offer)) = self.offers.pop_first() {
            offer.expire();
        }
    }
}
