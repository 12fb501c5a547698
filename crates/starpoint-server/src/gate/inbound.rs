//! What a client sends: which of it may be passed on, and what it is charged for.

use std::sync::Arc;

use super::{
    frames::{FrameHead, FrameWalker, Opcode, SeenFrame},
    pong::{Ping, Pong},
};
use crate::{
    account::{Charge, Promise, SMALL_BYTES},
    session::Session,
    socketio::{self, Kind},
};

/// Bytes of a text that tell its [`Kind`].
pub(crate) const KIND_BYTES: usize = 4;
/// Longest text that may name another namespace: the library says the name in its
/// refusal, which nobody has to read.
const MAX_NAMESPACE_BYTES: u64 = 64;

/// Why nothing more is passed on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The head of a frame is not whole.
    Incomplete,
    /// A message begins, and the session is held.
    Held,
    /// So many bytes of a large message find no room.
    NoRoom(usize),
    /// The client may not send a message of this length.
    TooLong,
    /// No honest client sends this.
    Malformed,
}

/// Position in what a client sends.
///
/// A *packet* is what the library keeps until it is whole: an event with its
/// attachments, or one message. It is charged as it arrives, and until the library
/// has handed it on.
#[derive(Debug)]
pub(crate) struct Inbound {
    session: Arc<Session>,
    max_packet_bytes: usize,
    walker: FrameWalker,
    charge: Charge,
    /// The large frame that is passing.
    promise: Option<Promise>,
    /// Bytes of the packet that is not whole.
    packet_bytes: usize,
    /// Bytes of packets that are whole and may not have been handed on yet.
    whole_bytes: usize,
    /// What the message that is passing began as.
    kind: Opcode,
    /// Attachments that the text that is passing announces.
    n_announced: u8,
    n_missing: u8,
    ping: Option<Ping>,
    /// The session knows that a packet is not whole.
    is_open_told: bool,
}

impl Inbound {
    pub(crate) fn new(session: Arc<Session>, max_message_bytes: usize) -> Self {
        Self {
            charge: Charge::none(Arc::clone(&session.source)),
            session,
            max_packet_bytes: max_message_bytes + socketio::HEAD_BYTES,
            walker: FrameWalker::default(),
            promise: None,
            packet_bytes: 0,
            whole_bytes: 0,
            kind: Opcode::Control,
            n_announced: 0,
            n_missing: 0,
            ping: None,
            is_open_told: false,
        }
    }

