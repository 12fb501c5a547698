//! Two sides that do anything, and a channel that delivers in any order.

use std::collections::BTreeMap;

use super::*;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// What one side knows of a line.
#[derive(Debug, Default)]
struct Talk {
    said: Vec<u8>,
    heard: Vec<u8>,
    has_ended: bool,
    has_received_end: bool,
    was_reset: bool,
    is_finished: bool,
}

struct Side {
    mux: Mux,
    talks: BTreeMap<u16, (LineKey, Talk)>,
    /// To this side.
    on_their_way: Vec<Bytes>,
}

impl Side {
    fn new(role: Role) -> Self {
        Self {
            mux: mux(role),
            talks: BTreeMap::new(),
            on_their_way: Vec::new(),
        }
    }

    fn open(&mut self) {
        let line = self.mux.open().unwrap();
        self.talks.insert(line.id(), (line, Talk::default()));
    }

    fn handle_events(&mut self) {
        while let Some(event) = self.mux.next_event() {
            match event {
                Event::Incoming(line) => {
                    self.mux.accept(line);
                    let before = self.talks.insert(line.id(), (line, Talk::default()));
                    assert!(before.is_none(), "ids are not used twice here");
                }
                Event::Reset(line, _) => {
                    let (_, talk) = self.talks.get_mut(&line.id()).unwrap();
                    talk.was_reset = true;
                }
                Event::Opened(_) | Event::Readable(_) | Event::Sent(..) => {}
            }
        }
    }

    /// Does something with some line.
    fn act(&mut self, random: &mut Random) {
        if self.talks.is_empty() {
            return;
        }
        let nth = random.below(self.talks.len());
        let (line, talk) = self.talks.values_mut().nth(nth).unwrap();
        match random.below(60) {
            0 => {
                self.mux.reset(*line, CloseReason::Reset);
                talk.was_reset = true;
            }
            1..5 => {
                self.mux.end(*line);
                talk.has_ended = true;
            }
            5..30 if !talk.has_ended => {
                let len = random.below(self.mux.writable(*line).clamp(1, 40_000));
                let first = random.below(256);
                let bytes: Bytes = (first..first + len).map(|n| n as u8).collect();
                self.mux.write(*line, bytes.clone()).unwrap();
                talk.said.extend_from_slice(&bytes);
            }
            _ => read_one(&mut self.mux, *line, talk),
        }
        self.handle_events();
    }

    fn end_all(&mut self) {
        for (line, talk) in self.talks.values_mut() {
            self.mux.end(*line);
            talk.has_ended = true;
            for _ in 0..100 {
                read_one(&mut self.mux, *line, talk);
            }
        }
        self.handle_events();
    }

    fn send(&mut self, other: &mut Self, n_most: usize) {
        for _ in 0..n_most {
            let Some(message) = self.mux.next_message() else {
                break;
            };
            other.on_their_way.push(message);
        }
        self.handle_events();
    }

    fn receive(&mut self, random: &mut Random, now: Instant) {
        if self.on_their_way.is_empty() {
            return;
        }
        let at = random.below(self.on_their_way.len());
        let message = self.on_their_way.swap_remove(at);
        self.mux.handle_message(&message, now);
        let is_data = message[0] == FrameEvent::Data.number();
        if is_data && random.below(10) == 0 {
            self.on_their_way.push(message);
        }
        self.handle_events();
    }
}

fn read_one(mux: &mut Mux, line: LineKey, talk: &mut Talk) {
    match mux.read(line) {
        Some(Read::Data(bytes)) => {
            assert!(!talk.has_received_end);
            talk.heard.extend_from_slice(&bytes);
            mux.taken(line, bytes.len());
        }
        Some(Read::End | Read::Over) => talk.has_received_end = true,
        None => {}
    }
    if talk.has_ended && talk.has_received_end && !talk.is_finished {
        talk.is_finished = true;
        mux.finish(line);
    }
}

fn check(client: &Side, host: &Side) {
    for (id, (_, far)) in &host.talks {
        let (_, near) = &client.talks[id];
        assert!(near.said.starts_with(&far.heard), "line {id}");
        assert!(far.said.starts_with(&near.heard), "line {id}");
        if !near.was_reset && !far.was_reset {
            assert!(near.is_finished && far.is_finished, "line {id}");
            assert_eq!(near.said.len(), far.heard.len(), "line {id}");
            assert_eq!(far.said.len(), near.heard.len(), "line {id}");
        }
    }
    for (id, (_, near)) in &client.talks {
        assert!(near.was_reset || host.talks.contains_key(id), "line {id}");
    }
}

fn storm(seed: u64) {
    let random = &mut Random(seed);
    let (mut client, mut host) = (Side::new(Role::Opens), Side::new(Role::Serves));
    let start = Instant::now();
    for _ in 0..2_000 {
        match random.below(20) {
            0 if client.talks.len() < 12 => client.open(),
            0..4 => client.act(random),
            4..8 => host.act(random),
            8 | 9 => client.send(&mut host, 3),
            10 | 11 => host.send(&mut client, 3),
            12..16 => host.receive(random, start),
            _ => client.receive(random, start),
        }
    }
    for _ in 0..20_000 {
        client.end_all();
        host.end_all();
        client.send(&mut host, 100);
        host.send(&mut client, 100);
        if client.on_their_way.is_empty() && host.on_their_way.is_empty() {
            break;
        }
        for _ in 0..20 {
            host.receive(random, start);
            client.receive(random, start);
        }
    }
    check(&client, &host);
    // Late duplicates are forgotten with time.
    let later = start + MESSAGE_LIFETIME;
    client.mux.handle_timeout(later);
    host.mux.handle_timeout(later);
    assert_eq!((client.mux.n_lines(), host.mux.n_lines()), (0, 0));
    assert_eq!((client.mux.n_present(), host.mux.n_present()), (0, 0));
    assert_eq!((client.mux.untaken_bytes, host.mux.untaken_bytes), (0, 0));
    assert_eq!((client.mux.counters().cut, host.mux.counters().cut), (0, 0));
}

#[test]
fn r_bridge_4_streams_are_whole_whatever_the_order_of_messages() {
    for seed in 0..60 {
        println!("seed {seed}");
        storm(seed);
    }
}
