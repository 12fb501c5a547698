//! Bodies of the fuzz targets `sio_*`.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use web_time::Instant;

use crate::{
    Config, EngineVersion, Frame,
    packet::{self, Data, Engine, MAX_ATTACHMENTS, Message},
    session::{AckId, Event, MAX_QUEUED_ANSWERS, Output, Session},
};

const ENGINES: [EngineVersion; 2] = [EngineVersion::V3, EngineVersion::V4];

/// Longest ping interval, and longest patience, that a server may ask for.
const LONGEST: Duration = Duration::from_secs(300);

/// Reads the input as a packet of both versions of Engine.IO.
pub fn packet(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(Engine::Open(open)) = Engine::parse(text) {
        for time in [open.ping_interval, open.ping_timeout] {
            assert!((Duration::from_secs(1)..=LONGEST).contains(&time));
        }
    }
    for engine in ENGINES {
        if let Ok(Engine::Message(text)) = Engine::parse(text)
            && let Ok(message) = Message::parse(text, engine)
        {
            check_message(message, engine);
        }
    }
    if let Ok(Value::Array(args)) = serde_json::from_str(text) {
        written(text, args);
    }
    let bytes = Bytes::copy_from_slice(input);
    for engine in ENGINES {
        let Frame::Binary(frame) = packet::attachment_frame(bytes.clone(), engine) else {
            panic!("an attachment is binary");
        };
        assert_eq!(packet::attachment(frame, engine).as_ref(), Ok(&bytes));
    }
}

fn check_message(message: Message, engine: EngineVersion) {
    match message {
        Message::Data {
            data,
            n_attachments,
        } => {
            assert!(n_attachments <= MAX_ATTACHMENTS);
            check_data(data, n_attachments, engine);
        }
        Message::Refused(reason) => {
            assert!(reason.len() <= 256 && !reason.chars().any(char::is_control));
        }
        Message::Connect | Message::Disconnect => {}
    }
}

/// What was read is written, and read again.
fn check_data(data: Data, n_attachments: usize, engine: EngineVersion) {
    let again = match &data {
        Data::Event { name, args, ack } => packet::event(name, args, *ack, n_attachments),
        Data::Ack { id, args } if n_attachments == 0 => packet::answer(*id, args),
        Data::Ack { .. } => return,
    };
    let value = |data: &Data| match data {
        Data::Event { args, .. } | Data::Ack { args, .. } => {
            serde_json::from_str::<Vec<Value>>(args).map_err(|error| error.to_string())
        }
    };
    let Ok(Engine::Message(text)) = Engine::parse(&again) else {
        panic!("{again} is no message");
    };
    let Ok(Message::Data {
        data: read,
        n_attachments: n_read,
    }) = Message::parse(text, engine)
    else {
        panic!("{again} is not read");
    };
    assert_eq!(n_read, n_attachments);
    assert_eq!(value(&read), value(&data), "{again}");
    match (&read, &data) {
        (
            Data::Event { name, ack, .. },
            Data::Event {
                name: n, ack: a, ..
            },
        ) => {
            assert_eq!((name, ack), (n, a));
        }
        (Data::Ack { id, .. }, Data::Ack { id: i, .. }) => assert_eq!(id, i),
        (Data::Event { .. } | Data::Ack { .. }, _) => panic!("{again} is of another kind"),
    }
}

/// Arguments of any array reach the other side.
fn written(text: &str, args: Vec<Value>) {
    let name = args.first().map(Value::to_string).unwrap_or_default();
    let event = packet::event(&name, text, Some(7), args.len() % (MAX_ATTACHMENTS + 1));
    let Ok(Engine::Message(message)) = Engine::parse(&event) else {
        panic!("{event} is no message");
    };
    let Ok(Message::Data {
        data: Data::Event {
            name: read,
            args: text,
            ..
        },
        ..
    }) = Message::parse(message, EngineVersion::V3)
    else {
        panic!("{event} is not read");
    };
    assert_eq!(read, name);
    let again: Vec<Value> = serde_json::from_str(&text).expect("an array");
    assert_eq!(again, args);
}

/// Largest message of the sessions below.
const MAX_MESSAGE_BYTES: usize = 200;
const MAX_QUEUED_BYTES: usize = 1_000;

/// Beginnings of packets that no fuzzer should have to find.
const OPEN: &str = r#"0{"sid":"s","pingInterval":25000,"pingTimeout":20000}"#;
const WORDS: [&str; 8] = [
    OPEN,
    r#"40{"sid":"t"}"#,
    r#"42["a"]"#,
    r#"427["b",{"_placeholder":true,"num":0}]"#,
    r#"452-["c",{"_placeholder":true,"num":0}]"#,
    "430[]",
    r#"461-1[{"_placeholder":true,"num":0}]"#,
    "2",
];

