//! One line: what was said on it, what is to be said. Pure.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    codec::FrameEvent,
    mux::Role,
    reason::CloseReason,
    room::{INITIAL_ROOM_BYTES, MAX_ROOM_BYTES, charge, encode_room},
};

/// Less is not sent of a longer piece, so that little room does not make many
/// small messages.
const MIN_SPLIT_BYTES: usize = 1024;

/// What the other side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// It has not spoken.
    Unknown,
    /// It knows of room, of ends, and of reasons.
    Knows,
    /// It knows what the reference knows.
    Plain,
}

/// What is said.
///
/// ```text
///  Silent ─accept─► Open ─end─► Ending ─DATA ""─► Ended ─┐
///     │              │            │ to a plain peer      │ when all is over
///     └───reset──────┴────────────┼──────────────────────┤
///                                 ▼                      ▼
///                               Closed ◄─CLOSE──────── Closing ◄──┐
///                                          its reason │           │ its CLOSE
///                                                     └──► Cut ───┘ was heard
/// ```
///
/// `Cut` is for the side that serves: its last CLOSE answers that of the side
/// that opened, with which the id is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    Silent,
    Open,
    Ending,
    Ended,
    Closing(Option<CloseReason>),
    Cut,
    Closed,
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remote {
    /// Not even a CONNECT.
    Silent,
    Open,
    /// The end of its data.
    Ended,
    /// A CLOSE.
    Over,
}

/// Whether there is somebody on this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    Present,
    Gone,
}

/// What a line has to say.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) event: FrameEvent,
    pub(crate) message: u16,
    pub(crate) payload: Bytes,
    /// Bytes of the local side that are sent with it.
    pub(crate) sent_bytes: usize,
}

/// What came out of a line for its local side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Bytes. To be [taken](super::Mux::taken) when they are written.
    Data(Bytes),
    /// The other side sends no more, and still reads.
    End,
    /// The other side sends no more, and reads no more.
    Over,
}

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) serial: u64,
    role: Role,
    peer: Peer,
    out: Outgoing,
    pub(crate) remote: Remote,
    pub(crate) local: Local,
    /// The last word of the other side was heard.
    received_last: bool,
    /// Its messages cannot be put in order any more.
    pub(crate) is_broken: bool,
    /// It stands in the row of those that may have something to say.
    pub(crate) is_queued: bool,
    next_message: u16,
    /// A CONNECT is to be sent first.
    connect_due: bool,
    outbox: VecDeque<Bytes>,
    outbox_bytes: usize,
    send_room: usize,
    inbox: VecDeque<Bytes>,
    /// Which end the local side has read.
    last_read: Option<Remote>,
    window_bytes: usize,
    receive_room: usize,
    /// What was received and not taken, as it is charged.
    pub(crate) untaken_bytes: usize,
    to_grant: usize,
}

impl Line {
    /// Begins a line: with a CONNECT to be sent, or one to be heard.
    pub(crate) fn new(role: Role, serial: u64, window_bytes: usize) -> Self {
        let (out, local, send_room, receive_room) = match role {
            Role::Opens => (
                Outgoing::Open,
                Local::Present,
                INITIAL_ROOM_BYTES,
                window_bytes,
            ),
            Role::Serves => (Outgoing::Silent, Local::Gone, 0, INITIAL_ROOM_BYTES),
        };
        Self {
            serial,
            role,
            peer: Peer::Unknown,
            out,
            remote: Remote::Silent,
            local,
            received_last: false,
            is_broken: false,
            is_queued: false,
            next_message: 0,
            connect_due: role == Role::Opens,
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            send_room,
            inbox: VecDeque::new(),
            last_read: None,
            window_bytes,
            receive_room,
            untaken_bytes: 0,
            to_grant: 0,
        }
    }

    /// Returns whether the reference is at the other end, as far as is known.
    pub(crate) fn is_plain(&self) -> bool {
        self.peer == Peer::Plain
    }

    /// Returns whether nothing is left to say or to hear.
    pub(crate) fn is_done(&self) -> bool {
        let heard = match self.role {
            Role::Opens => self.received_last,
            Role::Serves => self.remote == Remote::Over,
        };
        self.out == Outgoing::Closed && heard && self.local == Local::Gone
    }

    // --- from the local side

    /// The target of the line is there.
    pub(crate) fn accept(&mut self) {
        if self.out == Outgoing::Silent {
            self.out = Outgoing::Open;
            self.connect_due = self.remote != Remote::Over;
        }
    }

    /// Returns how many bytes wait to be sent.
    pub(crate) fn outbox_bytes(&self) -> usize {
        self.outbox_bytes
    }

