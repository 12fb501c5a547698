//! What comes in, and exactly what goes out. No socket, no sleep: time is a number.

mod account;
mod admission;
mod calls;
mod dial;
mod flow;
mod join;
mod leave;
mod limits;
mod native;
mod peers;
mod proof;
mod quotas;
mod stop;
mod stream;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p_identity::Keypair;
use rand_core::{TryCryptoRng, TryRng};
use starpoint_wire::{
    Call, CallError, CallKind, Cut, DialId, Direction, Refusal, StreamEnd, StreamId, challenge,
    legacy,
};

use super::{Broker, Ending};
use crate::{
    AckId, ArrivalId, Challenge, CloseReason, Command, Config, ConnId, Input, LinkId, Message,
    Offer, Output, ProofId, SourceId, Verdict, counters::Gauges, quota,
};

/// Returns the defaults, for a star with a key of its own.
fn config() -> Config {
    Config::new(star_key().public().to_peer_id())
}

fn star_key() -> Keypair {
    Keypair::ed25519_from_bytes([255; 32]).expect("32 bytes are a key")
}

const SECOND: Duration = Duration::from_secs(1);
const DIALER: Direction = Direction::Dialer;
const LISTENER: Direction = Direction::Listener;

/// A source of numbers that are all different, which is all that is asked of it
/// here.
struct Counting(u64);

impl TryRng for Counting {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0 += 1;
        Ok(u32::try_from(self.0).expect("a test draws few numbers"))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 += 1;
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            self.0 += 1;
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counting {}

/// A broker with its driver. Transports write what they get at once, except
/// those that have [stopped](Self::stop_reading).
struct Star {
    broker: Broker<Counting>,
    now: Instant,
    last_conn: u64,
    last_ack: i64,
    wake_at: Option<Instant>,
    /// What the transports of those that do not read hold, as packets and bytes.
    stopped: BTreeMap<ConnId, Vec<(usize, usize)>>,
    paused: BTreeSet<ConnId>,
    closed: BTreeSet<ConnId>,
    /// Signatures are verified when the test says so; else at once.
    has_slow_proofs: bool,
    /// Signatures that are not verified, with what they are worth.
    proofs: Vec<(ConnId, ProofId, Verdict)>,
}

impl Star {
    /// A star that lets anybody join.
    fn open() -> Self {
        Self::with(Config {
            challenge: Challenge::Off,
            ..config()
        })
    }

    /// A star with the challenge on.
    fn guarded() -> Self {
        Self::with(config())
    }

    fn with(config: Config) -> Self {
        Self {
            broker: Broker::new(config, Counting(1)),
            now: Instant::now(),
            last_conn: 0,
            last_ack: 0,
            wake_at: None,
            stopped: BTreeMap::new(),
            paused: BTreeSet::new(),
            closed: BTreeSet::new(),
            has_slow_proofs: false,
            proofs: Vec::new(),
        }
    }

    /// A connection from a source of its own.
    fn conn(&mut self) -> ConnId {
        self.conn_from(1_000 + self.last_conn)
    }

    fn conn_from(&mut self, source: u64) -> ConnId {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        self.broker.handle(
            Input::Connected {
                conn,
                source: SourceId(source),
                offer: Offer::Legacy,
            },
            self.now,
        );
        conn
    }

    /// Calls without an acknowledgement.
    fn tell(&mut self, conn: ConnId, call: Call) -> Vec<Command> {
        self.broker.handle(
            Input::Call {
                conn,
                call: Ok(call),
                ack: None,
            },
            self.now,
        );
        self.drain()
    }

    /// Calls with an acknowledgement; returns its number and what comes of it.
    fn ask(&mut self, conn: ConnId, call: Call) -> (AckId, Vec<Command>) {
        self.ask_raw(conn, Ok(call))
    }

    fn ask_raw(&mut self, conn: ConnId, call: Result<Call, CallError>) -> (AckId, Vec<Command>) {
        self.last_ack += 1;
        let ack = AckId(self.last_ack);
        self.broker.handle(
            Input::Call {
                conn,
                call,
                ack: Some(ack),
            },
            self.now,
        );
        (ack, self.drain())
    }