/// Runs the input as a script: its first byte is the version, and each further one what
/// the server, the caller, the socket or the clock does.
pub fn session(input: &[u8]) {
    let Some((version, mut script)) = input.split_first() else {
        return;
    };
    let config = Config {
        engine: ENGINES[usize::from(version % 2)],
        max_message_bytes: MAX_MESSAGE_BYTES,
        max_queued_bytes: MAX_QUEUED_BYTES,
        ..Config::default()
    };
    let mut run = Run {
        now: Instant::now(),
        session: Session::new(&config, Instant::now()),
        asked: Vec::new(),
        calls: Vec::new(),
        n_connected: 0,
    };
    while let Some((op, rest)) = script.split_first() {
        let length = rest.first().map_or(0, |byte| usize::from(*byte));
        script = run.step(*op, rest, length);
        run.settle();
    }
    let waiting = std::iter::from_fn(|| run.session.poll_frame());
    let waiting_bytes: usize = waiting.map(|frame| frame.len()).sum();
    assert!(waiting_bytes <= MAX_QUEUED_BYTES + 128 + 32 * MAX_QUEUED_ANSWERS);
    run.session.close();
    run.now += LONGEST * 3;
    run.session.handle_timeout(run.now);
    while run.session.poll_frame().is_some() {}
    run.settle();
    assert!(!run.session.has_frame());
}

struct Run {
    session: Session,
    now: Instant,
    /// Events of the server's that want an answer.
    asked: Vec<AckId>,
    calls: Vec<AckId>,
    n_connected: usize,
}

impl Run {
    /// Does one thing; returns the rest of the script.
    fn step<'a>(&mut self, op: u8, rest: &'a [u8], length: usize) -> &'a [u8] {
        match op % 16 {
            op @ 0..8 => {
                let word = WORDS[usize::from(op)].to_owned();
                self.session.handle_frame(Frame::Text(word), self.now);
            }
            8 | 9 => {
                let rest = rest.get(1..).unwrap_or_default();
                let (bytes, rest) = rest.split_at(length.min(rest.len()));
                let frame = match std::str::from_utf8(bytes) {
                    Ok(text) if op % 16 == 8 => Frame::Text(text.to_owned()),
                    Ok(_) | Err(_) => Frame::Binary(Bytes::copy_from_slice(bytes)),
                };
                self.session.handle_frame(frame, self.now);
                return rest;
            }
            10 => {
                self.now += Duration::from_millis(u64::from(op >> 4) * 2_500);
                self.session.handle_timeout(self.now);
            }
            11 => self.talk(op >> 4),
            12 => {
                for id in self.asked.drain(..) {
                    self.session.acknowledge(id, "[null]");
                }
            }
            13 => drop(self.session.poll_frame()),
            14 if op >> 4 < 8 => self.session.hold(self.now),
            14 => self.session.resume(self.now),
            _ => self.session.close(),
        }
        rest
    }

    fn talk(&mut self, kind: u8) {
        if !self.session.has_room() {
            return;
        }
        match (kind, self.calls.pop()) {
            (0..8, call) => {
                self.calls.extend(call);
                let attachments = vec![Bytes::from_static(b"x"); usize::from(kind % 3)];
                self.calls.push(self.session.call("a", "[1]", attachments));
            }
            (8..12, call) => {
                self.calls.extend(call);
                self.session.emit("e", "[]", Vec::new());
            }
            (_, Some(call)) => self.session.forget(call),
            (_, None) => {}
        }
    }

    /// Takes what has happened, as a caller does after each step.
    fn settle(&mut self) {
        let was_closed = self.session.closed().is_some();
        loop {
            match self.session.poll() {
                Output::Connected => self.n_connected += 1,
                Output::Event(event) => self.event(event),
                Output::Closed(_) => {
                    assert!(self.session.closed().is_some());
                    assert!(!self.session.has_frame() && self.session.deadline().is_none());
                    break;
                }
                Output::Wait(deadline) => {
                    assert!(!was_closed);
                    assert_eq!(deadline, self.session.deadline());
                    let latest = self.now + 2 * LONGEST;
                    assert!(deadline.is_none_or(|deadline| deadline <= latest));
                    break;
                }
            }
        }
        assert!(self.n_connected <= 1);
    }

    fn event(&mut self, event: Event) {
        assert_eq!(self.n_connected, 1, "an event before the namespace");
        let (name, args, attachments) = match event {
            Event::Event {
                name,
                args,
                attachments,
                ack,
            } => {
                self.asked.extend(ack);
                (name, args, attachments)
            }
            Event::Ack {
                id,
                args,
                attachments,
            } => {
                let at = self.calls.iter().position(|call| *call == id);
                self.calls.remove(at.expect("an answer to a call, once"));
                (String::new(), args, attachments)
            }
        };
        assert!(serde_json::from_str::<Vec<serde::de::IgnoredAny>>(&args).is_ok());
        let n_bytes: usize = attachments.iter().map(Bytes::len).sum();
        assert!(name.len() + args.len() + n_bytes <= MAX_MESSAGE_BYTES + 64);
        assert!(attachments.len() <= MAX_ATTACHMENTS);
    }
}

#[cfg(test)]
#[path = "../replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn packets_of_the_corpus_hold() {
        replay("sio_packet", super::packet);
    }

    #[test]
    fn sessions_of_the_corpus_hold() {
        replay("sio_session", super::session);
    }
}