    /// Takes bytes to be sent. After the end, and when nobody reads them, they are
    /// dropped.
    pub(crate) fn write(&mut self, bytes: Bytes) {
        if self.out == Outgoing::Open && self.remote != Remote::Over && !bytes.is_empty() {
            self.outbox_bytes += bytes.len();
            self.outbox.push_back(bytes);
        }
    }

    /// The local side sends no more.
    pub(crate) fn end(&mut self) {
        if self.out == Outgoing::Open {
            self.out = Outgoing::Ending;
        }
    }

    /// Returns what the local side has not read.
    pub(crate) fn read(&mut self) -> Option<Read> {
        if let Some(bytes) = self.inbox.pop_front() {
            return Some(Read::Data(bytes));
        }
        let read = match self.remote {
            Remote::Silent | Remote::Open => return None,
            Remote::Ended => Read::End,
            Remote::Over => Read::Over,
        };
        (self.last_read.replace(self.remote) != Some(self.remote)).then_some(read)
    }

    /// Bytes that were read are written.
    pub(crate) fn taken(&mut self, payload_bytes: usize) -> usize {
        let taken = charge(payload_bytes).min(self.untaken_bytes);
        self.untaken_bytes -= taken;
        self.to_grant += taken;
        taken
    }

    /// The local side is through with both directions.
    pub(crate) fn finish(&mut self) {
        self.local = Local::Gone;
        self.inbox = VecDeque::new();
        self.settle();
    }

    /// The local side is gone, whatever was or will be said.
    pub(crate) fn reset(&mut self, reason: CloseReason) {
        self.abandon();
        match self.out {
            Outgoing::Closing(_) | Outgoing::Cut | Outgoing::Closed => {}
            // Nobody has heard of it.
            Outgoing::Open | Outgoing::Ending if self.next_message == 0 && self.opens() => {
                self.out = Outgoing::Closed;
                self.received_last = true;
            }
            Outgoing::Silent | Outgoing::Open | Outgoing::Ending | Outgoing::Ended => {
                self.out = Outgoing::Closing(Some(reason));
            }
        }
        self.settle();
    }

    fn opens(&self) -> bool {
        self.role == Role::Opens
    }

    fn abandon(&mut self) {
        self.local = Local::Gone;
        self.inbox = VecDeque::new();
        self.untaken_bytes = 0;
        self.drop_outbox();
    }

    fn drop_outbox(&mut self) {
        self.outbox = VecDeque::new();
        self.outbox_bytes = 0;
        self.connect_due = false;
    }

    /// Says the last word when its time has come.
    fn settle(&mut self) {
        if self.local != Local::Gone {
            return;
        }
        let all_ended = self.opens() && self.out == Outgoing::Ended;
        match self.out {
            Outgoing::Closed => {}
            Outgoing::Closing(_) if self.opens() => {}
            Outgoing::Silent
            | Outgoing::Open
            | Outgoing::Ending
            | Outgoing::Ended
            | Outgoing::Closing(_)
            | Outgoing::Cut => {
                if self.remote == Remote::Over || all_ended {
                    self.out = Outgoing::Closing(None);
                }
            }
        }
    }

    // --- from the other side

    /// A CONNECT was heard.
    ///
    /// Returns whether it is the first.
    pub(crate) fn receive_connect(&mut self, room: Option<u32>) -> bool {
        let is_first = self.remote == Remote::Silent;
        if is_first {
            self.remote = Remote::Open;
            self.peer = match room {
                Some(_) => Peer::Knows,
                None => Peer::Plain,
            };
            if self.role == Role::Serves {
                self.local = Local::Present;
            }
        }
        if self.peer == Peer::Knows {
            let room = usize::try_from(room.unwrap_or(0)).unwrap_or(usize::MAX);
            self.send_room = self.send_room.saturating_add(room).min(MAX_ROOM_BYTES);
        }
        is_first
    }

    /// Data were heard. Returns what they count for.
    pub(crate) fn receive_data(&mut self, payload: Bytes) -> Result<usize, CloseReason> {
        match self.remote {
            Remote::Silent if self.opens() => {
                self.remote = Remote::Open;
                self.peer = Peer::Plain;
            }
            Remote::Open => {}
            Remote::Over => return Ok(0),
            // Nobody looks at it any more, and it may be without its payload.
            Remote::Ended if self.local == Local::Gone => return Ok(0),
            Remote::Silent | Remote::Ended => return Err(CloseReason::Malformed),
        }
        if self.local == Local::Gone {
            return Ok(0);
        }
        let charged = charge(payload.len());
        if self.peer == Peer::Knows {
            if payload.is_empty() {
                self.remote = Remote::Ended;
                return Ok(0);
            }
            let room = self.receive_room.checked_sub(charged);
            self.receive_room = room.ok_or(CloseReason::Flood)?;
        }
        if payload.is_empty() {
            return Ok(0);
        }
        self.inbox.push_back(payload);
        self.untaken_bytes += charged;
        Ok(charged)
    }

