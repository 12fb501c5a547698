//! What one read brought, turned into outgoing frames where it stands.

use std::{io::IoSlice, ops::Range};

use starpoint_wire::pipe::{Opcode, head_bytes, write_head};

/// Room in front of what is read, for the head of a frame that goes on from the
/// read before.
pub(super) const FRONT_ROOM: usize = 16;

/// Most frames that one batch is written as.
const MAX_FRAMES: usize = 16;

/// Payloads below are moved together: a copy is cheaper than a frame and a slice.
const JOIN_BYTES: usize = 8 * 1024;

/// A buffer with frames to write.
///
/// Payloads only move within what was already decoded, and a frame of a peer has
/// a head that is at least 4 bytes longer than one of the star, so heads fit.
pub(super) struct Batch {
    bytes: Box<[u8]>,
    frames: [(u32, u32); MAX_FRAMES],
    n_frames: usize,
    /// First frame that is not written as a whole.
    next: usize,
    payload_bytes: usize,
}

impl Batch {
    pub(super) fn new(bytes: Box<[u8]>) -> Self {
        Self {
            bytes,
            frames: [(0, 0); MAX_FRAMES],
            n_frames: 0,
            next: 0,
            payload_bytes: 0,
        }
    }

    /// Returns where a read may put its bytes, at most `max_bytes`.
    pub(super) fn room(&mut self, max_bytes: usize) -> &mut [u8] {
        let end = self.bytes.len().min(FRONT_ROOM.saturating_add(max_bytes));
        &mut self.bytes[FRONT_ROOM..end]
    }

    pub(super) fn bytes(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.bytes[range]
    }

    /// Adds a payload behind the ones before.
    pub(super) fn push(&mut self, payload: Range<usize>) {
        self.payload_bytes += payload.len();
        let last = self.n_frames.checked_sub(1).map(|last| self.payload(last));
        let joined = match last {
            Some(last) if self.n_frames == MAX_FRAMES || is_short(&last) || is_short(&payload) => {
                self.n_frames -= 1;
                self.join(last, payload)
            }
            Some(_) | None => payload,
        };
        self.frames[self.n_frames] = (joined.start as u32, joined.end as u32);
        self.n_frames += 1;
    }

    /// Moves the shorter of two payloads to the other.
    fn join(&mut self, first: Range<usize>, second: Range<usize>) -> Range<usize> {
        let floor = match self.n_frames.checked_sub(1) {
            Some(before) => self.payload(before).end,
            None => 0,
        };
        let len = first.len() + second.len();
        let room = first.start - floor;
        if second.len() < first.len() && room >= head_bytes(len, None) {
            self.bytes.copy_within(second, first.end);
            first.start..first.start + len
        } else {
            let start = second.start - first.len();
            self.bytes.copy_within(first, start);
            start..second.end
        }
    }

    /// Writes the heads; payloads become frames.
    pub(super) fn seal(&mut self) {
        for index in 0..self.n_frames {
            let payload = self.payload(index);
            let room = &mut self.bytes[..payload.start];
            let n = write_head(room, Opcode::Binary, payload.len(), None);
            self.frames[index].0 -= n as u32;
        }
    }

    fn payload(&self, index: usize) -> Range<usize> {
        let (start, end) = self.frames[index];
        start as usize..end as usize
    }

    /// Returns whether nothing is left to write.
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.n_frames
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Returns what is left to write, and how many slices that is.
    pub(super) fn slices(&self) -> ([IoSlice<'_>; MAX_FRAMES], usize) {
        let mut slices = [IoSlice::new(&[]); MAX_FRAMES];
        let n = self.n_frames - self.next;
        for (slice, index) in slices.iter_mut().zip(self.next..self.n_frames) {
            *slice = IoSlice::new(&self.bytes[self.payload(index)]);
        }
        (slices, n)
    }

    /// Notes that this many bytes were written.
    pub(super) fn advance(&mut self, mut n: usize) {
        while n > 0 && self.next < self.n_frames {
            let left = self.payload(self.next).len();
            if n < left {
                self.frames[self.next].0 += n as u32;
                return;
            }
            n -= left;
            self.next += 1;
        }
    }

    pub(super) fn into_bytes(self) -> Box<[u8]> {
        self.bytes
    }
}

fn is_short(payload: &Range<usize>) -> bool {
    payload.len() < JOIN_BYTES
}
