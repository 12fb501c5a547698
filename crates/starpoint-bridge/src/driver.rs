//! Carries lines between local connections and a channel.
//!
//! One task owns the [`Mux`]; each line has a task of its own that reads and
//! writes its connection. They end with the function that has begun them.
//!
//! ```text
//!  connection ─► line task ─ room: bytes ─► driver ─► Mux ─► channel
//!             ◄─           ◄─ 4 pieces ────        ◄─     ◄─
//! ```

mod carry;
mod local;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _, future::poll_fn};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::{JoinSet, consume_budget},
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use self::carry::{FromLine, LineEnds, Report, carry, connect_and_carry};
pub use self::local::{CONNECT_DEADLINE, LocalStream, Target, TcpTarget, accept_all};
use crate::{
    line::Read,
    mux::{ConfigError, Event, LineKey, Mux, MuxConfig, OUTBOX_BYTES, Role},
    reason::CloseReason,
};

/// Pieces that wait for the task of a line. More wait in the mux.
const LINE_QUEUE: usize = 4;

/// Words of lines that wait for the driver. More wait with their lines.
const DRIVER_QUEUE: usize = 256;

/// Most things of one kind that are done in one turn.
const TURN: usize = 64;

/// How long the last words may take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// A channel of messages, each whole and at most 65 536 bytes: reliable, in any
/// order. It takes no more than it can carry, and is read no faster than its
/// messages are used.
pub trait MessageChannel:
    Stream<Item = io::Result<Bytes>> + Sink<Bytes, Error = io::Error> + Send + Unpin
{
}

impl<T> MessageChannel for T where
    T: Stream<Item = io::Result<Bytes>> + Sink<Bytes, Error = io::Error> + Send + Unpin
{
}

/// Why a bridge has ended. All its connections are reset.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// A setting is out of its range: the operator's fault. Nothing was begun.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The channel failed.
    #[error("the channel failed")]
    Channel(#[source] io::Error),
    /// The channel ended while there were lines.
    #[error("the channel ended while there were lines")]
    Ended,
}

/// Opens a line for each of `streams`, and carries what they say.
///
/// Returns when there are no more streams and no lines, when `stop` is canceled,
/// or when the channel ends; then the channel is closed. A stream for which there
/// is no line any more is reset.
///
/// # Errors
///
/// [`BridgeError`].
///
/// # Cancel safety
///
/// Dropping this resets all connections; the other side hears of it by the
/// channel.
pub async fn client<S: LocalStream>(
    channel: impl MessageChannel,
    config: MuxConfig,
    mut streams: mpsc::Receiver<S>,
    stop: CancellationToken,
) -> Result<(), BridgeError> {
    let mut driver = Driver::new(channel, Role::Opens, config)?;
    let mut may_open = true;
    while may_open || driver.mux.n_lines() > 0 {
        // In no order: a busy channel keeps no stream waiting.
        tokio::select! {
            () = stop.cancelled() => return driver.stop().await,
            turn = driver.turn() => if turn? == Turn::Last {
                return driver.ended();
            },
            stream = streams.recv(), if may_open => match stream {
                Some(stream) => driver.open(stream),
                None => may_open = false,
            },
        }
        consume_budget().await;
    }
    driver.close().await
}

/// Connects each line of the other side with `target`, and carries what they say.
///
/// Returns when `stop` is canceled or when the channel ends.
///
/// # Errors
///
/// [`BridgeError`].
///
/// # Cancel safety
///
/// Dropping this resets all connections; the other side hears of it by the
/// channel.
pub async fn host(
    channel: impl MessageChannel,
    config: MuxConfig,
    target: impl Target,
    stop: CancellationToken,
) -> Result<(), BridgeError> {
    let mut driver = Driver::new(channel, Role::Serves, config)?;
    let target = Arc::new(target);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return driver.stop().await,
            turn = driver.turn() => if turn? == Turn::Last {
                return driver.ended();
            },
        }
        while let Some(line) = driver.incoming.pop_front() {
            driver.serve(line, Arc::clone(&target));
        }
        consume_budget().await;
    }
}

/// Whether there will be another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    More,
    Last,
}

/// What a turn has had of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    Nothing,
    Some,
    End,
}

/// What the driver has of a line.
struct Handle {
    to_line: mpsc::Sender<Read>,
    /// Bytes that the line may read and the driver may hold.
    room: Arc<Semaphore>,
    reset: oneshot::Sender<CloseReason>,
}

struct Driver<C> {
    channel: C,
    mux: Mux,
    lines: BTreeMap<LineKey, Handle>,
    /// Lines that wait for [`host`].
    incoming: VecDeque<LineKey>,
    tasks: JoinSet<()>,
    to_driver: mpsc::Sender<FromLine>,
    from_lines: mpsc::Receiver<FromLine>,
    timer: Pin<Box<Sleep>>,
}

impl<C: MessageChannel> Driver<C> {
    fn new(channel: C, role: Role, config: MuxConfig) -> Result<Self, ConfigError> {
        let (to_driver, from_lines) = mpsc::channel(DRIVER_QUEUE);
        Ok(Self {
            channel,
            mux: Mux::new(role, config)?,
            lines: BTreeMap::new(),
            incoming: VecDeque::new(),
            tasks: JoinSet::new(),
            to_driver,
            from_lines,
            timer: Box::pin(sleep_until(Instant::now())),
        })
    }

    fn open<S: LocalStream>(&mut self, stream: S) {
        match self.mux.open() {
            Ok(line) => {
                let ends = self.join(line);
                self.tasks.spawn(carry(stream, ends));
            }
            Err(_) => stream.reset(),
        }
    }