    /// Calls and returns the answer, which is the last thing that happens.
    fn reply_to(&mut self, conn: ConnId, call: Call) -> legacy::Reply {
        let (ack, commands) = self.ask(conn, call);
        reply_in(&commands, conn, ack)
    }

    fn refusal_of(&mut self, conn: ConnId, call: Call) -> Refusal {
        let reply = self.reply_to(conn, call);
        let legacy::Reply::Refused(refusal) = reply else {
            panic!("not refused: {reply:?}")
        };
        refusal
    }

    /// A connection that has joined as a peer, by whatever the star wants.
    fn joined(&mut self, peer: u8) -> ConnId {
        let conn = self.conn();
        self.join(conn, peer);
        conn
    }

    fn join(&mut self, conn: ConnId, peer: u8) -> legacy::Reply {
        let reply = self.reply_to(conn, join(&address(peer), &public_key(peer)));
        let legacy::Reply::Challenge(nonce) = reply else {
            return reply;
        };
        let proof = signature(peer, nonce.as_str());
        self.reply_to(conn, join(&address(peer), &proof))
    }

    /// Dials and returns the link and the number of the dialer's call.
    fn dial(&mut self, from: (ConnId, u8), to: u8, id: &str) -> (LinkId, AckId) {
        let (ack, commands) = self.ask(from.0, dial(&address(from.1), &address(to), id));
        let (_, link, _) = asked(&commands).expect("the callee is asked");
        (link, ack)
    }

    fn answer(&mut self, link: LinkId, answer: legacy::CalleeAnswer) -> Vec<Command> {
        self.broker
            .handle(Input::Answered { link, answer }, self.now);
        self.drain()
    }

    /// A dialed connection on which both sides read.
    fn open_link(&mut self, from: (ConnId, u8), to: (ConnId, u8), id: &str) {
        let (link, _) = self.dial(from, to.1, id);
        self.tell(to.0, accept(id, DIALER));
        self.answer(link, legacy::CalleeAnswer::Accepted);
        self.tell(from.0, accept(id, LISTENER));
    }

    /// Bytes of chunks that wait in the broker: what the marks are about.
    fn waiting_bytes(&self) -> usize {
        self.broker.queued_bytes
    }

    fn disconnect(&mut self, conn: ConnId) -> Vec<Command> {
        self.broker.handle(
            Input::Disconnected {
                conn,
                ending: Ending::Closed,
            },
            self.now,
        );
        self.stopped.remove(&conn);
        self.paused.remove(&conn);
        self.drain()
    }

    fn advance(&mut self, by: Duration) -> Vec<Command> {
        let until = self.now + by;
        let mut commands = self.drain();
        while let Some(at) = self.wake_at.filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.broker.handle(Input::Timeout, self.now);
            commands.extend(self.drain());
        }
        self.now = until;
        commands
    }

    /// From now on the transport of a connection writes nothing.
    fn stop_reading(&mut self, conn: ConnId) {
        self.stopped.entry(conn).or_default();
    }

    /// A transport that has stopped writes one packet or chunk, its oldest.
    fn read_one(&mut self, conn: ConnId) -> Vec<Command> {
        let held = self.stopped.get_mut(&conn).expect("it has stopped");
        let (packets, bytes) = held.remove(0);
        self.broker.handle(
            Input::Written {
                conn,
                packets,
                bytes,
            },
            self.now,
        );
        self.drain()
    }

    /// A transport writes all that it has and will get.
    fn read_on(&mut self, conn: ConnId) -> Vec<Command> {
        for (packets, bytes) in self.stopped.remove(&conn).unwrap_or_default() {
            self.broker.handle(
                Input::Written {
                    conn,
                    packets,
                    bytes,
                },
                self.now,
            );
        }
        self.drain()
    }

