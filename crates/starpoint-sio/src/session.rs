//! The protocol of a connection: frames and time in, frames and events out.
//!
//! ```text
//!            0{…}               40
//!  Opening ───────▶ Connecting ─────▶ Open ──close()──▶ Closing
//!     │                 │              │                   │
//!     └─────────────────┴──────────────┴───────────────────┴──▶ Closed
//! ```

mod outgoing;

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use web_time::Instant;

use crate::{
    config::{Config, EngineVersion},
    error::{Closed, Violation},
    io::Frame,
    packet::{self, Data, Engine, Message, Open},
};
use outgoing::Outgoing;

/// Most calls that wait for an answer; when there are more, the oldest is
/// forgotten, and a late answer to it ignored.
pub const MAX_PENDING_CALLS: usize = 4096;

/// Most answers that wait to be sent, whatever
/// [`Config::max_queued_bytes`] says: a server that asks for more without
/// reading them ends the connection.
pub const MAX_QUEUED_ANSWERS: usize = 1024;

/// Names a call: of ours, in [`Event::Ack`], or of the server's, in
/// [`Event::Event`]. The two count apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckId(u64);

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An event.
    Event {
        /// Its name; whatever the server likes.
        name: String,
        /// The other arguments, as the text of a JSON array. It parses; nothing
        /// else is checked.
        args: String,
        /// What the placeholders `{"_placeholder":true,"num":0}` stand for, if
        /// there are any.
        attachments: Vec<Bytes>,
        /// Set if the server wants an answer.
        ack: Option<AckId>,
    },
    /// The answer to a call of ours, once for each.
    Ack {
        /// The call.
        id: AckId,
        /// The arguments, as the text of a JSON array. It parses; nothing else
        /// is checked.
        args: String,
        /// What the placeholders stand for.
        attachments: Vec<Bytes>,
    },
}

/// What [`Session::poll`] wants.
#[derive(Clone, Debug)]
pub enum Output {
    /// The namespace is connected: events may flow. Once, before any event.
    Connected,
    /// The server said something.
    Event(Event),
    /// The connection is over. Comes again with each poll.
    Closed(Closed),
    /// Nothing now. Call [`Session::handle_timeout`] at this time, if any.
    Wait(Option<Instant>),
}

/// A client's side of one connection. Owns no socket, clock or randomness.
///
/// After every `&mut` call, drain [`poll`](Self::poll) until it returns
/// [`Output::Wait`] or [`Output::Closed`], and write what
/// [`poll_frame`](Self::poll_frame) gives whenever the socket has room. Memory
/// is bounded if the caller honors [`has_room`](Self::has_room).
#[derive(Debug)]
pub struct Session {
    engine: EngineVersion,
    max_message_bytes: usize,
    max_queued_bytes: usize,
    stage: Stage,
    heartbeat: Option<Heartbeat>,
    max_payload: Option<usize>,
    star: Option<u32>,
    partial: Option<Partial>,
    outgoing: Outgoing,
    output: VecDeque<Output>,
    next_call: u64,
    calls: BTreeSet<u64>,
}

#[derive(Debug)]
enum Stage {
    /// Waits for the open packet until then.
    Opening(Instant),
    /// Waits for the namespace until then.
    Connecting(Instant),
    Open,
    /// The disconnect is queued; what the server says is ignored.
    Closing,
    Closed(Closed),
}

#[derive(Debug)]
struct Heartbeat {
    interval: Duration,
    timeout: Duration,
    /// When to ping; only in Engine.IO 3.
    ping_at: Option<Instant>,
    /// When the server counts as gone.
    silent_at: Instant,
    /// Since when nothing is read, by the caller's will.
    held_since: Option<Instant>,
}

/// A packet whose attachments are not all here.
#[derive(Debug)]
struct Partial {
    data: Data,
    attachments: Vec<Bytes>,
    n_missing: usize,
    n_bytes: usize,
}

