//! The connection on a socket and a clock that the test moves.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
    task::Waker,
};

use futures_util::future::BoxFuture;

use super::*;
use crate::{
    error::{ConnectError, PipeError},
    io::{Frame, Pipe},
};

const OPEN: &str = r#"0{"pingInterval":25000,"pingTimeout":20000}"#;

/// The other end of the socket, and the clock.
#[derive(Debug)]
struct State {
    now: Instant,
    /// What the server has sent.
    incoming: VecDeque<Frame>,
    /// What the socket has taken.
    sent: Vec<Frame>,
    /// Messages that the socket still takes.
    n_room: usize,
    written_bytes: Option<u64>,
    /// The server closes once all that it has sent is read.
    has_closed: bool,
}

/// Stands for the network, the connector and the clock at once.
#[derive(Clone, Debug)]
struct Net(Arc<Mutex<State>>);

impl Net {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Instant::now(),
            incoming: [OPEN, "40"].map(text).into(),
            sent: Vec::new(),
            n_room: usize::MAX,
            written_bytes: None,
            has_closed: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn pass(&self, seconds: u64) {
        self.state().now += Duration::from_secs(seconds);
    }

    /// Opens a connection; everything that it needs is there at once.
    fn open(&self, config: Config) -> Result<Connection, OpenError> {
        let timers = Arc::new(self.clone());
        let mut opening = Box::pin(Connection::open("ws://a", config, self, timers));
        match opening.as_mut().poll(&mut context()) {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("the attempt waits"),
        }
    }

    fn open_default(&self) -> Connection {
        self.open(Config::default()).unwrap()
    }
}

