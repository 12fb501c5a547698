//! A message in frames of bounded size.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::{
    Frame,
    coding::{Data, OpCode},
};

/// Most bytes in a frame of text. A WebSocket keeps a buffer as large as the
/// largest frame that it has ever written, and a client may be idle for days.
const TEXT_BYTES: usize = 2 * 1024;
/// Most bytes in a frame of a stream.
const BINARY_BYTES: usize = 16 * 1024;

/// A message of which some may have been written.
#[derive(Debug)]
pub(super) struct Fragments {
    opcode: Data,
    rest: Bytes,
    frame_bytes: usize,
}

impl Fragments {
    pub(super) fn text(text: String) -> Self {
        Self::new(Data::Text, text.into(), TEXT_BYTES)
    }

    pub(super) fn binary(bytes: Bytes) -> Self {
        Self::new(Data::Binary, bytes, BINARY_BYTES)
    }

    fn new(opcode: Data, bytes: Bytes, frame_bytes: usize) -> Self {
        Self {
            opcode,
            rest: bytes,
            frame_bytes,
        }
    }

    /// Returns whether there is another frame to write.
    pub(super) fn has_more(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Takes the next frame. An empty message has one.
    pub(super) fn next_frame(&mut self) -> Frame {
        let n_bytes = self.rest.len().min(self.frame_bytes);
        let payload = self.rest.split_to(n_bytes);
        let opcode = std::mem::replace(&mut self.opcode, Data::Continue);
        Frame::message(payload, OpCode::Data(opcode), self.rest.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_whole_in_its_frames() {
        for n_bytes in [0, 1, TEXT_BYTES, TEXT_BYTES + 1, 3 * TEXT_BYTES] {
            let text = "x".repeat(n_bytes);
            let mut message = Fragments::text(text.clone());
            let mut read = Vec::new();
            let mut opcode = OpCode::Data(Data::Text);
            loop {
                let frame = message.next_frame();
                assert_eq!(frame.header().opcode, opcode);
                assert!(frame.payload().len() <= TEXT_BYTES);
                read.extend_from_slice(frame.payload());
                opcode = OpCode::Data(Data::Continue);
                assert_eq!(frame.header().is_final, !message.has_more());
                if frame.header().is_final {
                    break;
                }
            }
            assert_eq!(read, text.as_bytes());
        }
    }
}
