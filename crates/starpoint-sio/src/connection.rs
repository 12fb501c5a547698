//! A session on a socket, driven by polling.

mod alarm;

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use web_time::Instant;

use crate::{
    config::Config,
    error::{Closed, OpenError, SocketError},
    io::{Connector, Socket, SocketLimits, Timers},
    session::{AckId, Event, Output, Session},
};
use alarm::{Alarm, race};

/// Messages that are read in one poll before others have their turn.
const READ_BUDGET: usize = 64;

/// An open connection.
///
/// Owned and polled by one task; of each method the latest waker counts. Nothing
/// happens while nobody polls: a task that waits for something else polls
/// [`poll_event`](Self::poll_event) beside it, or, if it can take no more events,
/// [`poll_drive_writes`](Self::poll_drive_writes).
///
/// Dropping it closes the WebSocket at once and loses what is queued;
/// [`poll_close`](Self::poll_close) ends it in order.
pub struct Connection {
    session: Session,
    /// Gone once the connection is over.
    socket: Option<Box<dyn Socket>>,
    timers: Arc<dyn Timers>,
    alarm: Alarm,
    writing: Writing,
    write_deadline: Duration,
    close_deadline: Duration,
    ending: Ending,
}

/// What the socket owes.
#[derive(Debug, Default)]
struct Writing {
    needs_flush: bool,
    stalled: Option<Stalled>,
}

/// The socket takes nothing.
#[derive(Clone, Copy, Debug)]
struct Stalled {
    until: Instant,
    written_bytes: Option<u64>,
}

/// How far an orderly end is.
#[derive(Debug)]
enum Ending {
    NotAsked,
    /// What waits is written until then.
    Until(Instant),
    /// The close frame is sent; the server closes until then.
    Said(Instant),
    Done,
}

impl Connection {
    /// Connects to the server at `url`, `ws://host[:port]` or
    /// `wss://host[:port]`, up to the connected namespace.
    ///
    /// Dropping the future gives the attempt up and leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`OpenError`], after [`Config::handshake_deadline`] at the latest.
    pub async fn open(
        url: &str,
        config: Config,
        connector: &dyn Connector,
        timers: Arc<dyn Timers>,
    ) -> Result<Self, OpenError> {
        let endpoint = config.endpoint(url).map_err(OpenError::Url)?;
        let started = timers.now();
        let limits = SocketLimits {
            max_message_bytes: config.max_message_bytes,
        };
        let attempt = connector.connect(&endpoint, limits);
        let deadline = timers.sleep_until(started + config.handshake_deadline);
        let socket = race(attempt, deadline)
            .await
            .ok_or(OpenError::Deadline)?
            .map_err(OpenError::Connect)?;
        let mut connection = Self {
            session: Session::new(&config, started),
            socket: Some(socket),
            alarm: Alarm::new(Arc::clone(&timers)),
            timers,
            writing: Writing::default(),
            write_deadline: config.write_deadline,
            close_deadline: config.close_deadline,
            ending: Ending::NotAsked,
        };
        poll_fn(|cx| connection.poll_connected(cx)).await?;
        Ok(connection)
    }

