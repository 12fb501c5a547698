//! What waits to be written to one native client.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

use bytes::Bytes;
use serde::Serialize;
use starpoint_broker::{LinkId, Message};
use starpoint_wire::{
    legacy,
    native::{EncodedEvent, Hello},
};

use super::packet;

/// Queue from the star to a connection. The broker's window bounds it.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Frame>,
    /// Questions that the client has not answered. The broker bounds its links.
    asked: BTreeMap<u64, LinkId>,
    last_ask: u64,
    waker: Option<Waker>,
}

/// One WebSocket message.
#[derive(Debug)]
pub(super) enum Frame {
    /// The hello, not signed yet.
    Hello(Box<Hello>),
    Text(String),
    /// An event whose packet is made when it is written: an event to thousands is in
    /// memory once.
    Event(EncodedEvent),
    /// An attachment, as the engine's version wants it.
    Attachment(Bytes),
}

impl Outgoing {
    /// Queues a message.
    pub(crate) fn send(&self, message: Message) {
        match message {
            Message::Reply(ack, reply) => {
                self.push([Frame::Text(packet::answer(ack.0, &json(&reply)))]);
            }
            Message::Event(legacy::Event::StreamQueue { stream, payload }) => {
                const PLACEHOLDER: &str = r#"[{"_placeholder":true,"num":0}]"#;
                let name = legacy::Event::queue_name(&stream);
                let head = packet::event(&name, PLACEHOLDER, None, 1);
                self.push([Frame::Text(head), Frame::Attachment(payload)]);
            }
            Message::Event(event) => {
                let text = packet::event(&event.name(), &json(&event), None, 0);
                self.push([Frame::Text(text)]);
            }
            Message::Ask(link, event) => {
                let id = self.asked(link);
                let text = packet::event(&event.name(), &json(&event), Some(id), 0);
                self.push([Frame::Text(text)]);
            }
            Message::Hello(hello) => self.push([Frame::Hello(hello)]),
            Message::NativeReply(ack, reply) => {
                self.push([Frame::Text(packet::answer(ack.0, &reply.encode()))]);
            }
            Message::NativeEvent(event) => self.push([Frame::Event(event)]),
        }
    }

    /// Returns the number of a new question.
    fn asked(&self, link: LinkId) -> u64 {
        let mut state = self.state();
        state.last_ask += 1;
        let id = state.last_ask;
        state.asked.insert(id, link);
        id
    }

    /// Takes the question that an answer belongs to.
    pub(super) fn take_asked(&self, id: u64) -> Option<LinkId> {
        self.state().asked.remove(&id)
    }

    /// Queues what Engine.IO says by itself, unless the same waits already: a client
    /// that asks for it and does not read must not make the queue grow.
    pub(super) fn say(&self, text: &str) {
        let is_same = |frame: &Frame| match frame {
            Frame::Text(waiting) => waiting == text,
            Frame::Hello(_) | Frame::Event(_) | Frame::Attachment(_) => false,
        };
        if !self.state().frames.iter().any(is_same) {
            self.push([Frame::Text(text.to_owned())]);
        }
    }

    fn push<const N: usize>(&self, frames: [Frame; N]) {
        let mut state = self.state();
        state.frames.extend(frames);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn pop(&self) -> Option<Frame> {
        let mut state = self.state();
        let frame = state.frames.pop_front();
        if state.frames.is_empty() {
            // An idle client holds no queue.
            state.frames = VecDeque::new();
        }
        frame
    }

    /// Registers who is woken by the next frame. Look again after this.
    pub(super) fn register(&self, cx: &Context<'_>) {
        let mut state = self.state();
        if !state
            .waker
            .as_ref()
            .is_some_and(|w| w.will_wake(cx.waker()))
        {
            state.waker = Some(cx.waker().clone());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Encodes the arguments of a reply or event.
fn json(args: &impl Serialize) -> String {
    serde_json::to_string(args).expect("keys are strings and writing to memory does not fail")
}
