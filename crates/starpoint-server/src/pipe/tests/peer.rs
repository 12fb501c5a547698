//! A peer that writes and reads frames.

use std::sync::Arc;

use starpoint_wire::pipe::{Opcode, PipeDecoder, PipeItem, PipeSender, frame_head, mask};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::pipe::{Buffers, PipeReport, PipeSettings, relay};

/// What a peer has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Data,
    End,
    Close(u16),
    Ping,
    Pong,
    Eof,
}

pub(super) struct Peer {
    pub(super) io: DuplexStream,
    decoder: PipeDecoder,
    waiting: Vec<u8>,
    /// All data that was heard.
    pub(super) data: Vec<u8>,
}

/// A pipe between two peers.
pub(super) struct Pair {
    pub(super) a: Peer,
    pub(super) b: Peer,
    pub(super) relay: JoinHandle<PipeReport>,
    pub(super) cut: CancellationToken,
    pub(super) settings: PipeSettings,
}

pub(super) fn settings() -> PipeSettings {
    PipeSettings::new(Arc::new(Buffers::new(1 << 24)))
}

pub(super) fn pair(buffer_bytes: usize) -> Pair {
    pair_with(buffer_bytes, settings())
}

pub(super) fn pair_with(buffer_bytes: usize, settings: PipeSettings) -> Pair {
    let (a, star_a) = duplex(buffer_bytes);
    let (b, star_b) = duplex(buffer_bytes);
    let cut = CancellationToken::new();
    let (token, shared) = (cut.clone(), settings.clone());
    let relay = tokio::spawn(async move { relay(star_a, star_b, &shared, token).await });
    Pair {
        a: Peer::new(a),
        b: Peer::new(b),
        relay,
        cut,
        settings,
    }
}

/// A frame of a peer.
pub(super) fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let key = [1, 2, 3, payload.len() as u8];
    let (head, n) = frame_head(opcode, payload.len(), Some(key));
    let mut frame = head[..n].to_vec();
    frame.extend_from_slice(payload);
    mask(&mut frame[n..], key);
    frame
}

pub(super) fn close_frame(status: u16) -> Vec<u8> {
    frame(Opcode::Close, &status.to_be_bytes())
}

/// Bytes that show where they stand.
pub(super) fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|at| (at * 7 + at / 251) as u8).collect()
}

impl Peer {
    fn new(io: DuplexStream) -> Self {
        Self {
            io,
            decoder: PipeDecoder::new(PipeSender::Star),
            waiting: Vec::new(),
            data: Vec::new(),
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.expect("the star reads");
    }

    pub(super) async fn say(&mut self, opcode: Opcode, payload: &[u8]) {
        self.write(&frame(opcode, payload)).await;
    }

    pub(super) async fn end(&mut self) {
        self.say(Opcode::Text, b"end").await;
    }

    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            let step = self.decoder.next(&mut self.waiting);
            let step = step.expect("the star keeps to the protocol");
            let taken: Vec<_> = self.waiting.drain(..step.taken).collect();
            match step.item {
                PipeItem::Data(n) => {
                    self.data.extend_from_slice(&taken[taken.len() - n..]);
                    return Heard::Data;
                }
                PipeItem::End => return Heard::End,
                PipeItem::Close(status) => return Heard::Close(status.unwrap_or_default()),
                PipeItem::Ping(_) => return Heard::Ping,
                PipeItem::Pong => return Heard::Pong,
                PipeItem::Starved => {}
            }
            self.waiting.reserve(1 << 16);
            let read = self.io.read_buf(&mut self.waiting).await;
            if read.unwrap_or_default() == 0 {
                return Heard::Eof;
            }
        }
    }

    /// Returns the first thing that is not data.
    pub(super) async fn hear_past_data(&mut self) -> Heard {
        self.hear_past(Heard::Data).await
    }

    /// Returns the first other thing.
    pub(super) async fn hear_past(&mut self, skipped: Heard) -> Heard {
        loop {
            let heard = self.hear().await;
            if heard != skipped {
                return heard;
            }
        }
    }
}
