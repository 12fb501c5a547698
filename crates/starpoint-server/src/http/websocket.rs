//! WebSocket connections: the handshake (RFC 6455, section 4.2), then the gate.

mod probe;

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use socketioxide::ProtocolVersion;
use starpoint_wire::native::{self, ClientNonce};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower::Service;
use tracing::Instrument as _;

use self::probe::Probe;
use super::{App, Query, query, refuse, unknown_session};

use crate::{
    gate::Gate,
    native::{Connection, Engine, Greeter},
    session::{Heartbeat, Session},
    source::Source,
};

/// Time for a connection to change over once it was told so.
const UPGRADE_DEADLINE: Duration = Duration::from_secs(10);

/// Accepts a WebSocket, of a new client or of one that began with long polling.
pub(super) fn accept(app: App, source: Arc<Source>, query: Query, request: Request) -> Response {
    if !request.body().is_end_stream() {
        // The connection would not change over before its end.
        return refuse(3, "Bad request");
    }
    let offered = request.uri().query().unwrap_or_default();
    let offer = native_offer(offered, query.protocol).filter(|_| query.sid.is_none());
    let heartbeat = match offer {
        Some(_) => Heartbeat::Own,
        None => Heartbeat::OfLibrary,
    };
    let session = match &query.sid {
        None => app.registry.begin(source, heartbeat),
        Some(sid) => match app.registry.find(sid) {
            Some(session) if !session.is_closing() => session,
            Some(_) | None => return unknown_session(),
        },
    };
    let Some(accept) = accept_key(request.method(), request.headers()) else {
        return refuse(3, "Bad request");
    };
    let tasks = app.tasks.clone();
    match offer {
        Some((engine, nonce)) => {
            let greeter = Greeter::new(app.identity, nonce);
            let span =
                tracing::debug_span!("connection", conn = session.conn.0, profile = "native");
            tasks.spawn(serve_native(session, engine, greeter, request).instrument(span))
        }
        None => {
            let span =
                tracing::debug_span!("connection", conn = session.conn.0, profile = "legacy");
            tasks.spawn(serve(app, session, query, request).instrument(span))
        }
    };
    switch(accept)
}

/// Returns which Engine.IO to speak with a client that offers the native profile,
/// and its nonce (R-NATIVE-1).
fn native_offer(query: &str, protocol: ProtocolVersion) -> Option<(Engine, ClientNonce)> {
    let value = |name: &str| query::value(query, name);
    let (name, offer) = native::OFFER;
    let nonce = value(native::NONCE_KEY).and_then(ClientNonce::parse)?;
    let engine = match protocol {
        ProtocolVersion::V4 => Engine::V3,
        ProtocolVersion::V5 => Engine::V4,
    };
    (value(name) == Some(offer)).then_some((engine, nonce))
}

/// Answers that the connection becomes a WebSocket.
pub(super) fn switch(accept: HeaderValue) -> Response {
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

pub(super) fn accept_key(method: &Method, headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name: header::HeaderName, token: &str| {
        let values = headers.get_all(name);
        values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    let is_upgrade = *method == Method::GET
        && has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|_| is_upgrade)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}

/// Waits for the connection to be handed over and gives it to Socket.IO.
async fn serve(mut app: App, session: Arc<Session>, query: Query, request: Request<Body>) {
    let Some(upgraded) = upgraded(request).await else {
        return;
    };
    let gate = Gate::new(
        upgraded,
        session.clone(),
        query.protocol,
        app.max_message_bytes,
    );
    let io = Probe::new(gate, query.sid.is_some());
    if let Err(error) = app.socketio.call((io, handshake(&query, session))).await {
        tracing::debug!(%error, "WebSocket refused");
    }
}

/// Waits for the connection to be handed over and serves it natively.
async fn serve_native(
    session: Arc<Session>,
    engine: Engine,
    greeter: Greeter,
    request: Request<Body>,
) {
    if let Some(io) = upgraded(request).await {
        Connection::new(io, session, engine, greeter).await.await;
    }
}

/// Waits for the connection to be handed over; `None` when it is not.
async fn upgraded(mut request: Request<Body>) -> Option<TokioIo<Upgraded>> {
    let on_upgrade = hyper::upgrade::on(&mut request);
    // The request would stay as long as the connection.
    drop(request);
    match tokio::time::timeout(UPGRADE_DEADLINE, on_upgrade).await {
        Ok(Ok(upgraded)) => Some(TokioIo::new(upgraded)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "WebSocket upgrade failed");
            None
        }
        Err(_) => {
            tracing::debug!("WebSocket upgrade too slow");
            None
        }
    }
}

/// Returns what Socket.IO keeps of the request: where it went, and the session.
fn handshake(query: &Query, session: Arc<Session>) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = query.target();
    request.extensions_mut().insert(session);
    request
}
