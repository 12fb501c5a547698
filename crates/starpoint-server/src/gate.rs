//! The socket handed to Socket.IO: counts what is written, stops what is read.
//!
//! Socket.IO's server reads as fast as it can and has no back-pressure. The star
//! owns the WebSocket below it, so it decides there: while a session is
//! [held](crate::session::Session::is_held), nothing more of it is read, from the
//! next message border on. On the way out every packet is counted when its last
//! byte has been taken by the system.

mod frames;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use socketioxide::ProtocolVersion;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
};

use crate::session::Session;
use frames::{FrameWalker, Opcode, SeenFrame};

/// Frames above this take room from the star's budget for large messages before
/// they are read.
const LARGE_FRAME_BYTES: u64 = 16 * 1024;

/// A masked text frame with one character, as a client sends for a heartbeat; the
/// mask is zero.
const PING_FRAME: [u8; 7] = [0x81, 0x81, 0, 0, 0, 0, b'2'];
const PONG_FRAME: [u8; 7] = [0x81, 0x81, 0, 0, 0, 0, b'3'];
/// A masked close frame with the status 1001, going away, as a client sends it.
/// Reading it makes the WebSocket answer and end in good order.
const CLOSE_FRAME: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// Memory for messages that are large, shared by all sessions.
#[derive(Clone, Debug)]
pub(crate) struct LargeMessages {
    /// One permit is one KiB.
    room: Arc<Semaphore>,
    max_kib: u32,
}

impl LargeMessages {
    /// Creates a budget. No message takes more than `max_message_bytes` of it.
    pub(crate) fn new(total_bytes: usize, max_message_bytes: usize) -> Self {
        let total = (total_bytes.max(max_message_bytes) / 1024).min(Semaphore::MAX_PERMITS);
        Self {
            room: Arc::new(Semaphore::new(total)),
            max_kib: u32::try_from(max_message_bytes.div_ceil(1024)).unwrap_or(u32::MAX),
        }
    }

    /// Waits for room for a message. Cancel safe.
    pub(crate) fn room_for(
        &self,
        bytes: u64,
    ) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + use<> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        // A frame above the limit is refused by the WebSocket as soon as it is read.
        self.room.clone().acquire_many_owned(kib.min(self.max_kib))
    }
}

/// A WebSocket of a session, from its first frame on.
pub(crate) struct Gate<S> {
    io: S,
    session: Arc<Session>,
    heartbeat: &'static [u8; 7],
    large: LargeMessages,
    inbound: FrameWalker,
    outbound: FrameWalker,
    room: Room,
    is_close_read: bool,
}

/// Room for the large frame that is being read.
enum Room {
    None,
    Waiting(BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>),
    Taken(OwnedSemaphorePermit),
}

impl<S> Gate<S> {
    pub(crate) fn new(
        io: S,
        session: Arc<Session>,
        protocol: ProtocolVersion,
        large: LargeMessages,
    ) -> Self {
        let heartbeat = match protocol {
            // Socket.IO 4 is Engine.IO 3, where the client pings.
            ProtocolVersion::V4 => &PING_FRAME,
            ProtocolVersion::V5 => &PONG_FRAME,
        };
        Self {
            io,
            session,
            heartbeat,
            large,
            inbound: FrameWalker::default(),
            outbound: FrameWalker::default(),
            room: Room::None,
            is_close_read: false,
        }
    }

    /// Waits until another message may be read. The answer says whether there is
    /// one, or a heartbeat to put in its place.
    fn poll_border(&mut self, cx: &Context<'_>) -> Poll<Border> {
        let is_border = self.inbound.is_between_messages();
        if is_border && self.session.take_vouch() {
            return Poll::Ready(Border::Heartbeat);
        }
        if self.session.is_closing() {
            return Poll::Ready(Border::End);
        }
        if !is_border || !self.session.is_held() {
            return Poll::Ready(Border::Read);
        }
        self.session.register_reader(cx);
        // It may have changed before the waker was there.
        if self.session.is_closing() {
            Poll::Ready(Border::End)
        } else if self.session.is_held() {
            Poll::Pending
        } else {
            Poll::Ready(Border::Read)
        }
    }

