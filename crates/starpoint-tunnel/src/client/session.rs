//! The control stream, and getting it back.

use std::{
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::{
    AsyncReadExt as _,
    io::{ReadHalf, WriteHalf},
};
use starpoint_node::{DialError, Node, Stream};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use super::{ClientEvent, Config, Ended, JoinError, Shared, State};
use crate::{
    PROTOCOL,
    code::Code,
    frames::{self, FrameReader},
    wire::Frame,
};

/// The first wait before reconnecting; each is twice as long as the one before.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);

/// A control stream that the host has answered.
pub(super) struct Control {
    from: ReadHalf<Stream>,
    to: WriteHalf<Stream>,
    reader: FrameReader,
    /// What the answer says: waiting or open.
    pub(super) state: State,
}

/// Reaches the host, asks to be let in, and waits for the first answer.
pub(super) async fn first(node: &Node, code: &Code, config: &Config) -> Result<Control, JoinError> {
    dial(node, code).await?;
    let stream = node.open_stream(code.host(), PROTOCOL).await?;
    let (mut from, mut to) = stream.split();
    let secret = code.secret();
    let join = Frame::Join {
        session: secret.session(),
        proof: secret.proof(&node.peer_id(), &code.host()),
    };
    frames::write(&mut to, &join)
        .await
        .map_err(JoinError::Lost)?;
    let mut reader = FrameReader::new();
    let answer = time::timeout(config.answer_deadline, reader.next(&mut from)).await;
    let state = match answer.map_err(|_| JoinError::NoAnswer)? {
        Ok(Frame::Waiting { .. }) => State::Waiting,
        Ok(Frame::Open { targets }) => State::Open { targets },
        Ok(Frame::Refused(refusal)) => return Err(JoinError::Refused(refusal)),
        Ok(
            Frame::Join { .. }
            | Frame::Connect { .. }
            | Frame::Leave
            | Frame::Connected
            | Frame::Ping(_)
            | Frame::Pong(_),
        ) => return Err(JoinError::NoAnswer),
        Err(error) => return Err(JoinError::Lost(error)),
    };
    Ok(Control {
        from,
        to,
        reader,
        state,
    })
}

/// Dials the host at each star of the code in turn; the error is that of the
/// first.
async fn dial(node: &Node, code: &Code) -> Result<(), JoinError> {
    let mut first: Option<DialError> = None;
    for star in code.stars() {
        let Ok(address) = star.clone().with_p2p(code.host()) else {
            continue;
        };
        match node.dial(address).await {
            Ok(_) => return Ok(()),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.map_or(JoinError::NoStar, JoinError::Dial))
}

/// How a control stream ended.
enum Lost {
    For(Ended),
    /// It can be made again.
    Now(String),
}

pub(super) struct Session {
    shared: Arc<Shared>,
    state: watch::Sender<State>,
    leave: CancellationToken,
}

impl Session {
    pub(super) fn new(
        shared: Arc<Shared>,
        state: watch::Sender<State>,
        leave: CancellationToken,
    ) -> Self {
        Self {
            shared,
            state,
            leave,
        }
    }

    /// Keeps the session until it is over.
    pub(super) async fn run(self, mut control: Control) {
        let ended = loop {
            match self.follow(control).await {
                Lost::For(ended) => break ended,
                Lost::Now(reason) => {
                    self.state.send_replace(State::Reconnecting);
                    self.cut();
                    let _ = self.shared.events.try_send(ClientEvent::Lost { reason });
                }
            }
            control = tokio::select! {
                again = self.reconnect() => match again {
                    Ok(control) => control,
                    Err(ended) => break ended,
                },
                () = self.leave.cancelled() => break Ended::Left,
            };
            self.state.send_replace(control.state.clone());
        };
        self.state.send_replace(State::Closed(ended));
        self.cut();
    }

    /// Resets the sockets of the connection that was lost.
    fn cut(&self) {
        let mut cut = self
            .shared
            .cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *cut).cancel();
    }

    /// Follows a control stream to its end.
    async fn follow(&self, mut control: Control) -> Lost {
        let config = &self.shared.config;
        let silence = config.ping_interval * 3;
        let mut pings = time::interval(config.ping_interval);
        pings.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut pinged = (0_u64, Instant::now());
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                () = self.leave.cancelled() => {
                    // Whoever is gone already does not hear it.
                    let _ = frames::write(&mut control.to, &Frame::Leave).await;
                    use futures_util::AsyncWriteExt as _;
                    let _ = control.to.close().await;
                    return Lost::For(Ended::Left);
                }
                _ = pings.tick() => {
                    pinged = (pinged.0 + 1, Instant::now());
                    let ping = Frame::Ping(pinged.0.to_be_bytes());
                    if let Err(error) = frames::write(&mut control.to, &ping).await {
                        return Lost::Now(error.to_string());
                    }
                }
                () = time::sleep_until((heard + silence).into()) => {
                    return Lost::Now("host is silent".to_owned());
                }
                frame = control.reader.next(&mut control.from) => match frame {
                    Ok(frame) => {
                        heard = Instant::now();
                        if let Err(lost) = self.handle(frame, pinged) {
                            return lost;
                        }
                    }
                    Err(error) => return Lost::Now(told(&error)),
                },
            }
        }
    }

    fn handle(&self, frame: Frame, pinged: (u64, Instant)) -> Result<(), Lost> {
        match frame {
            Frame::Open { targets } => {
                self.state.send_replace(State::Open { targets });
            }
            Frame::Refused(refusal) => return Err(Lost::For(Ended::Refused(refusal))),
            Frame::Pong(echo) if echo == pinged.0.to_be_bytes() => {
                let micros = pinged.1.elapsed().as_micros().max(1);
                let micros = u64::try_from(micros).unwrap_or(u64::MAX);
                self.shared.round_trip.store(micros, Ordering::Relaxed);
            }
            Frame::Pong(_) | Frame::Waiting { .. } => {}
            Frame::Join { .. }
            | Frame::Connect { .. }
            | Frame::Leave
            | Frame::Connected
            | Frame::Ping(_) => return Err(Lost::Now("host says nonsense".to_owned())),
        }
        Ok(())
    }

    /// Joins again until that works, or is known not to.
    async fn reconnect(&self) -> Result<Control, Ended> {
        let shared = &self.shared;
        let begun = Instant::now();
        let mut backoff = FIRST_BACKOFF;
        loop {
            // Clients of one host shall not come back in the same moment.
            let jitter = rand::random_range(0.5..1.0);
            time::sleep(backoff.mul_f64(jitter)).await;
            backoff = (backoff * 2).min(shared.config.max_backoff);
            match first(&shared.node, &shared.code, &shared.config).await {
                Ok(control) => return Ok(control),
                Err(JoinError::Refused(refusal)) => return Err(Ended::Refused(refusal)),
                Err(JoinError::Dial(DialError::Stopped(_))) => return Err(Ended::Stopped),
                Err(
                    error @ (JoinError::NoStar
                    | JoinError::Dial(_)
                    | JoinError::Open(_)
                    | JoinError::Lost(_)
                    | JoinError::NoAnswer),
                ) => tracing::debug!(%error, "Not yet reconnected"),
            }
            if begun.elapsed() >= shared.config.reconnect_for {
                return Err(Ended::GaveUp);
            }
        }
    }
}

fn told(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        "connection lost".to_owned()
    } else {
        error.to_string()
    }
}