    fn serve<T: Target>(&mut self, line: LineKey, target: Arc<T>) {
        let ends = self.join(line);
        self.tasks.spawn(connect_and_carry(target, ends));
        // What has come in the meantime.
        self.forward(line);
    }

    fn join(&mut self, line: LineKey) -> LineEnds {
        let (to_line, from_driver) = mpsc::channel(LINE_QUEUE);
        let (reset, was_reset) = oneshot::channel();
        let room = Arc::new(Semaphore::new(OUTBOX_BYTES));
        let handle = Handle {
            to_line,
            room: Arc::clone(&room),
            reset,
        };
        self.lines.insert(line, handle);
        LineEnds {
            line,
            to_driver: self.to_driver.clone(),
            from_driver,
            room,
            was_reset,
        }
    }

    /// Does what can be done, or waits until something can.
    async fn turn(&mut self) -> Result<Turn, BridgeError> {
        poll_fn(|cx| self.poll_turn(cx)).await
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<Turn, BridgeError>> {
        let mut has_worked = self.poll_lines(cx);
        has_worked |= self.poll_timer(cx);
        has_worked |= self.poll_send(cx).map_err(BridgeError::Channel)?;
        match self.poll_receive(cx).map_err(BridgeError::Channel)? {
            Received::Nothing => {}
            Received::Some => has_worked = true,
            Received::End => return Poll::Ready(Ok(Turn::Last)),
        }
        if has_worked {
            return Poll::Ready(Ok(Turn::More));
        }
        Poll::Pending
    }

    fn poll_lines(&mut self, cx: &mut Context<'_>) -> bool {
        while let Poll::Ready(Some(_)) = self.tasks.poll_join_next(cx) {}
        for n_done in 0..TURN {
            let Poll::Ready(Some(FromLine { line, report })) = self.from_lines.poll_recv(cx) else {
                return n_done > 0;
            };
            self.handle_line(line, report);
        }
        true
    }

    fn handle_line(&mut self, line: LineKey, report: Report) {
        match report {
            Report::Accepted => self.mux.accept(line),
            // The line has no more room than the mux has: it always fits.
            Report::Data(bytes) => drop(self.mux.write(line, bytes)),
            Report::End => self.mux.end(line),
            Report::Taken(bytes) => {
                self.mux.taken(line, bytes);
                self.forward(line);
            }
            Report::Finished => {
                self.lines.remove(&line);
                self.mux.finish(line);
            }
            Report::Failed(reason) => {
                self.lines.remove(&line);
                self.mux.reset(line, reason);
            }
        }
        self.handle_events();
    }

    /// Gives the task of a line what it has place for.
    fn forward(&mut self, line: LineKey) {
        let Some(handle) = self.lines.get(&line) else {
            return;
        };
        while let Ok(place) = handle.to_line.try_reserve() {
            match self.mux.read(line) {
                Some(read) => place.send(read),
                None => return,
            }
        }
    }

    fn handle_events(&mut self) {
        while let Some(event) = self.mux.next_event() {
            match event {
                Event::Incoming(line) => self.incoming.push_back(line),
                Event::Opened(_) => {}
                Event::Readable(line) => self.forward(line),
                Event::Sent(line, bytes) => {
                    if let Some(handle) = self.lines.get(&line) {
                        handle.room.add_permits(bytes);
                    }
                }
                Event::Reset(line, reason) => {
                    self.incoming.retain(|waiting| *waiting != line);
                    if let Some(handle) = self.lines.remove(&line) {
                        // A task that has just ended needs no reset.
                        let _ = handle.reset.send(reason);
                    }
                }
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.mux.next_deadline() else {
            return false;
        };
        let deadline = Instant::from_std(deadline);
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        let is_due = self.timer.as_mut().poll(cx).is_ready();
        if is_due {
            self.mux.handle_timeout(Instant::now().into_std());
            self.handle_events();
        }
        is_due
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut n_sent = 0;
        while n_sent < TURN && self.channel.poll_ready_unpin(cx)?.is_ready() {
            let Some(message) = self.mux.next_message() else {
                break;
            };
            self.channel.start_send_unpin(message)?;
            n_sent += 1;
        }
        self.handle_events();
        // Whether it is flushed or not: it wakes this task when it goes on.
        let _ = self.channel.poll_flush_unpin(cx)?;
        Ok(n_sent > 0)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> io::Result<Received> {
        let mut received = Received::Nothing;
        for _ in 0..TURN {
            if !self.mux.wants_input() {
                break;
            }
            let message = match self.channel.poll_next_unpin(cx) {
                Poll::Ready(Some(message)) => message?,
                Poll::Ready(None) => return Ok(Received::End),
                Poll::Pending => break,
            };
            let now = Instant::now().into_std();
            self.mux.handle_message(&message, now);
            self.handle_events();
            received = Received::Some;
        }
        Ok(received)
    }

    /// The channel has ended.
    fn ended(self) -> Result<(), BridgeError> {
        match self.mux.n_present() {
            0 => Ok(()),
            _ => Err(BridgeError::Ended),
        }
    }

    /// Cuts all lines and says so.
    async fn stop(mut self) -> Result<(), BridgeError> {
        self.mux.stop();
        self.handle_events();
        self.close().await
    }

    /// Sends what is left, and closes the channel.
    async fn close(mut self) -> Result<(), BridgeError> {
        let remainder = async {
            while let Some(message) = {
                poll_fn(|cx| self.channel.poll_ready_unpin(cx)).await?;
                self.mux.next_message()
            } {
                self.channel.start_send_unpin(message)?;
            }
            self.channel.close().await
        };
        // Who does not listen to the last words does not get them.
        match timeout(CLOSE_DEADLINE, remainder).await {
            Ok(done) => done.map_err(BridgeError::Channel),
            Err(_) => Ok(()),
        }
    }
}
