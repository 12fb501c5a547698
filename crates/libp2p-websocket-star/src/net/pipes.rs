//! Pipes on their way: the own side of dials, and inbound dials.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures_channel::mpsc;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{AbortHandle, Abortable, BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use starpoint_sio::{Pipe, PipeError};
use starpoint_wire::{
    DialId, StarAddress,
    native::{PIPE_PATH, PipeToken},
};

use super::{bell::lock, held::HeldPipe};
use crate::{
    error::{Error, Stage},
    shared::Shared,
};

/// Times to the next try when a star does not know a token yet: the dial went
/// another way than the pipe and may be late, mostly by less than another request
/// takes.
const RETRIES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(2),
    Duration::from_millis(20),
    Duration::from_millis(200),
];

type Opened = (DialId, Result<Box<dyn Pipe>, PipeError>);

/// The own sides of dials that are being opened.
#[derive(Default)]
pub(crate) struct Opening {
    futures: FuturesUnordered<Abortable<BoxFuture<'static, Opened>>>,
    aborts: BTreeMap<DialId, AbortHandle>,
}

impl Opening {
    pub(crate) fn is_empty(&self) -> bool {
        self.aborts.is_empty()
    }

    /// Begins to open the pipe of a dial, in the background.
    pub(crate) fn begin(
        &mut self,
        shared: &Arc<Shared>,
        star: &StarAddress,
        dial: DialId,
        token: PipeToken,
    ) {
        let url = url(star, &token);
        let shared = Arc::clone(shared);
        let name = dial.clone();
        let open = async move {
            let connector = &shared.config.connector;
            let mut result = connector.connect_pipe(&url).await;
            for wait in RETRIES {
                let is_early = matches!(
                    &result,
                    Err(PipeError::Refused { code, .. }) if &**code == "pipe-unknown"
                );
                if !is_early {
                    break;
                }
                let timers = &shared.config.timers;
                if !wait.is_zero() {
                    timers.sleep_until(timers.now() + wait).await;
                }
                result = connector.connect_pipe(&url).await;
            }
            (name, result)
        };
        let (handle, registration) = AbortHandle::new_pair();
        self.futures
            .push(Abortable::new(open.boxed(), registration));
        self.aborts.insert(dial, handle);
    }

    /// Gives a pipe up.
    pub(crate) fn abandon(&mut self, dial: &DialId) {
        if let Some(abort) = self.aborts.remove(dial) {
            abort.abort();
        }
    }

    /// Returns the next pipe that is open, or has failed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Opened> {
        loop {
            match self.futures.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok((dial, result)))) => {
                    self.aborts.remove(&dial);
                    return Poll::Ready((dial, result));
                }
                // Abandoned.
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn url(star: &StarAddress, token: &PipeToken) -> String {
    let base = star.server_url();
    format!(
        "{}{PIPE_PATH}{}",
        base.trim_end_matches('/'),
        token.to_text()
    )
}

/// What the swarm does with an inbound dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// It has begun to open its side.
    Accepted(PipeToken),
    Dropped(PipeToken),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Open,
    Decided,
    Gone,
}

/// An inbound dial by a pipe, shared by the swarm and the session.
pub(crate) struct Offer {
    token: PipeToken,
    decision: Mutex<Decision>,
    /// To the session; one word for each offer.
    notes: mpsc::UnboundedSender<Note>,
    shared: Arc<Shared>,
    star: StarAddress,
}

impl Offer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        star: StarAddress,
        token: PipeToken,
        notes: mpsc::UnboundedSender<Note>,
    ) -> Arc<Self> {
        let decision = Mutex::new(Decision::Open);
        Arc::new(Self {
            token,
            decision,
            notes,
            shared,
            star,
        })
    }

    /// The star or the session has given it up.
    pub(crate) fn expire(&self) {
        let mut decision = lock(&self.decision);
        if *decision == Decision::Open {
            *decision = Decision::Gone;
        }
    }

    fn decide(&self, note: Note) -> bool {
        let mut decision = lock(&self.decision);
        if *decision != Decision::Open {
            return false;
        }
        *decision = Decision::Decided;
        drop(decision);
        // A session that is gone has given it up.
        let _ = self.notes.unbounded_send(note);
        true
    }

    /// Refuses it, unless that is decided already.
    pub(crate) fn refuse(&self) {
        self.decide(Note::Dropped(self.token));
    }

    /// Opens the own side; `None` when it is too late.
    pub(crate) fn accept(&self) -> Option<BoxFuture<'static, Result<HeldPipe, Error>>> {
        if !self.decide(Note::Accepted(self.token)) {
            return None;
        }
        let url = url(&self.star, &self.token);
        let shared = Arc::clone(&self.shared);
        let open = async move {
            let timers = &shared.config.timers;
            let late = timers.sleep_until(timers.now() + shared.config.dial_deadline);
            let connect = shared.config.connector.connect_pipe(&url);
            match select(connect, late).await {
                Either::Left((Ok(pipe), _)) => Ok(shared.pipes.hold(pipe)),
                // Who dialed has given up, or the star has.
                Either::Left((Err(PipeError::Refused { .. }), _)) => Err(Error::InboundGone),
                Either::Left((Err(error), _)) => Err(pipe_error(error)),
                Either::Right(_) => Err(Error::Deadline(Stage::Dial)),
            }
        };
        Some(open.boxed())
    }
}

/// Returns why a pipe could not be opened when no star said so.
pub(crate) fn pipe_error(error: PipeError) -> Error {
    use starpoint_sio::{ConnectError, OpenError};
    let connect = match error {
        PipeError::Connect(error) => error,
        PipeError::Refused { status, .. } => ConnectError::Rejected { status },
        other => ConnectError::NotWebSocket(Arc::new(other)),
    };
    Error::StarUnreachable(OpenError::Connect(connect))
}