    /// Ends what is read: with a close frame where one may stand, or else at once.
    fn read_close(&mut self, buf: &mut ReadBuf<'_>) {
        let may_stand = self.inbound.is_between_messages() && buf.remaining() >= CLOSE_FRAME.len();
        if may_stand && !std::mem::replace(&mut self.is_close_read, true) {
            buf.put_slice(&CLOSE_FRAME);
        }
    }

    /// Waits for room before the payload of a large frame is read.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let len = self.inbound.frame_len().unwrap_or_default();
        if len <= LARGE_FRAME_BYTES {
            return Poll::Ready(());
        }
        if let Room::None = self.room {
            self.session.set_large(true);
            self.room = Room::Waiting(Box::pin(self.large.room_for(len)));
        }
        if let Room::Waiting(waiting) = &mut self.room {
            match waiting.as_mut().poll(cx) {
                Poll::Ready(Ok(room)) => self.room = Room::Taken(room),
                // The budget is never closed; without it the frame goes unbudgeted.
                Poll::Ready(Err(_)) => self.room = Room::None,
                Poll::Pending => {
                    self.session.register_reader(cx);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }

    fn saw_inbound(&mut self, bytes: &[u8]) {
        self.session.heard();
        let (session, room) = (&self.session, &mut self.room);
        self.inbound.walk(bytes, |frame| {
            if is_heartbeat(frame) {
                session.heard_heartbeat();
            }
            if let Room::Taken(taken) = std::mem::replace(room, Room::None) {
                session.set_large(false);
                if frame.opcode == Opcode::Binary {
                    session.keep_room(taken);
                }
            }
        });
    }

    fn saw_outbound(&mut self, bytes: &[u8]) {
        let mut packets = 0;
        self.outbound
            .walk(bytes, |frame| packets += u64::from(is_packet(frame)));
        self.session.wrote(packets, bytes.len() as u64);
    }
}

enum Border {
    Read,
    Heartbeat,
    End,
}

fn is_heartbeat(frame: SeenFrame) -> bool {
    frame.opcode == Opcode::Text && matches!(frame.head[0], b'2' | b'3')
}

/// Returns whether a frame is one of the packets that the star sends: an event, an
/// acknowledgement, or an attachment of one. What Socket.IO says by itself is not
/// counted.
fn is_packet(frame: SeenFrame) -> bool {
    match frame.opcode {
        Opcode::Binary => true,
        Opcode::Text => frame.head[0] == b'4' && matches!(frame.head[1], b'2' | b'3' | b'5' | b'6'),
        Opcode::Continuation | Opcode::Control => false,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match ready!(this.poll_border(cx)) {
            Border::Read => {}
            Border::End => {
                this.read_close(buf);
                return Poll::Ready(Ok(()));
            }
            Border::Heartbeat => {
                // The reader asks for far more than seven bytes at a border.
                if buf.remaining() >= this.heartbeat.len() {
                    buf.put_slice(this.heartbeat);
                    return Poll::Ready(Ok(()));
                }
            }
        }
        ready!(this.poll_room(cx));
        let before = buf.filled().len();
        if this.session.is_held() {
            ready!(this.poll_read_rest(cx, buf))?;
        } else {
            match Pin::new(&mut this.io).poll_read(cx, buf) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    // A close or a vouch has to reach a reader that waits for bytes.
                    this.session.register_reader(cx);
                    if this.session.is_closing() {
                        this.read_close(buf);
                        return Poll::Ready(Ok(()));
                    }
                    return Poll::Pending;
                }
            }
        }
        let bytes = &buf.filled()[before..];
        if !bytes.is_empty() {
            this.saw_inbound(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> Gate<S> {
    /// Reads no further than the end of the frame that has begun.
    fn poll_read_rest(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = usize::try_from(self.inbound.rest_of_frame()).unwrap_or(usize::MAX);
        let room = buf.remaining().min(rest);
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        let polled = Pin::new(&mut self.io).poll_read(cx, &mut part);
        let read = part.filled().len();
        buf.advance(read);
        if polled.is_pending() {
            self.session.register_reader(cx);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
        this.saw_outbound(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
