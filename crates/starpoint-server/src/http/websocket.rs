//! WebSocket connections: the handshake (RFC 6455, section 4.2), then the gate.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use hyper_util::rt::TokioIo;
use socketioxide::ProtocolVersion;
use starpoint_wire::native::{self, ClientNonce};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower::Service;

use super::{App, refuse, unknown_session};
use crate::{
    gate::Gate,
    native::{Connection, Engine, Greeter},
    session::{Heartbeat, Session},
    source::Source,
};

/// Accepts a WebSocket, of a new client or of one that began with long polling.
pub(super) fn accept(
    app: App,
    source: Arc<Source>,
    sid: Option<String>,
    request: Request,
) -> Response {
    let is_new = sid.is_none();
    let query = request.uri().query().unwrap_or_default();
    let Some(protocol) = protocol(query) else {
        return refuse(5, "Unsupported protocol version");
    };
    let offer = native_offer(query, protocol).filter(|_| is_new);
    let heartbeat = match offer {
        Some(_) => Heartbeat::Own,
        None => Heartbeat::OfLibrary,
    };
    let session = match sid {
        None => app.registry.begin(source, heartbeat),
        Some(sid) => match app.registry.find(&sid) {
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
            tasks.spawn(serve_native(session, engine, greeter, request))
        }
        None => tasks.spawn(serve(app, session, protocol, request)),
    };
    switch(accept)
}

/// Returns which Engine.IO to speak with a client that offers the native profile,
/// and its nonce (R-NATIVE-1).
fn native_offer(query: &str, protocol: ProtocolVersion) -> Option<(Engine, ClientNonce)> {
    let value = |wanted: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(name, value)| (name == wanted).then_some(value))
    };
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

fn protocol(query: &str) -> Option<ProtocolVersion> {
    let version = query.split('&').find_map(|pair| pair.strip_prefix("EIO="));
    match version {
        // Socket.IO's protocols are numbered one above Engine.IO's.
        Some("3") => Some(ProtocolVersion::V4),
        Some("4") => Some(ProtocolVersion::V5),
        Some(_) | None => None,
    }
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
async fn serve(
    mut app: App,
    session: Arc<Session>,
    protocol: ProtocolVersion,
    mut request: Request<Body>,
) {
    let upgraded = match hyper::upgrade::on(&mut request).await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "WebSocket upgrade failed");
            return;
        }
    };
    let gate = Gate::new(
        TokioIo::new(upgraded),
        session.clone(),
        protocol,
        app.max_message_bytes,
    );
    let Some(request) = handshake(request.uri(), session) else {
        return;
    };
    if let Err(error) = app.socketio.call((gate, request)).await {
        tracing::debug!(%error, "WebSocket refused");
    }
}

/// Waits for the connection to be handed over and serves it natively.
async fn serve_native(
    session: Arc<Session>,
    engine: Engine,
    greeter: Greeter,
    mut request: Request<Body>,
) {
    let on_upgrade = hyper::upgrade::on(&mut request);
    // The request would stay as long as the connection.
    drop(request);
    match on_upgrade.await {
        Ok(upgraded) => {
            let io = TokioIo::new(upgraded);
            Connection::new(io, session, engine, greeter).await.await;
        }
        Err(error) => tracing::debug!(%error, "WebSocket upgrade failed"),
    }
}

/// Returns what Socket.IO keeps of the request: where it went, and the session.
///
/// The target is copied: as it came it is a piece of the buffer that the whole
/// request was read into, which would stay for as long as the connection.
fn handshake(target: &Uri, session: Arc<Session>) -> Option<Request<()>> {
    let target = target.to_string().parse().ok()?;
    let mut request = Request::new(());
    *request.uri_mut() = target;
    request.extensions_mut().insert(session);
    Some(request)
}