    /// Carries out what the broker asks for.
    fn drain(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        loop {
            match self.broker.poll() {
                Output::Do(Command::Verify {
                    conn,
                    ticket,
                    proof,
                }) => {
                    let verdict = match proof.verify() {
                        true => Verdict::Valid,
                        false => Verdict::Invalid,
                    };
                    if self.has_slow_proofs {
                        self.proofs.push((conn, ticket, verdict));
                    } else {
                        self.broker.handle(
                            Input::Verified {
                                conn,
                                ticket,
                                verdict,
                            },
                            self.now,
                        );
                    }
                }
                Output::Do(command) => {
                    self.carry_out(&command);
                    commands.push(command);
                }
                Output::Wait(at) => {
                    self.wake_at = at;
                    return commands;
                }
            }
        }
    }

    fn carry_out(&mut self, command: &Command) {
        match command {
            Command::Pause { conn } => assert!(self.paused.insert(*conn), "paused twice"),
            Command::Resume { conn } => assert!(self.paused.remove(conn), "was not paused"),
            Command::Close { conn, .. } => assert!(self.closed.insert(*conn), "closed twice"),
            Command::Send { .. }
            | Command::Verify { .. }
            | Command::PlacePipe { .. }
            | Command::RefusePipe { .. }
            | Command::OpenPipe { .. }
            | Command::DropPipe { .. }
            | Command::CutPipe { .. } => {}
        }
        let Some(conn) = command.sends_to() else {
            return;
        };
        assert!(
            !self.closed.contains(&conn),
            "sent behind a close: {command:?}"
        );
        let (packets, bytes) = size(command);
        match self.stopped.get_mut(&conn) {
            Some(held) => held.push((packets, bytes)),
            None => self.broker.handle(
                Input::Written {
                    conn,
                    packets,
                    bytes,
                },
                self.now,
            ),
        }
    }

    fn gauges(&self) -> Gauges {
        self.broker.gauges()
    }
}

impl Drop for Star {
    /// Whatever a test did: what the broker has counted is what is there.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.broker.kept(), self.broker.recounted());
        }
    }
}

fn size(command: &Command) -> (usize, usize) {
    match command {
        Command::Send { message, .. } => (message.packets(), message.weight()),
        Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Close { .. }
        | Command::Verify { .. }
        | Command::PlacePipe { .. }
        | Command::RefusePipe { .. }
        | Command::OpenPipe { .. }
        | Command::DropPipe { .. }
        | Command::CutPipe { .. } => (0, 0),
    }
}

fn reply_in(commands: &[Command], to: ConnId, number: AckId) -> legacy::Reply {
    let mut replies = commands.iter().filter_map(|command| {
        let Command::Send {
            conn,
            message: Message::Reply(ack, reply),
        } = command
        else {
            return None;
        };
        ((*conn, *ack) == (to, number)).then_some(reply)
    });
    let reply = replies.next().cloned().expect("a reply");
    assert_eq!(replies.next(), None, "a second reply");
    reply
}

/// Who is asked to take a dial, for which link, with which event.
fn asked(commands: &[Command]) -> Option<(ConnId, LinkId, legacy::Event)> {
    commands.iter().find_map(|command| {
        let Command::Send {
            conn,
            message: Message::Ask(link, event),
        } = command
        else {
            return None;
        };
        Some((*conn, *link, event.clone()))
    })
}

fn keypair(peer: u8) -> Keypair {
    Keypair::ed25519_from_bytes([peer; 32]).expect("32 bytes are an Ed25519 key")
}

fn public_key(peer: u8) -> String {
    challenge::encode_public_key(&keypair(peer).public())
}

fn signature(peer: u8, nonce: &str) -> String {
    challenge::sign(&keypair(peer), nonce).expect("Ed25519 always signs")
}

fn address(peer: u8) -> String {
    address_at(443, peer)
}

/// Another address of the same peer.
fn address_at(port: u16, peer: u8) -> String {
    let id = keypair(peer).public().to_peer_id();
    format!("/dns4/star.example/tcp/{port}/wss/p2p-websocket-star/ipfs/{id}")
}

/// An address that names no peer.
fn anonymous(host: usize) -> String {
    format!("/dns4/host{host}.example/tcp/443/wss/p2p-websocket-star")
}

fn join(address: &str, proof: &str) -> Call {
    Call::Legacy(legacy::Call::Join {
        address: address.into(),
        proof: proof.into(),
    })
}

