//! Frames over long polling.
//!
//! Two connections: one always has a poll waiting while the test receives, the
//! other posts.

use std::collections::VecDeque;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::Value;

use super::{Engine, Frame};
use crate::http::{HttpConnection, Response};

/// Between two packets of a payload of version 4.
const SEPARATOR: char = '\u{1e}';

#[derive(Debug)]
pub(super) struct Polling {
    engine: Engine,
    target: String,
    polls: HttpConnection,
    is_polling: bool,
    posts: HttpConnection,
    inbox: VecDeque<Frame>,
}

impl Polling {
    pub(super) async fn connect(port: u16, engine: Engine) -> anyhow::Result<Self> {
        let number = engine.number();
        let target = format!("/socket.io/?EIO={number}&transport=polling");
        let mut polling = Self {
            engine,
            polls: HttpConnection::connect(port).await,
            is_polling: false,
            posts: HttpConnection::connect(port).await,
            inbox: VecDeque::new(),
            target,
        };
        let open = polling.receive().await?;
        let Frame::Text(text) = &open else {
            bail!("expected the open packet, got {open:?}");
        };
        let parameters = text.strip_prefix('0').context("no open packet")?;
        let parameters: Value = serde_json::from_str(parameters)?;
        let sid = parameters["sid"].as_str().context("no session id")?;
        polling.target = format!("{}&sid={sid}", polling.target);
        polling.inbox.push_front(open);
        Ok(polling)
    }

    pub(super) async fn send(&mut self, frame: Frame) -> anyhow::Result<()> {
        let (kind, body) = encode(self.engine, &frame);
        let header = format!("content-type: {kind}\r\n");
        self.posts
            .send("POST", &self.target, &header, &body)
            .await?;
        let response = self.posts.receive().await?;
        ensure!(
            response.status == 200,
            "POST is answered {}: {}",
            response.status,
            response.text()
        );
        Ok(())
    }

    /// Cancel safe: a poll that waits goes on waiting.
    pub(super) async fn receive(&mut self) -> anyhow::Result<Frame> {
        loop {
            if let Some(frame) = self.inbox.pop_front() {
                return Ok(frame);
            }
            if !self.is_polling {
                self.is_polling = true;
                self.polls.send("GET", &self.target, "", b"").await?;
            }
            let response = self.polls.receive().await?;
            self.is_polling = false;
            ensure!(
                response.status == 200,
                "GET is answered {}: {}",
                response.status,
                response.text()
            );
            self.inbox.extend(decode(self.engine, &response)?);
        }
    }

    pub(super) fn abort(self) {
        self.polls.abort();
        self.posts.abort();
    }
}

fn encode(engine: Engine, frame: &Frame) -> (&'static str, Vec<u8>) {
    const TEXT: &str = "text/plain;charset=UTF-8";
    match (engine, frame) {
        (Engine::V3, Frame::Text(text)) => (
            TEXT,
            format!("{}:{text}", text.chars().count()).into_bytes(),
        ),
        (Engine::V4, Frame::Text(text)) => (TEXT, text.clone().into_bytes()),
        (Engine::V4, Frame::Attachment(bytes)) => {
            (TEXT, format!("b{}", BASE64.encode(bytes)).into_bytes())
        }
        (Engine::V3, Frame::Attachment(bytes)) => {
            let mut body = vec![1];
            let length = (bytes.len() + 1).to_string();
            body.extend(length.bytes().map(|digit| digit - b'0'));
            body.extend([0xff, 4]);
            body.extend_from_slice(bytes);
            ("application/octet-stream", body)
        }
    }
}

fn decode(engine: Engine, response: &Response) -> anyhow::Result<Vec<Frame>> {
    let kind = response.header("content-type").unwrap_or_default();
    match engine {
        Engine::V4 => response
            .text()
            .split(SEPARATOR)
            .map(text_or_base64)
            .collect(),
        Engine::V3 if kind.starts_with("application/octet-stream") => decode_binary(&response.body),
        Engine::V3 => decode_text(&response.text()),
    }
}

fn text_or_base64(packet: &str) -> anyhow::Result<Frame> {
    match packet.strip_prefix('b') {
        Some(text) => Ok(Frame::Attachment(BASE64.decode(text.as_bytes())?.into())),
        None => Ok(Frame::Text(packet.to_owned())),
    }
}

/// `<length in characters>:<packet>`, repeated.
fn decode_text(mut payload: &str) -> anyhow::Result<Vec<Frame>> {
    let mut frames = Vec::new();
    while !payload.is_empty() {
        let (length, rest) = payload.split_once(':').context("no length")?;
        let length: usize = length.parse()?;
        let end = rest
            .char_indices()
            .nth(length)
            .map_or(rest.len(), |(index, _)| index);
        let (packet, rest) = rest.split_at(end);
        frames.push(text_or_base64(
            packet.strip_prefix("b4").map_or(packet, |_| packet),
        )?);
        payload = rest;
    }
    Ok(frames)
}

/// Kind, length in decimal (one byte a digit), 0xff, packet; repeated.
fn decode_binary(mut payload: &[u8]) -> anyhow::Result<Vec<Frame>> {
    let mut frames = Vec::new();
    while let Some((kind, rest)) = payload.split_first() {
        let digits = rest
            .iter()
            .position(|byte| *byte == 0xff)
            .context("no end of length")?;
        let length = rest[..digits]
            .iter()
            .fold(0, |sum, digit| sum * 10 + usize::from(*digit));
        let packet = &rest[digits + 1..];
        let packet = packet
            .get(..length)
            .context("a packet is shorter than it says")?;
        frames.push(match kind {
            0 => Frame::Text(std::str::from_utf8(packet)?.to_owned()),
            _ => {
                ensure!(
                    packet.first() == Some(&4),
                    "a binary packet that is no message"
                );
                Frame::Attachment(Bytes::copy_from_slice(&packet[1..]))
            }
        });
        payload = &rest[digits + 1 + length..];
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_both_versions_come_apart_as_they_were_put_together() {
        let frames = [
            Frame::Text("42[\"☎\"]".into()),
            Frame::Attachment(vec![0, 255].into()),
        ];
        let texts: Vec<_> = frames
            .iter()
            .map(|frame| encode(Engine::V3, frame).1)
            .collect();
        let text = String::from_utf8(texts[0].clone()).unwrap();
        assert_eq!(
            decode_text(&text.repeat(2)).unwrap(),
            [&frames[0], &frames[0]].map(Clone::clone)
        );
        assert_eq!(decode_binary(&texts[1]).unwrap(), [frames[1].clone()]);
        assert_eq!(
            decode_binary(b"\0\x02\xff42").unwrap(),
            [Frame::Text("42".into())]
        );
        let base64 = String::from_utf8(encode(Engine::V4, &frames[1]).1).unwrap();
        assert_eq!(text_or_base64(&base64).unwrap(), frames[1]);
    }
}