impl Session {
    /// Begins the handshake of a WebSocket that has just opened.
    ///
    /// `started` is when the attempt began, which
    /// [`Config::handshake_deadline`] counts from.
    pub fn new(config: &Config, started: Instant) -> Self {
        Self {
            engine: config.engine,
            max_message_bytes: config.max_message_bytes,
            max_queued_bytes: config.max_queued_bytes,
            stage: Stage::Opening(started + config.handshake_deadline),
            heartbeat: None,
            max_payload: None,
            star: None,
            partial: None,
            outgoing: Outgoing::default(),
            output: VecDeque::new(),
            next_call: 0,
            calls: BTreeSet::new(),
        }
    }

    /// Takes a message from the server.
    pub fn handle_frame(&mut self, frame: Frame, now: Instant) {
        if matches!(self.stage, Stage::Closing | Stage::Closed(_)) {
            return;
        }
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.note_activity(now);
        }
        let result = if frame.len() > self.max_message_bytes {
            Err(Violation::MessageTooLong)
        } else {
            match frame {
                Frame::Text(text) => self.handle_text(&text, now),
                Frame::Binary(bytes) => self.handle_attachment(bytes),
            }
        };
        if let Err(violation) = result {
            self.end(Closed::Protocol(violation));
        }
    }

    /// Does what is due. Early and late calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.stage {
            Stage::Opening(until) | Stage::Connecting(until) if now >= until => {
                self.end(Closed::HandshakeTimeout);
            }
            Stage::Opening(_)
            | Stage::Connecting(_)
            | Stage::Open
            | Stage::Closing
            | Stage::Closed(_) => {}
        }
        let Some(heartbeat) = &mut self.heartbeat else {
            return;
        };
        if heartbeat.ping_at.is_some_and(|at| now >= at) {
            heartbeat.ping_at = Some(now + heartbeat.interval);
            self.outgoing.ping();
        }
        if heartbeat.held_since.is_none() && now >= heartbeat.silent_at {
            self.end(Closed::Silent);
        }
    }

    /// Says that nothing is read from now on: silence is not the server's.
    pub fn hold(&mut self, now: Instant) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.held_since.get_or_insert(now);
        }
    }

    /// Says that reading goes on, if it was [held](Self::hold).
    pub fn resume(&mut self, now: Instant) {
        if let Some(heartbeat) = &mut self.heartbeat
            && let Some(since) = heartbeat.held_since.take()
        {
            heartbeat.silent_at += now.saturating_duration_since(since);
        }
    }

    /// Returns whether another event or call should be given.
    pub fn has_room(&self) -> bool {
        self.outgoing.bytes() < self.max_queued_bytes
    }

    /// Returns the longest message that the server says it takes, in bytes. The
    /// original star does not say: it takes 1 000 000.
    pub fn max_payload(&self) -> Option<usize> {
        self.max_payload
    }

    /// Returns the version of the native profile that the server offers, by the key
    /// `star` of its open packet. Its hello is the first event then.
    pub fn star(&self) -> Option<u32> {
        self.star
    }

    /// Queues an event.
    ///
    /// `args` is the text of a JSON array; what is none spoils the packet.
    /// `{"_placeholder":true,"num":0}` in it stands for the first of
    /// `attachments`. Does nothing before [`Output::Connected`] and after the
    /// end.
    pub fn emit(&mut self, name: &str, args: &str, attachments: Vec<Bytes>) {
        self.push_event(name, args, attachments, None);
    }

    /// Queues an event that wants an answer; as [`emit`](Self::emit) otherwise.
    ///
    /// The answer comes as [`Event::Ack`], once or never: a server may leave any
    /// call unanswered.
    pub fn call(&mut self, name: &str, args: &str, attachments: Vec<Bytes>) -> AckId {
        let id = self.next_call;
        self.next_call += 1;
        if matches!(self.stage, Stage::Open) {
            if self.calls.len() == MAX_PENDING_CALLS {
                self.calls.pop_first();
            }
            self.calls.insert(id);
        }
        self.push_event(name, args, attachments, Some(id));
        AckId(id)
    }

    /// Gives up waiting for an answer; one that comes late is ignored.
    pub fn forget(&mut self, id: AckId) {
        self.calls.remove(&id.0);
    }

    /// Answers an event of the server's; `args` is the text of a JSON array.
    ///
    /// Always queued: more than [`MAX_QUEUED_ANSWERS`] end the connection. Answer
    /// each event once; the server may close if it is answered twice.
    pub fn acknowledge(&mut self, id: AckId, args: &str) {
        if !matches!(self.stage, Stage::Open) {
            return;
        }
        self.outgoing.push_answer(packet::answer(id.0, args));
        if self.outgoing.n_answers() > MAX_QUEUED_ANSWERS {
            self.end(Closed::Protocol(Violation::UnreadAnswers));
        }
    }

    /// Queues the disconnect. What was queued before is sent before; what the
    /// server says is ignored from now on.
    pub fn close(&mut self) {
        match self.stage {
            Stage::Opening(_) | Stage::Connecting(_) => self.end(Closed::Local),
            Stage::Open => {
                self.outgoing.push_packet("41".into(), Vec::new());
                self.stage = Stage::Closing;
                self.heartbeat = None;
                self.partial = None;
                self.output.clear();
            }
            Stage::Closing | Stage::Closed(_) => {}
        }
    }

    /// Ends the session without another word; the first reason counts.
    pub fn end(&mut self, reason: Closed) {
        if matches!(self.stage, Stage::Closed(_)) {
            return;
        }
        self.stage = Stage::Closed(reason);
        self.heartbeat = None;
        self.partial = None;
        self.outgoing = Outgoing::default();
        self.calls.clear();
    }

    /// Returns the next message to write. Ask only when the socket has room:
    /// what is not asked for can still be overtaken by a heartbeat.
    pub fn poll_frame(&mut self) -> Option<Frame> {
        self.outgoing.pop()
    }

    /// Returns whether there is a message to write.
    pub fn has_frame(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Returns what happened, or what to wait for.
    pub fn poll(&mut self) -> Output {
        if let Some(output) = self.output.pop_front() {
            return output;
        }
        match self.closed() {
            Some(reason) => Output::Closed(reason.clone()),
            None => Output::Wait(self.deadline()),
        }
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout), if ever.
    pub fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Opening(until) | Stage::Connecting(until) => Some(until),
            Stage::Open | Stage::Closing | Stage::Closed(_) => {
                self.heartbeat.as_ref().and_then(Heartbeat::next)
            }
        }
    }

    /// Returns why the session is over, if it is.
    pub fn closed(&self) -> Option<&Closed> {
        match &self.stage {
            Stage::Closed(reason) => Some(reason),
            Stage::Opening(_) | Stage::Connecting(_) | Stage::Open | Stage::Closing => None,
        }
    }

    fn push_event(&mut self, name: &str, args: &str, attachments: Vec<Bytes>, ack: Option<u64>) {
        if !matches!(self.stage, Stage::Open) {
            return;
        }
        let header = packet::event(name, args, ack, attachments.len());
        let engine = self.engine;
        let frames = attachments
            .into_iter()
            .map(|bytes| packet::attachment_frame(bytes, engine));
        self.outgoing.push_packet(header, frames.collect());
    }

    fn handle_text(&mut self, text: &str, now: Instant) -> Result<(), Violation> {
        match Engine::parse(text)? {
            Engine::Open(open) => self.handle_open(open, now)?,
            Engine::Close => self.end(Closed::ByServer),
            Engine::Ping | Engine::Pong | Engine::Noop if self.is_opening() => {
                return Err(Violation::Unexpected);
            }
            Engine::Ping => match self.engine {
                EngineVersion::V4 => self.outgoing.pong(),
                EngineVersion::V3 => {}
            },
            Engine::Pong | Engine::Noop => {}
            Engine::Message(text) => {
                if self.partial.is_some() {
                    return Err(Violation::MissingAttachment);
                }
                let message = Message::parse(text, self.engine)?;
                self.handle_message(message, text.len())?;
            }
        }
        Ok(())
    }

    fn is_opening(&self) -> bool {
        matches!(self.stage, Stage::Opening(_))
    }

    fn handle_open(&mut self, open: Open, now: Instant) -> Result<(), Violation> {
        let Stage::Opening(until) = self.stage else {
            return Err(Violation::Unexpected);
        };
        self.stage = Stage::Connecting(until);
        self.max_payload = open.max_payload;
        self.star = open.star;
        let ping_at = match self.engine {
            EngineVersion::V3 => Some(now + open.ping_interval),
            EngineVersion::V4 => {
                self.outgoing.push_packet("40".into(), Vec::new());
                None
            }
        };
        self.heartbeat = Some(Heartbeat {
            interval: open.ping_interval,
            timeout: open.ping_timeout,
            ping_at,
            silent_at: now + open.ping_interval + open.ping_timeout,
            held_since: None,
        });
        Ok(())
    }

    fn handle_message(&mut self, message: Message, n_bytes: usize) -> Result<(), Violation> {
        match (message, &self.stage) {
            (_, Stage::Opening(_)) => return Err(Violation::Unexpected),
            (Message::Connect, Stage::Connecting(_)) => {
                self.stage = Stage::Open;
                self.output.push_back(Output::Connected);
            }
            (Message::Refused(reason), _) => self.end(Closed::Refused { reason }),
            (Message::Disconnect, _) => self.end(Closed::Disconnected),
            (
                Message::Data {
                    data,
                    n_attachments,
                },
                Stage::Open,
            ) => self.begin(data, n_attachments, n_bytes),
            (Message::Connect | Message::Data { .. }, _) => return Err(Violation::Unexpected),
        }
        Ok(())
    }

    fn begin(&mut self, data: Data, n_missing: usize, n_bytes: usize) {
        self.partial = Some(Partial {
            data,
            attachments: Vec::new(),
            n_missing,
            n_bytes,
        });
        self.finish_if_complete();
    }

    fn handle_attachment(&mut self, frame: Bytes) -> Result<(), Violation> {
        let partial = self
            .partial
            .as_mut()
            .ok_or(Violation::UnannouncedAttachment)?;
        partial.n_bytes += frame.len();
        if partial.n_bytes > self.max_message_bytes {
            return Err(Violation::MessageTooLong);
        }
        partial
            .attachments
            .push(packet::attachment(frame, self.engine)?);
        partial.n_missing -= 1;
        self.finish_if_complete();
        Ok(())
    }

    fn finish_if_complete(&mut self) {
        let Some(partial) = self.partial.take_if(|partial| partial.n_missing == 0) else {
            return;
        };
        let attachments = partial.attachments;
        let event = match partial.data {
            Data::Event { name, args, ack } => Event::Event {
                name,
                args,
                attachments,
                ack: ack.map(AckId),
            },
            Data::Ack { id, .. } if !self.calls.remove(&id) => return,
            Data::Ack { id, args } => Event::Ack {
                id: AckId(id),
                args,
                attachments,
            },
        };
        self.output.push_back(Output::Event(event));
    }
}

impl Heartbeat {
    fn note_activity(&mut self, now: Instant) {
        self.silent_at = now + self.interval + self.timeout;
        // What came while nothing was to be read has ended the time before it.
        self.held_since = self.held_since.map(|_| now);
    }

    fn next(&self) -> Option<Instant> {
        let silent_at = match self.held_since {
            Some(_) => None,
            None => Some(self.silent_at),
        };
        [self.ping_at, silent_at].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