    /// Reads the next event; meanwhile writes what is queued, keeps the
    /// heartbeat, and watches the deadlines.
    ///
    /// Loses nothing when it is not polled again.
    ///
    /// # Errors
    ///
    /// [`Closed`] once the connection is over, and from then on.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Closed>> {
        match self.poll_output(cx) {
            Poll::Ready(Ok(Some(event))) => Poll::Ready(Ok(event)),
            // The namespace connects once, and that was before.
            Poll::Ready(Ok(None)) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Err(reason)) => Poll::Ready(Err(reason)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits until another event or call may be given, by writing what is
    /// queued.
    ///
    /// Reads nothing: poll [`poll_event`](Self::poll_event) too.
    ///
    /// # Errors
    ///
    /// [`Closed`] once the connection is over.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if let Some(reason) = self.over() {
            return Poll::Ready(Err(reason));
        }
        self.write(cx);
        if let Some(reason) = self.over() {
            return Poll::Ready(Err(reason));
        }
        if self.session.has_room() {
            return Poll::Ready(Ok(()));
        }
        // The socket is pending. The time of a silent server is not watched here.
        let until = self.writing.stalled.map(|stalled| stalled.until);
        if self.alarm.poll(until, cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Queues an event; see [`Session::emit`]. Call it after
    /// [`poll_ready`](Self::poll_ready) was ready: one more is always queued,
    /// ready or not.
    pub fn emit(&mut self, name: &str, args: &str, attachments: Vec<Bytes>) {
        self.session.emit(name, args, attachments);
    }

    /// Queues an event that wants an answer; see [`Session::call`], and
    /// [`emit`](Self::emit) for when.
    pub fn call(&mut self, name: &str, args: &str, attachments: Vec<Bytes>) -> AckId {
        self.session.call(name, args, attachments)
    }

    /// Gives up waiting for an answer; see [`Session::forget`].
    pub fn forget(&mut self, id: AckId) {
        self.session.forget(id);
    }

    /// Answers an event of the server's, at any time; see
    /// [`Session::acknowledge`].
    pub fn acknowledge(&mut self, id: AckId, args: &str) {
        self.session.acknowledge(id, args);
    }

    /// Returns the longest message that the server says it takes, in bytes; see
    /// [`Session::max_payload`].
    pub fn max_payload(&self) -> Option<usize> {
        self.session.max_payload()
    }

    /// Returns the version of the native profile that the server offers; see
    /// [`Session::star`].
    pub fn star(&self) -> Option<u32> {
        self.session.star()
    }

    /// Writes what is queued without reading, for an owner that can take no more
    /// events now; poll it in place of [`poll_event`](Self::poll_event). Ready
    /// when nothing is left to write; it has to be polled again even so, because
    /// the next heartbeat wakes the task.
    ///
    /// The heartbeat goes on as far as it can: pings of Engine.IO 3 are sent, those
    /// of the server in Engine.IO 4 wait unread, so that after its interval and
    /// timeout it closes. The silence of a server that is not read does not count
    /// against it.
    ///
    /// # Errors
    ///
    /// [`Closed`] once the connection is over. That the server has gone is seen
    /// only by reading or writing.
    pub fn poll_drive_writes(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.session.hold(self.timers.now());
        loop {
            self.write(cx);
            if let Some(reason) = self.over() {
                return Poll::Ready(Err(reason));
            }
            let until = self.next_deadline();
            if self.alarm.poll(until, cx).is_pending() {
                break;
            }
            self.session.handle_timeout(self.timers.now());
        }
        if self.writing.needs_flush || self.session.has_frame() {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }

    /// Ends the connection in order: writes what is queued, tells the server, sends
    /// a close frame, and waits until the server has closed, so that nothing is
    /// lost on the way. Ready at once if it is over already, and after
    /// [`Config::close_deadline`] in any case.
    ///
    /// Events that come meanwhile are lost.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = match self.ending {
            Ending::Done => return Poll::Ready(()),
            Ending::Until(until) | Ending::Said(until) => until,
            Ending::NotAsked => {
                self.session.close();
                let until = self.timers.now() + self.close_deadline;
                self.ending = Ending::Until(until);
                until
            }
        };
        self.write(cx);
        let is_written = !self.writing.needs_flush && !self.session.has_frame();
        if is_written && matches!(self.ending, Ending::Until(_)) {
            self.say_close(until, cx);
        }
        if self.poll_drained(cx).is_pending() && self.alarm.poll(Some(until), cx).is_pending() {
            return Poll::Pending;
        }
        self.end(Closed::Local);
        self.ending = Ending::Done;
        Poll::Ready(())
    }

