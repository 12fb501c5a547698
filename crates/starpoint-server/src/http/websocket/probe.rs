//! The first words of a WebSocket that takes a long-polling session over.
//!
//! The client says `2probe`, hears `3probe` and says `5`. On anything else, the
//! library gives the WebSocket up and leaves the session half changed, without a
//! heartbeat: it would stay for ever. Here it hears nothing else. A client that says
//! something else, or goes, is silent for it until its deadline for a change, which
//! ends the session.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes before the payload of a short masked frame: head and mask.
const HEAD_BYTES: usize = 6;
/// What is read at once; the gate below puts its own frames between those of a client.
const READ_BYTES: usize = 512;

const PROBE: &[u8] = b"2probe";
const UPGRADE: &[u8] = b"5";
/// Heartbeats, which say nothing here.
const HEARTBEATS: [&[u8]; 2] = [b"2", b"3"];

/// A stream that passes on the two words, and then everything.
pub(super) struct Probe<S> {
    io: S,
    stage: Stage,
    /// What was read and not passed on. Empty once the session is taken over.
    unread: Vec<u8>,
    /// How much of it may be passed on.
    n_known: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// This word comes next.
    Expects(&'static [u8]),
    /// Something else has come.
    Failed,
    Done,
}

/// What the next frame is, with its bytes.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Incomplete,
    Word(usize),
    Heartbeat(usize),
    Other,
}

impl Next {
    /// Looks at the frame that begins here and is to be this word.
    fn of(bytes: &[u8], word: &[u8]) -> Self {
        const FINAL_TEXT: u8 = 0x81;
        const MASKED: u8 = 0x80;
        let Some((&[first, second], _)) = bytes.split_first_chunk::<2>() else {
            return Self::Incomplete;
        };
        let len = usize::from(second ^ MASKED);
        if first != FINAL_TEXT || len > PROBE.len() {
            return Self::Other;
        }
        let whole = HEAD_BYTES + len;
        let Some(frame) = bytes.get(..whole) else {
            return Self::Incomplete;
        };
        let (mask, payload) = frame[2..].split_at(HEAD_BYTES - 2);
        let is = |text: &[u8]| {
            let plain = payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m);
            plain.eq(text.iter().copied())
        };
        if is(word) {
            Self::Word(whole)
        } else if HEARTBEATS.into_iter().any(is) {
            Self::Heartbeat(whole)
        } else {
            Self::Other
        }
    }
}

impl<S> Probe<S> {
    /// Expects the two words if the stream takes a session over, or nothing.
    pub(super) fn new(io: S, takes_over: bool) -> Self {
        Self {
            io,
            stage: match takes_over {
                true => Stage::Expects(PROBE),
                false => Stage::Done,
            },
            unread: Vec::new(),
            n_known: 0,
        }
    }

    /// Looks at what was read; returns whether more is needed.
    fn look(&mut self) -> bool {
        while let Stage::Expects(word) = self.stage
            && self.n_known == 0
        {
            match Next::of(&self.unread, word) {
                Next::Incomplete => return true,
                Next::Heartbeat(n) => drop(self.unread.drain(..n)),
                Next::Other => self.stage = Stage::Failed,
                Next::Word(n) if word == UPGRADE => {
                    self.stage = Stage::Done;
                    self.n_known = n.max(self.unread.len());
                }
                Next::Word(n) => {
                    self.stage = Stage::Expects(UPGRADE);
                    self.n_known = n;
                }
            }
        }
        false
    }

    fn pass_on(&mut self, buf: &mut ReadBuf<'_>) {
        let n = self.n_known.min(buf.remaining());
        buf.put_slice(&self.unread[..n]);
        self.n_known -= n;
        self.unread.drain(..n);
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Probe<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.look() {
            let mut bytes = [0; READ_BYTES];
            let mut part = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut this.io).poll_read(cx, &mut part));
            if read.is_err() || part.filled().is_empty() {
                this.stage = Stage::Failed;
            }
            this.unread.extend_from_slice(part.filled());
        }
        if this.n_known > 0 {
            this.pass_on(buf);
            return Poll::Ready(Ok(()));
        }
        match this.stage {
            Stage::Done => Pin::new(&mut this.io).poll_read(cx, buf),
            // Nothing wakes it: the library's deadline ends the session.
            Stage::Failed | Stage::Expects(_) => Poll::Pending,
        }
    }
}

