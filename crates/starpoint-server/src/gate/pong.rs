//! The answer to a client's pings: one, the last (RFC 6455, section 5.5.3).

use super::frames::FrameHead;

/// Longest payload of a control frame.
const MAX_PAYLOAD_BYTES: usize = 125;

/// A ping whose payload is passing.
#[derive(Debug)]
pub(crate) struct Ping {
    mask: [u8; 4],
    payload: Box<[u8]>,
    seen: usize,
}

impl Ping {
    /// Begins with the head of a ping; `None` for one that is too long, which the
    /// library refuses.
    pub(crate) fn new(head: &FrameHead) -> Option<Self> {
        let len = usize::try_from(head.len).ok()?;
        (len <= MAX_PAYLOAD_BYTES).then(|| Self {
            mask: head.mask,
            payload: vec![0; len].into(),
            seen: 0,
        })
    }

    /// Takes a part of the payload, as it was sent.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let mask = self.mask.iter().cycle().skip(self.seen % 4);
        let rest = self.payload.get_mut(self.seen..).unwrap_or_default();
        for ((to, byte), mask) in rest.iter_mut().zip(bytes).zip(mask) {
            *to = byte ^ mask;
        }
        self.seen += bytes.len();
    }
}

/// The pong that is being written, and the one that waits behind it.
#[derive(Debug, Default)]
pub(crate) struct Pong {
    writing: Option<(Box<[u8]>, usize)>,
    waiting: Option<Box<[u8]>>,
}

impl Pong {
    /// Answers a ping; returns whether an older one is left without an answer.
    pub(crate) fn answer(&mut self, ping: &Ping) -> bool {
        let mut frame = Vec::with_capacity(2 + ping.payload.len());
        frame.extend([0x8a, ping.payload.len() as u8]);
        frame.extend_from_slice(&ping.payload);
        self.waiting.replace(frame.into()).is_some()
    }

    pub(crate) fn has_to_go(&self) -> bool {
        self.writing.is_some() || self.waiting.is_some()
    }

    /// Returns what is left of the pong that goes out first.
    pub(crate) fn unwritten(&mut self) -> Option<&[u8]> {
        if self.writing.is_none() {
            self.writing = self.waiting.take().map(|frame| (frame, 0));
        }
        let (frame, n_written) = self.writing.as_ref()?;
        Some(&frame[*n_written..])
    }

    /// Notes that bytes of it were written.
    pub(crate) fn wrote(&mut self, n: usize) {
        if let Some((frame, n_written)) = &mut self.writing {
            *n_written += n;
            if *n_written >= frame.len() {
                self.writing = None;
            }
        }
    }
}
