//! The socket handed to Socket.IO: counts what is written, stops what is read.
//!
//! Socket.IO's server reads as fast as it can, has no back-pressure, reserves the
//! memory for a message of any length and queues a pong for every ping. The star
//! owns the WebSocket below it, so it decides there:
//!
//! - While a session is [held](crate::session::Session::is_held), nothing more of it
//!   is read, from the next message border on.
//! - The head of a message is passed on once the message may be read: it is not too
//!   long for its client, and there is room for it in the
//!   [account](crate::account). What has arrived of it is charged.
//! - Pings are answered here, the last one if several wait, and reach the library as
//!   pongs, which it ignores.
//! - On the way out every packet is counted when its last byte has been taken by the
//!   system.

pub(crate) mod frames;
pub(crate) mod inbound;
pub(crate) mod pong;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use socketioxide::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::session::{Session, Wait};
use frames::{FrameWalker, Opcode, SeenFrame};
use inbound::{Inbound, Stop};
use pong::Pong;

/// A masked text frame with one character, as a client sends for a heartbeat; the
/// mask is zero.
const PING_FRAME: [u8; 7] = [0x81, 0x81, 0, 0, 0, 0, b'2'];
const PONG_FRAME: [u8; 7] = [0x81, 0x81, 0, 0, 0, 0, b'3'];
/// Status of a close frame: going away, protocol error, message too big (RFC 6455,
/// section 7.4.1).
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const TOO_BIG: u16 = 1009;
/// Bytes of a masked close frame with a status. Reading one makes the WebSocket
/// answer and end in good order.
const CLOSE_FRAME_BYTES: usize = 8;

/// A WebSocket of a session, from its first frame on.
pub(crate) struct Gate<S> {
    io: S,
    session: Arc<Session>,
    heartbeat: &'static [u8; 7],
    inbound: Inbound,
    /// What was read of the client and not passed on yet. Empty nearly always.
    stash: Vec<u8>,
    outbound: FrameWalker,
    pong: Pong,
    /// The library waits to write.
    is_write_blocked: bool,
    /// Status of the close frame that ends what is read.
    close_status: u16,
    is_close_read: bool,
}

impl<S> Gate<S> {
    /// Creates a gate for a client that may send messages of `max_message_bytes`.
    pub(crate) fn new(
        io: S,
        session: Arc<Session>,
        protocol: ProtocolVersion,
        max_message_bytes: usize,
    ) -> Self {
        let heartbeat = match protocol {
            // Socket.IO 4 is Engine.IO 3, where the client pings.
            ProtocolVersion::V4 => &PING_FRAME,
            ProtocolVersion::V5 => &PONG_FRAME,
        };
        Self {
            io,
            inbound: Inbound::new(Arc::clone(&session), max_message_bytes),
            session,
            heartbeat,
            stash: Vec::new(),
            outbound: FrameWalker::default(),
            pong: Pong::default(),
            is_write_blocked: false,
            close_status: GOING_AWAY,
            is_close_read: false,
        }
    }

    /// Waits until more may be read. The answer says whether there is more, or a
    /// heartbeat to put in its place.
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
        let may_stand = self.inbound.is_between_frames() && buf.remaining() >= CLOSE_FRAME_BYTES;
        if may_stand && !std::mem::replace(&mut self.is_close_read, true) {
            let [high, low] = self.close_status.to_be_bytes();
            buf.put_slice(&[0x88, 0x82, 0, 0, 0, 0, high, low]);
        }
    }

    fn saw_outbound(&mut self, bytes: &[u8]) {
        let mut packets = 0;
        self.outbound
            .walk(bytes, |frame| packets += u64::from(is_packet(frame)));
        self.session.wrote(packets, bytes.len() as u64);
    }

    /// Refuses the message that was to be read, with the status of a close frame.
    fn refuse(&mut self, status: u16) {
        self.close_status = status;
        self.session.refuse_message();
    }
}

enum Border {
    Read,
    Heartbeat,
    End,
}

