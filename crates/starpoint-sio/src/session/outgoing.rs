//! What waits to be written, in order; heartbeats pass between packets.

use std::collections::VecDeque;

use crate::io::Frame;

/// Kept for each message beside its bytes, so that many empty ones count too.
const FRAME_OVERHEAD_BYTES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    queue: VecDeque<Waiting>,
    n_bytes: usize,
    n_answers: usize,
    is_within_packet: bool,
    has_ping: bool,
    has_pong: bool,
}

#[derive(Debug)]
struct Waiting {
    frame: Frame,
    part: Part,
}

/// Place of a message in its packet. Nothing comes between the parts of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Followed,
    Last,
    Answer,
}

impl Outgoing {
    pub(super) fn push_packet(&mut self, header: String, attachments: Vec<Frame>) {
        let n_frames = 1 + attachments.len();
        let frames = std::iter::once(Frame::Text(header)).chain(attachments);
        for (index, frame) in frames.enumerate() {
            let is_last = index + 1 == n_frames;
            self.push(frame, if is_last { Part::Last } else { Part::Followed });
        }
    }

    pub(super) fn push_answer(&mut self, text: String) {
        self.n_answers += 1;
        self.push(Frame::Text(text), Part::Answer);
    }

    pub(super) fn ping(&mut self) {
        self.has_ping = true;
    }

    pub(super) fn pong(&mut self) {
        self.has_pong = true;
    }

    pub(super) fn bytes(&self) -> usize {
        self.n_bytes
    }

    pub(super) fn n_answers(&self) -> usize {
        self.n_answers
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && !self.has_ping && !self.has_pong
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        if !self.is_within_packet {
            if std::mem::take(&mut self.has_pong) {
                return Some(Frame::Text("3".into()));
            }
            if std::mem::take(&mut self.has_ping) {
                return Some(Frame::Text("2".into()));
            }
        }
        let Waiting { frame, part } = self.queue.pop_front()?;
        self.n_bytes -= frame.len() + FRAME_OVERHEAD_BYTES;
        self.is_within_packet = part == Part::Followed;
        if part == Part::Answer {
            self.n_answers -= 1;
        }
        Some(frame)
    }

    fn push(&mut self, frame: Frame, part: Part) {
        self.n_bytes += frame.len() + FRAME_OVERHEAD_BYTES;
        self.queue.push_back(Waiting { frame, part });
    }
}