fn leave(address: &str) -> Call {
    Call::Legacy(legacy::Call::Leave {
        address: address.into(),
    })
}

fn dial(from: &str, to: &str, dial_id: &str) -> Call {
    Call::Legacy(legacy::Call::Dial {
        from: from.into(),
        to: to.into(),
        dial_id: dial_id.into(),
    })
}

fn stream(dial: &str, direction: Direction) -> StreamId {
    StreamId {
        dial: DialId::parse(dial).expect("a dial id"),
        direction,
    }
}

fn accept(dial: &str, direction: Direction) -> Call {
    Call::Legacy(legacy::Call::StreamAccept {
        stream: stream(dial, direction),
    })
}

fn queue(dial: &str, direction: Direction, payload: impl Into<Bytes>) -> Call {
    Call::Legacy(legacy::Call::StreamQueue {
        stream: stream(dial, direction),
        payload: payload.into(),
    })
}

fn end(dial: &str, direction: Direction) -> Call {
    Call::Legacy(legacy::Call::StreamError {
        stream: stream(dial, direction),
        end: StreamEnd::Clean,
    })
}

fn reply(conn: ConnId, ack: AckId, reply: legacy::Reply) -> Command {
    Command::Send {
        conn,
        message: Message::Reply(ack, reply),
    }
}

fn emit(conn: ConnId, event: legacy::Event) -> Command {
    Command::Send {
        conn,
        message: Message::Event(event),
    }
}

fn peer_event(conn: ConnId, address: &str) -> Command {
    let address = address.into();
    emit(conn, legacy::Event::Peer { address })
}

fn accept_event(conn: ConnId, dial: &str, direction: Direction) -> Command {
    emit(
        conn,
        legacy::Event::StreamAccept {
            stream: stream(dial, direction),
        },
    )
}

fn chunk_event(
    conn: ConnId,
    dial: &str,
    direction: Direction,
    payload: impl Into<Bytes>,
) -> Command {
    let stream = stream(dial, direction);
    emit(
        conn,
        legacy::Event::StreamQueue {
            stream,
            payload: payload.into(),
        },
    )
}

fn end_event(conn: ConnId, dial: &str, direction: Direction) -> Command {
    let stream = stream(dial, direction);
    emit(
        conn,
        legacy::Event::StreamError {
            stream,
            end: StreamEnd::Clean,
        },
    )
}

fn cut_event(conn: ConnId, dial: &str, direction: Direction, cut: Cut) -> Command {
    let end = StreamEnd::Error(cut.text().into());
    emit(
        conn,
        legacy::Event::StreamError {
            stream: stream(dial, direction),
            end,
        },
    )
}

fn close(conn: ConnId) -> Command {
    Command::Close {
        conn,
        reason: CloseReason::ShuttingDown,
    }
}

/// Events that a connection got.
fn events(commands: &[Command], to: ConnId) -> impl Iterator<Item = &legacy::Event> {
    commands.iter().filter_map(move |command| {
        let Command::Send {
            conn,
            message: Message::Event(event),
        } = command
        else {
            return None;
        };
        (*conn == to).then_some(event)
    })
}

/// Payloads of a stream that a connection got, and its end if it got one.
fn received(commands: &[Command], reader: ConnId, of: &StreamId) -> (Vec<u8>, Option<StreamEnd>) {
    let mut bytes = Vec::new();
    let mut end = None;
    for event in events(commands, reader) {
        if let legacy::Event::StreamQueue {
            stream,
            payload: chunk,
        } = event
            && stream == of
        {
            assert_eq!(end, None, "a chunk behind the end");
            bytes.extend_from_slice(chunk);
        }
        if let legacy::Event::StreamError { stream, end: how } = event
            && stream == of
        {
            assert_eq!(end.replace(how.clone()), None, "two ends");
        }
    }
    (bytes, end)
}

fn announced_to(commands: &[Command], to: ConnId) -> Vec<String> {
    let addresses = events(commands, to).filter_map(|event| {
        let legacy::Event::Peer { address } = event else {
            return None;
        };
        Some(address.clone())
    });
    addresses.collect()
}