/// Returns whether a frame is one of the packets that the star sends: an event, an
/// acknowledgement, or an attachment of one. What Socket.IO says by itself is not
/// counted.
fn is_packet(frame: SeenFrame) -> bool {
    match frame.opcode {
        Opcode::Binary => true,
        Opcode::Text => frame.head[0] == b'4' && matches!(frame.head[1], b'2' | b'3' | b'5' | b'6'),
        Opcode::Continuation | Opcode::Ping | Opcode::Control => false,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The library asks for more once it has taken what it was given.
        this.inbound.passed_on();
        loop {
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
            let step = if this.stash.is_empty() {
                ready!(this.poll_read_fresh(cx, buf))?
            } else {
                this.pass_on_stash(buf)
            };
            this.poll_pong(cx)?;
            match step {
                Step::Passed => {
                    this.session.set_wait(Wait::No);
                    return Poll::Ready(Ok(()));
                }
                Step::Stopped(Stop::Incomplete) => {
                    if ready!(this.poll_fill_stash(cx))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                // The border waits for it.
                Step::Stopped(Stop::Held) => {}
                Step::Stopped(Stop::NoRoom(bytes)) => {
                    let wait = if this.inbound.is_between_messages() {
                        Wait::ForMessage
                    } else {
                        Wait::WithinMessage
                    };
                    let share = &this.session.source.share;
                    let polled = share.poll_frame_room(bytes, cx);
                    ready!(this.note_wait(polled, wait, cx));
                }
                Step::Stopped(Stop::TooLong) => this.refuse(TOO_BIG),
                Step::Stopped(Stop::Malformed) => this.refuse(PROTOCOL_ERROR),
            }
        }
    }
}

/// What became of bytes that were read.
enum Step {
    /// Some were passed on, or the client has ended.
    Passed,
    /// None could be.
    Stopped(Stop),
}

impl Step {
    fn of(n_passed: usize, stop: Option<Stop>) -> Self {
        match stop {
            Some(stop) if n_passed == 0 => Self::Stopped(stop),
            Some(_) | None => Self::Passed,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    /// Reads from the client and passes on what may be.
    fn poll_read_fresh(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Step>> {
        if self.inbound.is_within_large() {
            let polled = self.session.source.share.poll_room(0, cx);
            ready!(self.note_wait(polled, Wait::WithinMessage, cx));
        }
        let before = buf.filled().len();
        let most = if self.session.is_held() {
            // Not further than the frame that has begun.
            usize::try_from(self.inbound.rest_of_frame()).unwrap_or(usize::MAX)
        } else {
            usize::MAX
        };
        let room = buf.remaining().min(most);
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        let polled = Pin::new(&mut self.io).poll_read(cx, &mut part);
        let n_read = part.filled().len();
        if polled.is_pending() {
            // A close or a vouch has to reach a reader that waits for bytes.
            self.session.register_reader(cx);
            if self.session.is_closing() {
                self.read_close(buf);
                return Poll::Ready(Ok(Step::Passed));
            }
            return Poll::Pending;
        }
        ready!(polled)?;
        if n_read == 0 {
            return Poll::Ready(Ok(Step::Passed));
        }
        self.session.note_activity();
        buf.advance(n_read);
        let bytes = &mut buf.filled_mut()[before..];
        let (n_passed, stop) = self.inbound.inspect(bytes, n_read, &mut self.pong);
        self.stash.extend_from_slice(&bytes[n_passed..]);
        buf.set_filled(before + n_passed);
        Poll::Ready(Ok(Step::of(n_passed, stop)))
    }

    /// Passes on what of the stash may be.
    fn pass_on_stash(&mut self, buf: &mut ReadBuf<'_>) -> Step {
        let (n_passed, stop) =
            self.inbound
                .inspect(&mut self.stash, buf.remaining(), &mut self.pong);
        buf.put_slice(&self.stash[..n_passed]);
        self.stash.drain(..n_passed);
        if self.stash.is_empty() {
            // It is needed now and then; a connection may be idle for days.
            self.stash = Vec::new();
        }
        Step::of(n_passed, stop)
    }

    /// Reads the rest of a head that is not whole; returns how many bytes came.
    fn poll_fill_stash(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; frames::MAX_HEADER_BYTES];
        let mut part = ReadBuf::new(&mut bytes);
        match Pin::new(&mut self.io).poll_read(cx, &mut part) {
            Poll::Ready(result) => result?,
            Poll::Pending => {
                self.session.register_reader(cx);
                if self.session.is_closing() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        }
        self.session.note_activity();
        self.stash.extend_from_slice(part.filled());
        Poll::Ready(Ok(part.filled().len()))
    }

    /// Tells the session of a wait for room in the account.
    fn note_wait(&self, polled: Poll<()>, wait: Wait, cx: &Context<'_>) -> Poll<()> {
        if polled.is_ready() {
            self.session.set_wait(Wait::No);
            return Poll::Ready(());
        }
        self.session.set_wait(wait);
        self.session.register_reader(cx);
        if self.session.is_closing() || self.session.is_vouched() {
            // The border has something to say first.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> Gate<S> {
    /// Writes the pong that waits, where it may stand and as far as the library does
    /// not wait to write: then it goes out before what the library writes.
    fn poll_pong(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.is_write_blocked || !self.pong.has_to_go() {
            return Ok(());
        }
        let Poll::Ready(outcome) = self.poll_write_pong(cx) else {
            return Ok(());
        };
        outcome?;
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Ok(()),
        }
    }

    /// Writes the pong that waits, if one does and may stand at this place.
    fn poll_write_pong(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.outbound.is_between_frames() {
            let Some(bytes) = self.pong.unwritten() else {
                break;
            };
            let n_written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
            if n_written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pong.wrote(n_written);
            self.session.wrote(0, n_written as u64);
        }
        Poll::Ready(Ok(()))
    }

    /// Notes that the library has to wait, and wakes it when the session is broken
    /// off.
    fn block_write(&mut self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        self.is_write_blocked = true;
        self.session.register_writer(cx);
        if self.session.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.session.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if this.poll_write_pong(cx)?.is_pending() {
            return this.block_write(cx);
        }
        match Pin::new(&mut this.io).poll_write(cx, bytes) {
            Poll::Ready(written) => {
                let written = written?;
                this.is_write_blocked = false;
                this.saw_outbound(&bytes[..written]);
                Poll::Ready(Ok(written))
            }
            Poll::Pending => this.block_write(cx),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.session.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if this.poll_write_pong(cx)?.is_ready() && Pin::new(&mut this.io).poll_flush(cx)?.is_ready()
        {
            this.is_write_blocked = false;
            return Poll::Ready(Ok(()));
        }
        this.block_write(cx).map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
