//! Bodies of the fuzz targets `bridge_*`.

use std::time::Duration;

use bytes::Bytes;
use web_time::Instant;

use crate::{
    CloseReason, Event, LineKey, Mux, MuxConfig, OUTBOX_BYTES, Read, Role,
    codec::{Frame, FrameEvent, HEADER_BYTES, MAX_PAYLOAD_BYTES, frames},
    reassembly::{Reassembly, ReassemblyLimits},
    room::encode_room,
};

/// Decodes the input as a frame of a bridge.
pub fn codec(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    if let Ok(frame) = Frame::decode(&bytes) {
        assert_eq!(frame.encoded_len(), input.len());
        assert_eq!(frame.encode(), bytes);
        assert!(frame.index() < frame.total());
        assert_eq!(frame.payload()[..], input[HEADER_BYTES..]);
    }
    // Any bytes can be carried, in frames of any length.
    let size = input.first().map_or(1, |byte| usize::from(*byte).max(1));
    let made = frames(FrameEvent::Data, 7, 9, &bytes, size).expect("it is short");
    let parts: Vec<_> = made.iter().flat_map(|f| f.payload().to_vec()).collect();
    assert_eq!(parts, input);
    for frame in &made {
        assert_eq!(Frame::decode(&frame.encode()).as_ref(), Ok(frame));
        assert!(frame.payload().len() <= size.min(MAX_PAYLOAD_BYTES));
    }
}

/// A script of few bytes each.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?);
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        Some(bytes)
    }

    /// A frame of one of few lines and messages, so that frames meet.
    fn frame(&mut self) -> Option<Bytes> {
        let event = FrameEvent::ALL[usize::from(self.byte()? % 3)];
        let line = u16::from(self.byte()? % 4);
        let message = u16::from(self.byte()?).wrapping_sub(16);
        let (index, total) = (self.byte()? % 4, self.byte()? % 5);
        let payload = self.bytes()?;
        let mut bytes = vec![event.number()];
        for field in [line, message, index.into(), total.into()] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        bytes.extend_from_slice(payload);
        Some(bytes.into())
    }
}

const LIMITS: ReassemblyLimits = ReassemblyLimits {
    message_bytes: 64,
    line_bytes: 1_024,
    total_bytes: 2_048,
};

/// Runs the input as a script of frames, lines that begin and end, and time.
pub fn reassembly(input: &[u8]) {
    let mut script = Script(input);
    let mut reassembly = Reassembly::new(LIMITS);
    let mut now = Instant::now();
    while let Some(op) = script.byte() {
        let line = u16::from(op >> 4) % 4;
        match op % 8 {
            0 => reassembly.open(line),
            1 => reassembly.close(line),
            2 => reassembly.discard_payloads(line),
            3 => now += Duration::from_secs(u64::from(op >> 4)),
            4 => {
                if let Some(line) = reassembly.expired(now) {
                    assert!(reassembly.holds(line));
                    reassembly.close(line);
                }
            }
            _ => take(&mut reassembly, &mut script, now),
        }
        assert!(reassembly.waiting_bytes() <= LIMITS.total_bytes);
        let waits = (0..4).any(|line| reassembly.holds(line));
        assert_eq!(waits, reassembly.next_deadline().is_some());
        assert_eq!(waits, reassembly.waiting_bytes() > 0);
        assert_eq!(waits, reassembly.greediest().is_some());
    }
    (0..4).for_each(|line| reassembly.close(line));
    assert_eq!(reassembly.waiting_bytes(), 0);
    assert_eq!(reassembly.next_deadline(), None);
}

fn take(reassembly: &mut Reassembly, script: &mut Script<'_>, now: Instant) {
    let Some(Ok(frame)) = script.frame().map(|bytes| Frame::decode(&bytes)) else {
        return;
    };
    let line = frame.line();
    let before = reassembly.waiting_bytes();
    match reassembly.accept(frame, now) {
        Ok(mut next) => {
            while let Some(message) = next {
                assert!(message.payload.len() <= LIMITS.message_bytes);
                next = reassembly.next(line);
            }
        }
        Err(_) => assert_eq!(reassembly.waiting_bytes(), before),
    }
}