    /// Returns whether a message could begin at the next byte.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.walker.is_between_messages()
    }

    pub(crate) fn is_between_frames(&self) -> bool {
        self.walker.is_between_frames()
    }

    /// See [`FrameWalker::rest_of_frame`].
    pub(crate) fn rest_of_frame(&self) -> u64 {
        self.walker.rest_of_frame()
    }

    /// Returns whether the next byte belongs to a large message.
    pub(crate) fn is_within_large(&self) -> bool {
        self.walker.is_within_data() && self.packet_bytes > SMALL_BYTES
    }

    /// What was passed on before has been handed on by now.
    pub(crate) fn passed_on(&mut self) {
        let bytes = std::mem::take(&mut self.whole_bytes);
        self.charge.release(bytes);
    }

    /// Looks at bytes that follow those passed on before. Returns how many of them,
    /// `most` or less, may be passed on, and why not more if not all may.
    ///
    /// Pings become pongs, which the library ignores, and are answered.
    pub(crate) fn inspect(
        &mut self,
        bytes: &mut [u8],
        most: usize,
        pong: &mut Pong,
    ) -> (usize, Option<Stop>) {
        let end = bytes.len().min(most);
        let mut at = 0;
        let mut stop = None;
        while at < end {
            let n = if self.walker.is_between_frames() {
                match self.begin_frame(&mut bytes[at..]) {
                    Ok(head_len) => head_len,
                    Err(why) => {
                        stop = Some(why);
                        break;
                    }
                }
            } else {
                usize::try_from(self.walker.rest_of_frame()).unwrap_or(usize::MAX)
            };
            let n = n.min(end - at);
            self.walk(&bytes[at..at + n], pong);
            at += n;
        }
        let is_open = self.packet_bytes > 0 || !self.walker.is_between_messages();
        if is_open && !std::mem::replace(&mut self.is_open_told, true) {
            self.session.message_began();
        }
        (at, stop)
    }

    /// Looks at the head of a frame; returns its length if the frame may be passed on.
    fn begin_frame(&mut self, bytes: &mut [u8]) -> Result<usize, Stop> {
        let head = FrameHead::parse(bytes).ok_or(Stop::Incomplete)?;
        self.refuse_other_namespace(&head, &bytes[head.head_len..])?;
        self.promise = self.admit(&head)?;
        if head.opcode == Opcode::Ping {
            bytes[0] ^= Opcode::PING_TO_PONG;
            self.ping = Ping::new(&head);
        }
        Ok(head.head_len)
    }

    /// Looks at the first bytes of a text that could be a long name of a namespace, or
    /// waits for them.
    fn refuse_other_namespace(&self, head: &FrameHead, payload: &[u8]) -> Result<(), Stop> {
        let is_short = head.is_final && head.len <= MAX_NAMESPACE_BYTES;
        if head.opcode != Opcode::Text || is_short || head.len < KIND_BYTES as u64 {
            return Ok(());
        }
        let masked = payload.first_chunk::<KIND_BYTES>();
        let mut first = *masked.ok_or(Stop::Incomplete)?;
        for (byte, mask) in first.iter_mut().zip(head.mask) {
            *byte ^= mask;
        }
        match Kind::of_text(&first) {
            Kind::OtherNamespace => Err(Stop::Malformed),
            Kind::Whole | Kind::Head(_) | Kind::Attachment => Ok(()),
        }
    }

    /// Returns whether a frame may be passed on, and what a large one takes.
    fn admit(&self, head: &FrameHead) -> Result<Option<Promise>, Stop> {
        if self.walker.is_between_messages() && self.session.is_held() {
            return Err(Stop::Held);
        }
        if head.opcode.is_control() {
            return Ok(None);
        }
        if head.opcode == Opcode::Text && !head.is_final && head.len < 4 {
            // Attachments could be announced unseen.
            return Err(Stop::Malformed);
        }
        let len = usize::try_from(head.len).unwrap_or(usize::MAX);
        let packet_bytes = self.packet_bytes.saturating_add(len);
        let max_bytes = if self.session.is_joined() {
            self.max_packet_bytes
        } else {
            SMALL_BYTES
        };
        if packet_bytes > max_bytes {
            return Err(Stop::TooLong);
        }
        self.session.reads_block_of(len);
        if packet_bytes <= SMALL_BYTES {
            return Ok(None);
        }
        let source = &self.session.source;
        if !source.share.admits_frame(len) {
            return Err(Stop::NoRoom(len));
        }
        Ok(Some(Promise::of(Arc::clone(source), len)))
    }

    /// Walks over bytes of one frame, or of one head.
    fn walk(&mut self, bytes: &[u8], pong: &mut Pong) {
        if self.walker.is_within_data() {
            self.charge.add(bytes.len());
            if let Some(promise) = &mut self.promise {
                promise.fulfil(bytes.len());
            }
            self.packet_bytes += bytes.len();
        } else if let Some(ping) = &mut self.ping
            && self.walker.is_within_payload()
        {
            ping.take(bytes);
        }
        let mut passed = None;
        self.walker.walk(bytes, |frame| passed = Some(frame));
        if let Some(frame) = passed {
            self.frame_passed(frame, pong);
        }
    }

    fn frame_passed(&mut self, frame: SeenFrame, pong: &mut Pong) {
        self.promise = None;
        match frame.opcode {
            Opcode::Ping | Opcode::Control => {
                if let Some(ping) = self.ping.take() {
                    self.session.tally().pinged();
                    if pong.answer(&ping) {
                        self.session.tally().pong_left_out();
                    }
                }
                return;
            }
            Opcode::Text => {
                if is_heartbeat(frame) {
                    self.session.note_heartbeat();
                }
                self.kind = Opcode::Text;
                self.n_announced = match Kind::of_text(&frame.head) {
                    Kind::Head(n) => n,
                    Kind::Whole | Kind::Attachment | Kind::OtherNamespace => 0,
                };
            }
            Opcode::Binary => self.kind = Opcode::Binary,
            Opcode::Continuation => {}
        }
        if frame.is_final {
            self.message_passed();
        }
    }

    fn message_passed(&mut self) {
        match self.kind {
            // What stands between an event and its attachments is not part of them;
            // all of it is charged until they are whole.
            Opcode::Text if self.n_missing == 0 => self.n_missing = self.n_announced,
            Opcode::Binary => self.n_missing = self.n_missing.saturating_sub(1),
            Opcode::Text | Opcode::Continuation | Opcode::Ping | Opcode::Control => {}
        }
        if self.n_missing == 0 {
            self.whole_bytes += std::mem::take(&mut self.packet_bytes);
            if std::mem::take(&mut self.is_open_told) {
                self.session.messages_completed();
            }
        }
    }
}

fn is_heartbeat(frame: SeenFrame) -> bool {
    matches!(frame.head[0], b'2' | b'3')
}
