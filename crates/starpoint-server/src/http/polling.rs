//! Long polling: the same bounds as the gate has, applied to whole requests.
//!
//! - A POST waits while the session is held, and one POST of a session is handled
//!   after the other.
//! - A large POST waits for room in the star's budget for large messages.
//! - What a GET was sure to take along counts as written.

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Limited};
use tower::Service;

use super::{App, unknown_session};
use crate::{session::Session, socketio};

/// Largest answer to the first request of a session.
const MAX_OPEN_BYTES: usize = 4096;
/// A POST up to this size needs no room.
const SMALL_POST_BYTES: u64 = 16 * 1024;

/// Begins a session.
pub(super) async fn begin(mut app: App, mut request: Request) -> Response {
    let session = app.registry.begin();
    request.extensions_mut().insert(session.clone());
    let Ok(response) = app.socketio.call(request).await;
    let (parts, body) = response.into_parts();
    let Ok(body) = Limited::new(body, MAX_OPEN_BYTES).collect().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let body = body.to_bytes();
    if let Some(sid) = sid_of(&body) {
        app.registry.name(sid, &session);
    }
    Response::from_parts(parts, Body::from(body))
}

/// Reads the session id from an open packet, `0{"sid":"…",…}`, with or without a
/// length before it.
fn sid_of(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Open {
        sid: String,
    }
    let json = body.iter().position(|byte| *byte == b'{')?;
    let mut open = serde_json::Deserializer::from_slice(&body[json..]).into_iter::<Open>();
    Some(open.next()?.ok()?.sid)
}

/// Handles a request of a session that exists.
pub(super) async fn exchange(app: App, sid: &str, request: Request) -> Response {
    let Some(session) = app.registry.find(sid) else {
        return unknown_session();
    };
    tokio::select! {
        biased;
        () = session.closed() => unknown_session(),
        response = async {
            if request.method() == Method::POST {
                post(app, &session, request).await
            } else {
                poll(app, &session, request).await
            }
        } => response,
    }
}

async fn post(mut app: App, session: &Session, request: Request) -> Response {
    let _turn = session.polling_turn().await;
    session.readable().await;
    let Some(len) = request.body().size_hint().exact() else {
        return StatusCode::LENGTH_REQUIRED.into_response();
    };
    if len > socketio::max_payload_bytes(app.max_message_bytes) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    if len > SMALL_POST_BYTES {
        session.set_large(true);
        if let Ok(room) = app.large.room_for(len).await {
            session.keep_room(room);
        }
    }
    session.heard();
    let Ok(response) = app.socketio.call(request).await;
    session.set_large(false);
    session.take_rooms();
    response.map(Body::new)
}

async fn poll(mut app: App, session: &Session, request: Request) -> Response {
    let mark = session.sent_packets();
    let Ok(response) = app.socketio.call(request).await;
    let len = response.body().size_hint().exact().unwrap_or_default();
    let is_taken = response.status() == StatusCode::OK && !is_empty_poll(&response, len);
    if is_taken {
        session.wrote_up_to(mark, len);
    }
    response.map(Body::new)
}

/// Returns whether the answer takes nothing along. While a client changes to
/// WebSocket its polls are answered with a lone noop, `6` or `1:6`.
fn is_empty_poll<B>(response: &Response<B>, len: u64) -> bool {
    const NOOP_BYTES: u64 = 3;
    len <= NOOP_BYTES || !response.headers().contains_key(header::CONTENT_TYPE)
}