    /// A CLOSE was heard. Returns why the local side is to be reset, if it is.
    pub(crate) fn receive_close(&mut self, reason: Option<CloseReason>) -> Option<CloseReason> {
        let was_present = self.local == Local::Present;
        self.remote = Remote::Over;
        match reason {
            None => {
                self.received_last = true;
                self.drop_outbox();
            }
            Some(_) => self.abandon(),
        }
        self.settle();
        reason.filter(|_| was_present)
    }

    // --- to the other side

    /// Returns what is to be said next, in messages of at most this payload.
    pub(crate) fn next_output(&mut self, chunk_bytes: usize) -> Option<Output> {
        if self.connect_due {
            self.connect_due = false;
            let room = self.first_room();
            return Some(self.output(FrameEvent::Connect, room, 0));
        }
        if let Some(room) = self.due_grant() {
            return Some(self.output(FrameEvent::Connect, encode_room(room), 0));
        }
        match self.out {
            Outgoing::Silent | Outgoing::Ended | Outgoing::Cut | Outgoing::Closed => None,
            Outgoing::Open | Outgoing::Ending if !self.outbox.is_empty() => {
                let payload = self.next_data(chunk_bytes)?;
                let sent_bytes = payload.len();
                Some(self.output(FrameEvent::Data, payload, sent_bytes))
            }
            Outgoing::Open => None,
            Outgoing::Ending => match self.peer {
                Peer::Unknown => None,
                Peer::Knows => {
                    self.out = Outgoing::Ended;
                    self.settle();
                    Some(self.output(FrameEvent::Data, Bytes::new(), 0))
                }
                Peer::Plain => {
                    self.out = Outgoing::Closed;
                    Some(self.output(FrameEvent::Close, Bytes::new(), 0))
                }
            },
            Outgoing::Closing(reason) => {
                let owes_last = self.role == Role::Serves && self.peer == Peer::Knows;
                self.out = match reason {
                    Some(_) if owes_last => Outgoing::Cut,
                    Some(_) | None => Outgoing::Closed,
                };
                let code = reason.map_or("", CloseReason::code);
                Some(self.output(FrameEvent::Close, Bytes::from_static(code.as_bytes()), 0))
            }
        }
    }

    /// Returns the payload of the first CONNECT: none for one who has sent none.
    fn first_room(&mut self) -> Bytes {
        if self.peer == Peer::Plain {
            return Bytes::new();
        }
        let before = match self.role {
            Role::Opens => 0,
            Role::Serves => INITIAL_ROOM_BYTES,
        };
        let room = self.window_bytes - before;
        if self.role == Role::Serves {
            self.receive_room += room;
        }
        encode_room(u32::try_from(room).unwrap_or(u32::MAX))
    }

    /// Returns the room that is to be given, once it is worth a message.
    fn due_grant(&mut self) -> Option<u32> {
        let may = match self.out {
            Outgoing::Open | Outgoing::Ending | Outgoing::Ended => true,
            Outgoing::Silent | Outgoing::Closing(_) | Outgoing::Cut | Outgoing::Closed => false,
        };
        let is_due = self.peer == Peer::Knows
            && self.remote == Remote::Open
            && self.local == Local::Present
            && self.to_grant >= self.window_bytes / 4;
        if !may || !is_due {
            return None;
        }
        let room = std::mem::take(&mut self.to_grant);
        self.receive_room += room;
        u32::try_from(room).ok()
    }

    /// Takes the next bytes for which there is room.
    fn next_data(&mut self, chunk_bytes: usize) -> Option<Bytes> {
        let first = self.outbox.front_mut()?;
        let mut len = first.len().min(chunk_bytes);
        if self.peer != Peer::Plain {
            let overhead = charge(0);
            let fits = self.send_room.saturating_sub(overhead);
            if fits < len.min(MIN_SPLIT_BYTES) {
                return None;
            }
            len = len.min(fits);
            self.send_room -= charge(len);
        }
        let payload = first.split_to(len);
        if first.is_empty() {
            self.outbox.pop_front();
        }
        self.outbox_bytes -= len;
        Some(payload)
    }

    fn output(&mut self, event: FrameEvent, payload: Bytes, sent_bytes: usize) -> Output {
        let message = self.next_message;
        self.next_message = message.wrapping_add(1);
        Output {
            event,
            message,
            payload,
            sent_bytes,
        }
    }
}
