//! `GET /star/pipe/<token>`: one side of a pipe (R-DIAL-10).
//!
//! The answer comes when the other side is there too, so that a client knows from
//! the handshake alone what became of its dial.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use starpoint_broker::PipeId;
use starpoint_wire::{Refusal, limits::DIAL_DEADLINE, native::PipeToken};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use super::{App, websocket};

use crate::{
    pipe,
    pipes::{Lead, PipeContext, Turn},
    session::Event,
};

/// Time for a connection to be handed over once its handshake is answered.
const UPGRADE_DEADLINE: Duration = Duration::from_secs(10);

pub(super) async fn open(State(app): State<App>, mut request: Request) -> Response {
    let Some(accept) = websocket::accept_key(request.method(), request.headers()) else {
        return refuse(StatusCode::UPGRADE_REQUIRED, "not-websocket");
    };
    let on_upgrade = hyper::upgrade::on(&mut request);
    // The path as it came: no escape is part of a token.
    let token = request.uri().path().rsplit('/').next();
    let token = token.and_then(PipeToken::parse);
    // The request would stay as long as the pipe.
    drop(request);
    let turn = match wait(&app, token).await {
        Ok(turn) => turn,
        Err(refusal) => return refuse(status(refusal), refusal.code()),
    };
    let task = Side {
        on_upgrade,
        turn,
        context: app.pipes.clone(),
    };
    app.tasks.spawn(task.run());
    websocket::switch(accept)
}

/// Waits for the other side.
async fn wait(app: &App, token: Option<PipeToken>) -> Result<OpenTurn, Refusal> {
    let (reply, arrival) = oneshot::channel();
    app.registry.report(Event::PipeArrived { token, reply });
    let waiting = arrival.await.map_err(|_| Refusal::ShuttingDown)??;
    let mut guard = Guard {
        events: app.registry.events(),
        pipe: waiting.pipe,
        is_waiting: true,
    };
    // The broker's own deadline is shorter; this one is for a star that hangs.
    let verdict = tokio::time::timeout(DIAL_DEADLINE * 2, waiting.verdict).await;
    let verdict = verdict.map_err(|_| Refusal::DialTimeout)?;
    let verdict = verdict.map_err(|_| Refusal::ShuttingDown)?;
    guard.is_waiting = false;
    Ok(match verdict? {
        Turn::Lead(lead) => OpenTurn::Lead(
            lead,
            Ended {
                events: app.registry.events(),
                pipe: guard.pipe,
            },
        ),
        Turn::Follow(hand_over) => OpenTurn::Follow(hand_over),
    })
}

/// Tells the star when whoever waits goes away: the handler is dropped then.
struct Guard {
    events: mpsc::UnboundedSender<Event>,
    pipe: PipeId,
    is_waiting: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.is_waiting {
            // The star's task ends after every connection.
            let _ = self.events.send(Event::PipeLeft { pipe: self.pipe });
        }
    }
}

/// Tells the star when an open pipe is over, whatever ended it.
struct Ended {
    events: mpsc::UnboundedSender<Event>,
    pipe: PipeId,
}

impl Drop for Ended {
    fn drop(&mut self) {
        // The star's task ends after every connection.
        let _ = self.events.send(Event::PipeEnded { pipe: self.pipe });
    }
}

enum OpenTurn {
    Lead(Lead, Ended),
    Follow(oneshot::Sender<Upgraded>),
}

struct Side {
    on_upgrade: OnUpgrade,
    turn: OpenTurn,
    context: Arc<PipeContext>,
}

impl Side {
    async fn run(self) {
        let own = tokio::time::timeout(UPGRADE_DEADLINE, self.on_upgrade).await;
        let Ok(Ok(own)) = own else {
            tracing::debug!("Pipe not handed over");
            return;
        };
        match self.turn {
            // Who leads may have gone, and the connection goes with it.
            OpenTurn::Follow(hand_over) => drop(hand_over.send(own)),
            OpenTurn::Lead(lead, _ended) => {
                let other = tokio::time::timeout(UPGRADE_DEADLINE, lead.other).await;
                let Ok(Ok(other)) = other else {
                    tracing::debug!("Other side of a pipe not handed over");
                    return;
                };
                let (own, other) = (TokioIo::new(own), TokioIo::new(other));
                let settings = self.context.settings(lead.dialer, lead.callee);
                let (dialer, callee) = (lead.dialer, lead.callee);
                let span = tracing::debug_span!("pipe", %dialer, %callee);
                span.in_scope(|| tracing::debug!("Pipe opened"));
                let relay = pipe::relay(own, other, &settings, lead.cut);
                let report = relay.instrument(span.clone()).await;
                span.in_scope(|| tracing::debug!(?report, "Pipe ended"));
            }
        }
    }
}

fn status(refusal: Refusal) -> StatusCode {
    StatusCode::from_u16(refusal.http_status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

fn refuse(status: StatusCode, code: &str) -> Response {
    let body = serde_json::json!({ "code": code }).to_string();
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, body).into_response()
}
