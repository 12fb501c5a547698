//! What waits to be written to one native client.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

use bytes::Bytes;
use starpoint_broker::{AckId, LinkId};
use starpoint_wire::{
    Reply, ServerEvent,
    native::{Hello, StarEvent, StarReply},
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
    /// An event with its arguments. They are put together when it is written: what
    /// goes to thousands is in memory once.
    Event(&'static str, Arc<str>),
    /// An attachment, as the engine's version wants it.
    Attachment(Bytes),
}

impl Outgoing {
    /// Queues an answer.
    pub(crate) fn reply(&self, ack: AckId, reply: &Reply) {
        if let Ok(args) = serde_json::to_string(reply) {
            self.push([Frame::Text(packet::answer(ack.0, &args))]);
        }
    }

    /// Queues the hello.
    pub(crate) fn greet(&self, hello: Box<Hello>) {
        self.push([Frame::Hello(hello)]);
    }

    /// Queues an answer of the native profile.
    pub(crate) fn star_reply(&self, ack: AckId, reply: &StarReply) {
        self.push([Frame::Text(packet::answer(ack.0, &reply.encode()))]);
    }

    /// Queues an event of the native profile.
    pub(crate) fn star_event(&self, event: &StarEvent) {
        self.push([Frame::Event(event.name(), event.args())]);
    }

    /// Queues an event of the legacy profile.
    pub(crate) fn emit(&self, event: &ServerEvent) {
        if let ServerEvent::StreamQueue(_, payload) = event {
            const PLACEHOLDER: &str = r#"[{"_placeholder":true,"num":0}]"#;
            let head = packet::event(&event.name(), PLACEHOLDER, None, 1);
            self.push([Frame::Text(head), Frame::Attachment(payload.clone())]);
        } else if let Ok(args) = serde_json::to_string(event) {
            let text = packet::event(&event.name(), &args, None, 0);
            self.push([Frame::Text(text)]);
        }
    }

    /// Queues an event that wants an answer.
    pub(crate) fn ask(&self, link: LinkId, event: &ServerEvent) {
        let Ok(args) = serde_json::to_string(event) else {
            return;
        };
        let mut state = self.state();
        state.last_ask += 1;
        let id = state.last_ask;
        state.asked.insert(id, link);
        drop(state);
        let text = packet::event(&event.name(), &args, Some(id), 0);
        self.push([Frame::Text(text)]);
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
            Frame::Hello(_) | Frame::Event(..) | Frame::Attachment(_) => false,
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
