//! Frames on their way to the star.
//!
//! ```text
//!  sent │ whole frames, not sent │ 8 bytes for a head │ payload, growing │ room
//!       sent                     frame.start          (an open frame)    end
//! ```

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use starpoint_wire::pipe::{Opcode, copy_masked, frame_head, head_bytes};
use tokio::io::AsyncWrite;

use super::buffers::{BUFFER_BYTES, Buffers};

/// Room that is kept in front of a payload: a head with a length of two bytes.
const HEAD_ROOM: usize = 8;

/// Room for what the pipe itself says: a pong, an end and a close frame.
const CONTROL_ROOM: usize = 160;

/// Where data ends, in a buffer.
const DATA_LIMIT: usize = BUFFER_BYTES - CONTROL_ROOM;

/// Collects small writes into one frame, until it is flushed or full.
pub(super) struct Writer {
    buffer: Option<Box<[u8]>>,
    sent: usize,
    end: usize,
    frame: Option<OpenFrame>,
    keys: Keys,
    needs_flush: bool,
}

#[derive(Clone, Copy)]
struct OpenFrame {
    start: usize,
    key: [u8; 4],
}

/// Makes masks: unlike each other, and not to be known before. They hide nothing;
/// they keep what a caller writes from looking like HTTP to an old proxy.
struct Keys(u64);

impl Writer {
    /// `seed`: any number that others do not know.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            buffer: None,
            sent: 0,
            end: 0,
            frame: None,
            keys: Keys(seed | 1),
            needs_flush: false,
        }
    }

    /// Takes as much as there is room for; 0 when there is none.
    pub(super) fn push(&mut self, bytes: &[u8], buffers: &Buffers) -> usize {
        let buffer = self.buffer.get_or_insert_with(|| buffers.take());
        let frame = match self.frame {
            Some(frame) => frame,
            None if self.end + HEAD_ROOM >= DATA_LIMIT => return 0,
            None => {
                let frame = OpenFrame {
                    start: self.end,
                    key: self.keys.next(),
                };
                self.end += HEAD_ROOM;
                *self.frame.insert(frame)
            }
        };
        let n = bytes.len().min(DATA_LIMIT - self.end);
        let mut key = frame.key;
        key.rotate_left((self.end - frame.start - HEAD_ROOM) % 4);
        copy_masked(&bytes[..n], &mut buffer[self.end..self.end + n], key);
        self.end += n;
        n
    }

    /// Returns whether data would have to wait.
    pub(super) fn is_full(&self) -> bool {
        let head_room = if self.frame.is_none() { HEAD_ROOM } else { 0 };
        self.end + head_room >= DATA_LIMIT
    }

    /// Adds a control or text frame behind everything else; drops it when there
    /// is no room, which only pongs that nobody reads can bring about.
    pub(super) fn push_frame(&mut self, opcode: Opcode, payload: &[u8], buffers: &Buffers) {
        self.seal();
        let key = self.keys.next();
        let (head, n) = frame_head(opcode, payload.len(), Some(key));
        let buffer = self.buffer.get_or_insert_with(|| buffers.take());
        // What ends the pipe always has its room.
        let kept = match opcode {
            Opcode::Pong => 16,
            Opcode::Continuation | Opcode::Text | Opcode::Binary | Opcode::Close | Opcode::Ping => {
                0
            }
        };
        let payload_start = self.end + n;
        let end = payload_start + payload.len();
        if end + kept > BUFFER_BYTES {
            return;
        }
        buffer[self.end..payload_start].copy_from_slice(&head[..n]);
        copy_masked(payload, &mut buffer[payload_start..end], key);
        self.end = end;
    }

    /// Hands all frames over to the socket's own buffers.
    pub(super) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buffers: &Buffers,
    ) -> Poll<io::Result<()>> {
        loop {
            // An open frame grows until its turn comes.
            let end = match self.frame {
                Some(frame) if self.sent < frame.start => frame.start,
                Some(_) | None => {
                    self.seal();
                    self.end
                }
            };
            if self.sent == end {
                break;
            }
            let Some(buffer) = &self.buffer else { break };
            let bytes = &buffer[self.sent..end];
            let n = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n;
            self.needs_flush = true;
        }
        self.discard(buffers);
        Poll::Ready(Ok(()))
    }

    /// Hands all frames over to the network.
    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buffers: &Buffers,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_send(stream, cx, buffers))?;
        if self.needs_flush {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Returns whether something waits to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.end && !self.needs_flush
    }

    /// Forgets what was not sent.
    pub(super) fn discard(&mut self, buffers: &Buffers) {
        (self.sent, self.end, self.frame) = (0, 0, None);
        if let Some(buffer) = self.buffer.take() {
            buffers.give_back(buffer);
        }
    }

    /// Forgets the data of the frame that is still open.
    pub(super) fn discard_open_frame(&mut self) {
        if let Some(frame) = self.frame.take() {
            self.end = frame.start;
        }
    }

    /// Completes the open frame: writes its head where there is room for it.
    fn seal(&mut self) {
        let (Some(frame), Some(buffer)) = (self.frame.take(), &mut self.buffer) else {
            return;
        };
        let start = frame.start + HEAD_ROOM;
        let payload_bytes = self.end - start;
        let n = head_bytes(payload_bytes, Some(frame.key));
        let (head, _) = frame_head(Opcode::Binary, payload_bytes, Some(frame.key));
        let payload_start = frame.start + n;
        if payload_start < start {
            buffer.copy_within(start..self.end, payload_start);
            self.end = payload_start + payload_bytes;
        }
        buffer[frame.start..payload_start].copy_from_slice(&head[..n]);
    }
}

impl Keys {
    /// Xorshift, with the product of Vigna's xorshift64*.
    fn next(&mut self) -> [u8; 4] {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let product = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        ((product >> 32) as u32).to_ne_bytes()
    }
}