    fn say_close(&mut self, until: Instant, cx: &mut Context<'_>) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        match socket.poll_close(cx) {
            Poll::Ready(Ok(())) => self.ending = Ending::Said(until),
            Poll::Ready(Err(_)) => self.socket = None,
            Poll::Pending => {}
        }
    }

    /// Ready when the server has closed. What it still says is thrown away: left
    /// unread, it would make the network throw away what was written.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(socket) = &mut self.socket else {
            return Poll::Ready(());
        };
        for _ in 0..READ_BUDGET {
            match std::task::ready!(socket.poll_receive(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OpenError>> {
        match self.poll_output(cx) {
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(Closed::HandshakeTimeout)) => Poll::Ready(Err(OpenError::Deadline)),
            Poll::Ready(Err(reason)) => Poll::Ready(Err(OpenError::Handshake(reason))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Returns the next event, or `None` when the namespace is connected.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Event>, Closed>> {
        self.session.resume(self.timers.now());
        for _ in 0..READ_BUDGET {
            self.write(cx);
            match self.session.poll() {
                Output::Connected => return Poll::Ready(Ok(None)),
                Output::Event(event) => return Poll::Ready(Ok(Some(event))),
                Output::Closed(reason) => {
                    self.end(reason.clone());
                    return Poll::Ready(Err(reason));
                }
                Output::Wait(_) => {}
            }
            if self.read(cx).is_ready() {
                continue;
            }
            let until = self.next_deadline();
            if self.alarm.poll(until, cx).is_pending() {
                return Poll::Pending;
            }
            self.session.handle_timeout(self.timers.now());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads one message into the session.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(socket) = &mut self.socket else {
            return Poll::Ready(());
        };
        match socket.poll_receive(cx) {
            Poll::Ready(Some(Ok(frame))) => self.session.handle_frame(frame, self.timers.now()),
            Poll::Ready(Some(Err(error))) => self.end(error.into()),
            Poll::Ready(None) => self.end(Closed::ByServer),
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// Writes as much as the socket takes, and watches that it takes something.
    fn write(&mut self, cx: &mut Context<'_>) {
        match self.poll_write(cx) {
            Poll::Ready(Ok(())) => self.writing.stalled = None,
            Poll::Ready(Err(error)) => self.end(error.into()),
            Poll::Pending => self.watch_stall(),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        let Some(socket) = &mut self.socket else {
            return Poll::Ready(Ok(()));
        };
        while self.session.has_frame() {
            std::task::ready!(socket.poll_ready(cx))?;
            if let Some(frame) = self.session.poll_frame() {
                socket.start_send(frame)?;
                self.writing.needs_flush = true;
                self.writing.stalled = None;
            }
        }
        if self.writing.needs_flush {
            std::task::ready!(socket.poll_flush(cx))?;
            self.writing.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The socket is pending: begins, moves or enforces the write deadline.
    fn watch_stall(&mut self) {
        let now = self.timers.now();
        let written_bytes = self.socket.as_ref().and_then(|s| s.written_bytes());
        let is_stuck = self
            .writing
            .stalled
            .is_some_and(|stalled| stalled.written_bytes == written_bytes);
        if !is_stuck {
            self.writing.stalled = Some(Stalled {
                until: now + self.write_deadline,
                written_bytes,
            });
        } else if self.writing.stalled.is_some_and(|s| now >= s.until) {
            self.end(Closed::WriteTimeout);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let stalled = self.writing.stalled.map(|stalled| stalled.until);
        [self.session.deadline(), stalled]
            .into_iter()
            .flatten()
            .min()
    }

    fn over(&mut self) -> Option<Closed> {
        let reason = self.session.closed()?.clone();
        self.end(reason.clone());
        Some(reason)
    }

    fn end(&mut self, reason: Closed) {
        self.session.end(reason);
        self.socket = None;
        self.writing = Writing::default();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