fn text(text: &str) -> Frame {
    Frame::Text(text.into())
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl Timers for Net {
    fn now(&self) -> Instant {
        self.state().now
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let net = self.clone();
        Box::pin(poll_fn(move |_| {
            if net.now() >= at {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
    }
}

impl Connector for Net {
    fn connect(
        &self,
        _: &str,
        _: SocketLimits,
    ) -> BoxFuture<'static, Result<Box<dyn Socket>, ConnectError>> {
        let socket: Box<dyn Socket> = Box::new(self.clone());
        Box::pin(std::future::ready(Ok(socket)))
    }

    fn connect_pipe(&self, _: &str) -> BoxFuture<'static, Result<Box<dyn Pipe>, PipeError>> {
        unreachable!("a connection opens no pipe")
    }
}

impl Socket for Net {
    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, SocketError>>> {
        let next = self.state().incoming.pop_front();
        match next {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if self.state().has_closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        match self.state().n_room {
            0 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    fn start_send(&mut self, frame: Frame) -> Result<(), SocketError> {
        let mut state = self.state();
        assert!(state.n_room > 0, "sent without room");
        state.n_room -= 1;
        state.sent.push(frame);
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.poll_ready(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.poll_ready(cx)
    }

    fn written_bytes(&self) -> Option<u64> {
        self.state().written_bytes
    }
}

fn poll_event(connection: &mut Connection) -> Poll<Result<Event, Closed>> {
    connection.poll_event(&mut context())
}

#[test]
fn r_sio_7_the_deadline_covers_the_whole_attempt() {
    let net = Net::new();
    net.state().incoming.clear();
    let timers = Arc::new(net.clone());
    let mut opening = Box::pin(Connection::open("ws://a", Config::default(), &net, timers));
    assert!(opening.as_mut().poll(&mut context()).is_pending());
    net.pass(9);
    assert!(opening.as_mut().poll(&mut context()).is_pending());
    net.pass(1);
    let Poll::Ready(Err(error)) = opening.as_mut().poll(&mut context()) else {
        panic!("still open")
    };
    assert!(matches!(error, OpenError::Deadline), "{error:?}");
}

#[test]
fn r_sio_6_the_connection_pings_and_gives_a_silent_server_up() {
    let net = Net::new();
    let mut connection = net.open_default();
    assert!(poll_event(&mut connection).is_pending());
    net.pass(25);
    assert!(poll_event(&mut connection).is_pending());
    assert_eq!(net.state().sent, [text("2")]);
    net.state().incoming.push_back(text("3"));
    assert!(poll_event(&mut connection).is_pending());
    net.pass(44);
    assert!(poll_event(&mut connection).is_pending());
    net.pass(1);
    let Poll::Ready(Err(reason)) = poll_event(&mut connection) else {
        panic!("still open")
    };
    assert!(matches!(reason, Closed::Silent), "{reason:?}");
}

#[test]
fn r_sio_6_what_has_arrived_is_read_before_a_server_counts_as_silent() {
    let net = Net::new();
    let mut connection = net.open_default();
    net.pass(3600);
    net.state().incoming.push_back(text(r#"42["late"]"#));
    let polled = poll_event(&mut connection);
    assert!(matches!(polled, Poll::Ready(Ok(_))), "{polled:?}");
    assert!(poll_event(&mut connection).is_pending());
}

#[test]
fn r_sio_6_a_reader_that_holds_back_keeps_the_heartbeat() {
    let net = Net::new();
    let mut connection = net.open_default();
    for n_pings in 1..100 {
        net.pass(25);
        let polled = connection.poll_drive_writes(&mut context());
        assert!(matches!(polled, Poll::Ready(Ok(()))), "{polled:?}");
        assert_eq!(net.state().sent.len(), n_pings);
    }
    assert!(poll_event(&mut connection).is_pending(), "nothing was read");
    net.pass(45);
    assert!(
        poll_event(&mut connection).is_ready(),
        "and now was silence"
    );
}

#[test]
fn r_sio_9_the_write_deadline_counts_from_the_last_progress() {
    let net = Net::new();
    let mut connection = net.open_default();
    net.state().n_room = 0;
    net.state().written_bytes = Some(0);
    connection.emit("a", "[]", vec![]);
    for _ in 0..10 {
        assert!(poll_event(&mut connection).is_pending());
        net.pass(19);
        // One byte is enough, within a message or between two.
        *net.state().written_bytes.as_mut().unwrap() += 1;
        net.state().incoming.push_back(text("3"));
    }
    assert!(poll_event(&mut connection).is_pending());
    net.pass(20);
    let Poll::Ready(Err(reason)) = poll_event(&mut connection) else {
        panic!("still open")
    };
    assert!(matches!(reason, Closed::WriteTimeout), "{reason:?}");
    assert_eq!(net.state().sent, []);
}

#[test]
fn r_sio_9_a_socket_that_cannot_tell_has_to_take_each_message_in_time() {
    let net = Net::new();
    let mut connection = net.open_default();
    net.state().n_room = 1;
    connection.emit("a", "[]", vec![]);
    connection.emit("b", "[]", vec![]);
    assert!(poll_event(&mut connection).is_pending());
    net.pass(19);
    net.state().n_room = 1;
    assert!(poll_event(&mut connection).is_pending());
    net.pass(19);
    assert!(poll_event(&mut connection).is_pending());
    net.pass(1);
    assert!(poll_event(&mut connection).is_ready());
    assert_eq!(net.state().sent.len(), 2);
}

#[test]
fn r_sio_9_a_pending_room_is_lost_with_nothing() {
    let net = Net::new();
    let mut connection = net.open_default();
    net.state().n_room = 0;
    let chunk = Bytes::from(vec![0; 300_000]);
    connection.emit("a", "[]", vec![chunk.clone()]);
    for _ in 0..3 {
        assert!(connection.poll_ready(&mut context()).is_pending());
    }
    net.state().n_room = 3;
    assert!(connection.poll_ready(&mut context()).is_ready());
    assert_eq!(net.state().sent.len(), 2, "header and attachment, once");
}

#[test]
fn r_sio_10_an_orderly_end_has_a_deadline_and_is_final() {
    let net = Net::new();
    let mut connection = net.open_default();
    net.state().n_room = 0;
    assert!(connection.poll_close(&mut context()).is_pending());
    net.pass(4);
    assert!(connection.poll_close(&mut context()).is_pending());
    net.pass(1);
    assert!(connection.poll_close(&mut context()).is_ready());
    assert!(connection.poll_close(&mut context()).is_ready());
    for _ in 0..2 {
        let Poll::Ready(Err(reason)) = poll_event(&mut connection) else {
            panic!("still open")
        };
        assert!(matches!(reason, Closed::Local), "{reason:?}");
    }
    assert!(matches!(
        connection.poll_ready(&mut context()),
        Poll::Ready(Err(Closed::Local))
    ));
}

#[test]
fn r_sio_10_an_orderly_end_waits_for_the_server_to_close() {
    let net = Net::new();
    let mut connection = net.open_default();
    net.state().incoming = vec![text("6"); 1000].into();
    while !net.state().incoming.is_empty() {
        assert!(connection.poll_close(&mut context()).is_pending());
    }
    assert_eq!(net.state().sent, [text("41")]);
    assert!(connection.poll_close(&mut context()).is_pending());
    net.state().has_closed = true;
    assert!(connection.poll_close(&mut context()).is_ready());
}

#[test]
fn r_sio_8_the_socket_is_dropped_with_the_end() {
    let net = Net::new();
    let mut connection = net.open_default();
    let n_before = Arc::strong_count(&net.0);
    net.state().incoming.push_back(text("garbage"));
    assert!(poll_event(&mut connection).is_ready());
    assert_eq!(Arc::strong_count(&net.0), n_before - 1);
}