impl<S> Probe<S> {
    /// Hides from the library that it cannot write, as long as it would leave the
    /// session half changed.
    fn hide<T>(&mut self, written: Poll<io::Result<T>>, instead: T) -> Poll<io::Result<T>> {
        match (written, self.stage) {
            (Poll::Ready(Err(_)), Stage::Expects(_) | Stage::Failed) => {
                self.stage = Stage::Failed;
                Poll::Ready(Ok(instead))
            }
            (written, _) => written,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Probe<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.hide(written, bytes.len())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.hide(flushed, ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.io).poll_shutdown(cx);
        this.hide(shut, ())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn frame(text: &[u8]) -> Vec<u8> {
        let mask = [7, 1, 200, 3];
        let payload = text.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m);
        [0x81, 0x80 | text.len() as u8]
            .into_iter()
            .chain(mask)
            .chain(payload)
            .collect()
    }

    #[tokio::test]
    async fn the_words_pass_and_then_everything() {
        let all = [
            frame(PROBE),
            frame(UPGRADE),
            frame(b"42[\"x\"]"),
            vec![0xff; 9],
        ]
        .concat();
        for piece in [1, 3, all.len()] {
            let (mut client, server) = duplex(4096);
            let mut probe = Probe::new(server, true);
            let mut seen = Vec::new();
            for bytes in all.chunks(piece) {
                client.write_all(bytes).await.unwrap();
                let mut buf = [0; 5];
                while let Some(n) = probe.read(&mut buf).now_or_never() {
                    seen.extend_from_slice(&buf[..n.unwrap()]);
                }
            }
            assert_eq!(seen, all, "in pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn r_http_7_whatever_else_comes_is_silence() {
        let ping = [0x89, 0x80, 0, 0, 0, 0];
        for (before, other) in [
            (vec![], frame(b"2prone")),
            (vec![], frame(b"5")),
            (vec![], ping.to_vec()),
            (frame(PROBE), frame(b"6")),
            (frame(PROBE), frame(PROBE)),
            (frame(PROBE), ping.to_vec()),
            (frame(PROBE), vec![0x88, 0x80, 0, 0, 0, 0]),
            (frame(PROBE), vec![]),
            (vec![], vec![0x81, 0x81]),
        ] {
            let (mut client, server) = duplex(4096);
            let mut probe = Probe::new(server, true);
            client.write_all(&before).await.unwrap();
            client.write_all(&other).await.unwrap();
            drop(client);
            let mut seen = vec![0; before.len()];
            probe.read_exact(&mut seen).await.unwrap();
            assert_eq!(seen, before);
            assert!(probe.read_u8().now_or_never().is_none(), "{other:?}");
            assert!(probe.write_all(b"x").await.is_ok(), "{other:?}");
            assert!(probe.read_u8().now_or_never().is_none(), "{other:?}");
        }
    }

    #[tokio::test]
    async fn heartbeats_in_between_are_left_out() {
        let (mut client, server) = duplex(4096);
        let mut probe = Probe::new(server, true);
        let words = [frame(PROBE), frame(UPGRADE)];
        for bytes in [&frame(b"2"), &words[0], &frame(b"3"), &words[1]] {
            client.write_all(bytes).await.unwrap();
        }
        let mut seen = vec![0; words.concat().len()];
        probe.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, words.concat());
    }

    #[tokio::test]
    async fn a_new_session_expects_nothing() {
        let (mut client, server) = duplex(64);
        let mut probe = Probe::new(server, false);
        client.write_all(b"anything").await.unwrap();
        drop(client);
        let mut seen = Vec::new();
        probe.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"anything");
    }
}