/// Runs the input as a script between two sides of a bridge, of which the channel
/// may also deliver anything else.
pub fn mux(input: &[u8]) {
    let mut script = Script(input);
    let config = || MuxConfig {
        reassembly: ReassemblyLimits {
            message_bytes: 1 << 17,
            line_bytes: 1 << 18,
            total_bytes: 1 << 19,
        },
        max_lines: 3,
        ..MuxConfig::default()
    };
    let side = |role| Mux::new(role, config()).expect("the settings are good");
    let mut sides = [side(Role::Opens), side(Role::Serves)].map(Side::new);
    let mut now = Instant::now();
    while let Some(op) = script.byte() {
        let number = usize::from(op >> 7);
        let [client, host] = &mut sides;
        let (side, other) = if number == 0 {
            (client, host)
        } else {
            (host, client)
        };
        match op % 8 {
            0 => side.act(op, &mut script),
            1 => side.deliver(other, now),
            2 => {
                now += Duration::from_secs(u64::from((op >> 3) & 15));
                side.mux.handle_timeout(now);
            }
            3 => {
                if let Some(bytes) = script.bytes() {
                    side.mux.handle_message(&Bytes::copy_from_slice(bytes), now);
                }
            }
            4 => {
                let (line, room) = (u16::from((op >> 3) & 3), u32::from(op) << 8);
                let words = Frame::whole(FrameEvent::Connect, line, 0, encode_room(room));
                let words = words.expect("it is short").encode();
                side.mux.handle_message(&words, now);
            }
            _ => {
                if let Some(bytes) = script.frame() {
                    side.mux.handle_message(&bytes, now);
                }
            }
        }
        sides.iter_mut().for_each(Side::settle);
    }
    for side in &mut sides {
        side.mux.stop();
        while side.mux.next_message().is_some() {}
        side.settle();
        assert_eq!(side.mux.n_present(), 0);
    }
}

/// One side, and the lines that it has heard of.
struct Side {
    mux: Mux,
    lines: Vec<LineKey>,
}

impl Side {
    fn new(mux: Mux) -> Self {
        let lines = Vec::new();
        Self { mux, lines }
    }

    fn act(&mut self, op: u8, script: &mut Script<'_>) {
        let pick = usize::from((op >> 3) & 1);
        let line = self.lines.iter().rev().nth(pick).copied();
        match (script.byte().map(|byte| byte % 8), line) {
            (Some(0), _) => self.lines.extend(self.mux.open().ok()),
            (Some(1), Some(line)) => self.mux.accept(line),
            (Some(2), Some(line)) => self.mux.end(line),
            (Some(3), Some(line)) => self.mux.finish(line),
            (Some(4), Some(line)) => {
                let reason = CloseReason::Refused;
                self.mux.reset(line, reason);
            }
            (Some(5), Some(line)) => {
                let bytes = Bytes::copy_from_slice(script.bytes().unwrap_or_default());
                let writable = self.mux.writable(line);
                assert!(writable <= OUTBOX_BYTES);
                let written = self.mux.write(line, bytes.clone());
                assert!(written.is_ok() || bytes.len() > writable);
            }
            (Some(_), Some(line)) => {
                if let Some(Read::Data(bytes)) = self.mux.read(line) {
                    self.mux.taken(line, bytes.len());
                }
            }
            (_, None) | (None, _) => {}
        }
    }

    /// Carries what this side has to say to the other one.
    fn deliver(&mut self, other: &mut Self, now: Instant) {
        while let Some(bytes) = self.mux.next_message() {
            let frame = Frame::decode(&bytes);
            assert!(frame.is_ok_and(|frame| frame.total() == 1));
            other.mux.handle_message(&bytes, now);
        }
    }

    fn settle(&mut self) {
        while let Some(event) = self.mux.next_event() {
            match event {
                Event::Incoming(line) => self.lines.push(line),
                Event::Opened(_) | Event::Readable(_) | Event::Sent(..) | Event::Reset(..) => {}
            }
        }
        // A line that was refused is there until the other side has let go of it.
        assert!(self.mux.n_present() <= self.mux.n_lines().min(3));
    }
}

#[cfg(test)]
#[path = "../replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn frames_of_the_corpus_hold() {
        replay("bridge_codec", super::codec);
    }

    #[test]
    fn reassembly_of_the_corpus_holds() {
        replay("bridge_reassembly", super::reassembly);
    }

    #[test]
    fn bridges_of_the_corpus_hold() {
        replay("bridge_mux", super::mux);
    }
}
