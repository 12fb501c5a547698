//! Long polling: the same bounds as the gate has, applied to requests and answers.
//!
//! - The library is given requests that were written anew: it never takes one for
//!   something else than the star does.
//! - A POST waits while the session is held, and one POST of a session is handled
//!   after the other. Its packets are handed on one by one, as the star keeps up.
//! - A large POST waits for room in the account, and so does the rest of it. An event
//!   is charged until its last attachment has come, in whatever request.
//! - The answer to a GET counts as written once HTTP has taken it.

mod delivery;
pub(crate) mod engine3;
pub(crate) mod packets;

use std::{convert::Infallible, future::poll_fn, sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use http_body_util::{BodyExt, Limited};
use tower::Service;

use self::{delivery::Delivery, packets::Encoding};
use super::{App, Query, refuse, unknown_session};
use crate::{
    account::{Charge, Promise, SMALL_BYTES},
    session::{Incomplete, Session, Wait},
    socketio::{self, Kind},
    source::Source,
};

/// Largest answer to the first request of a session.
const MAX_OPEN_BYTES: usize = 4096;

/// Time for one POST of a session to wait for the others before it.
const TURN_DEADLINE: Duration = Duration::from_secs(60);
/// Time for a body to come, and for one that is a large message.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
const LARGE_BODY_DEADLINE: Duration = Duration::from_secs(60);
/// Packets of one POST that are handed on before others have a turn.
const PACKETS_PER_TURN: usize = 32;

/// Begins a session.
pub(super) async fn begin(mut app: App, source: Arc<Source>, query: &Query) -> Response {
    let Some(session) = app.registry.begin_polling(source) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let mut request = written_anew(query, Method::GET, None, Body::empty());
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

/// Returns a request for the library, with nothing in it but what is said here.
fn written_anew(query: &Query, method: Method, encoding: Option<Encoding>, body: Body) -> Request {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = query.target();
    if let Some(encoding) = encoding {
        let kind = match encoding {
            Encoding::Text3 | Encoding::Text4 => "text/plain;charset=UTF-8",
            Encoding::Binary3 => BINARY,
        };
        let kind = HeaderValue::from_static(kind);
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    request
}

/// Content type of a binary payload.
const BINARY: &str = "application/octet-stream";

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
pub(super) async fn exchange(app: App, sid: &str, query: &Query, request: Request) -> Response {
    let Some(session) = app.registry.find(sid) else {
        return unknown_session();
    };
    tokio::select! {
        biased;
        () = session.closed() => unknown_session(),
        response = async {
            match *request.method() {
                Method::POST => post(app, &session, query, request).await,
                Method::GET => poll(app, &session, query).await,
                _ => refuse(2, "Bad handshake method"),
            }
        } => response,
    }
}

async fn post(app: App, session: &Arc<Session>, query: &Query, request: Request) -> Response {
    let turn = tokio::time::timeout(TURN_DEADLINE, session.polling_turn());
    let Ok(mut turn) = turn.await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    session.readable().await;
    let Some(len) = request.body().size_hint().exact() else {
        return StatusCode::LENGTH_REQUIRED.into_response();
    };
    if len > socketio::max_payload_bytes(app.max_message_bytes) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let left_bytes = turn.charge.as_ref().map_or(0, Charge::bytes);
    if len + left_bytes > SMALL_BYTES && !session.is_joined() {
        session.refuse_message();
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let mut promise = match len > SMALL_BYTES {
        true => Some(room_for(session, len).await),
        false => None,
    };
    session.reads_block_of(len);
    session.message_began();
    let encoding = encoding(query, request.headers());
    let mut charge = Charge::none(Arc::clone(&session.source));
    let body = collect(request.into_body(), session, &mut promise, &mut charge);
    let body = in_time(body, len).await;
    drop(promise);
    match body.and_then(|body| Some((check(encoding, &body, turn.n_missing)?, body))) {
        Some((outline, body)) => {
            session.note_activity();
            let response = hand_on(app, session, query, encoding, body).await;
            settle(session, &mut turn, outline, charge);
            response
        }
        None => {
            // What comes after a broken payload has no meaning any more.
            session.close();
            refuse(3, "Bad request")
        }
    }
}

/// Gives the packets of a body to the library, one by one.
async fn hand_on(
    mut app: App,
    session: &Arc<Session>,
    query: &Query,
    encoding: Encoding,
    body: Bytes,
) -> Response {
    let body = Body::from_stream(pieces(Arc::clone(session), encoding, body));
    let request = written_anew(query, Method::POST, Some(encoding), body);
    let Ok(response) = app.socketio.call(request).await;
    response.map(Body::new)
}

/// Keeps the charge of a body whose last event is not whole, with that of the bodies
/// in which it began.
fn settle(session: &Session, incomplete: &mut Incomplete, outline: Outline, charge: Charge) {
    if outline.has_ended_one || outline.n_missing == 0 {
        incomplete.charge = None;
        session.messages_completed();
    }
    incomplete.n_missing = outline.n_missing;
    if outline.n_missing > 0 {
        match &mut incomplete.charge {
            Some(before) => before.add(charge.bytes()),
            before @ None => *before = Some(charge),
        }
        session.message_began();
    }
}

/// What a payload leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outline {
    /// Attachments that are missing at its end.
    n_missing: u8,
    /// A message that had begun before, or in it, is whole.
    has_ended_one: bool,
}

/// Looks at the packets of a payload, of which the first ones may be attachments that
/// were missing. `None` when it is broken.
fn check(encoding: Encoding, payload: &[u8], n_missing: u8) -> Option<Outline> {
    if encoding != Encoding::Binary3 {
        std::str::from_utf8(payload).ok()?;
    }
    let mut outline = Outline {
        n_missing,
        has_ended_one: false,
    };
    let mut rest = payload;
    while !rest.is_empty() {
        let packet = encoding.first(rest)?;
        rest = &rest[packet.len..];
        match packet.kind {
            Kind::OtherNamespace => return None,
            Kind::Head(n) => outline.n_missing = n,
            Kind::Attachment => outline.n_missing = outline.n_missing.saturating_sub(1),
            Kind::Whole => {}
        }
        outline.has_ended_one |= outline.n_missing == 0;
    }
    Some(outline)
}

/// Returns the packets of a payload, each once the session is read again. Others have
/// their turn in between.
fn pieces(
    session: Arc<Session>,
    encoding: Encoding,
    payload: Bytes,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((payload, 0_usize), move |(mut rest, n_given)| {
        let session = Arc::clone(&session);
        async move {
            if rest.is_empty() {
                return None;
            }
            if n_given > 0 && n_given.is_multiple_of(PACKETS_PER_TURN) {
                tokio::task::yield_now().await;
            }
            session.readable().await;
            let len = encoding.first(&rest).map_or(rest.len(), |first| first.len);
            let piece = rest.split_to(len);
            Some((Ok(piece), (rest, n_given + 1)))
        }
    })
}

/// Waits for room for a large request. Cancel safe.
async fn room_for(session: &Session, bytes: usize) -> Promise {
    let share = &session.source.share;
    let _waiting = Waiting::begin(session, Wait::ForMessage);
    poll_fn(|cx| share.poll_frame_room(bytes, cx)).await;
    Promise::of(Arc::clone(&session.source), bytes)
}

/// A session that waits for room, until this is dropped.
struct Waiting<'a>(&'a Session);

impl<'a> Waiting<'a> {
    fn begin(session: &'a Session, wait: Wait) -> Self {
        session.set_wait(wait);
        Self(session)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set_wait(Wait::No);
    }
}

/// Waits for a body of this length to be read: `None` when it takes too long.
async fn in_time<T>(reading: impl Future<Output = Option<T>>, len: usize) -> Option<T> {
    let deadline = if len > SMALL_BYTES {
        LARGE_BODY_DEADLINE
    } else {
        BODY_DEADLINE
    };
    tokio::time::timeout(deadline, reading).await.ok()?
}

/// Collects a body and charges what has come of it. One that was promised is read on
/// while there is room. `None` when it is broken.
async fn collect(
    mut body: Body,
    session: &Session,
    promise: &mut Option<Promise>,
    charge: &mut Charge,
) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            charge.add(data.len());
            if let Some(promise) = promise {
                promise.fulfil(data.len());
            }
            bytes.extend_from_slice(&data);
        }
        if promise.is_some() && !session.source.share.admits(0) {
            let _waiting = Waiting::begin(session, Wait::WithinMessage);
            poll_fn(|cx| session.source.share.poll_room(0, cx)).await;
        }
    }
    Some(bytes.freeze())
}

async fn poll(mut app: App, session: &Arc<Session>, query: &Query) -> Response {
    let mark = session.sent_packets();
    let request = written_anew(query, Method::GET, None, Body::empty());
    let Ok(response) = app.socketio.call(request).await;
    let len = response.body().size_hint().exact().unwrap_or_default();
    let is_taken = response.status() == StatusCode::OK && !is_empty_poll(&response, len);
    if !is_taken {
        return response.map(Body::new);
    }
    let (mut parts, body) = response.into_parts();
    // The body is whole already: the library builds it in memory.
    let Ok(body) = body.collect().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let body = body.to_bytes();
    let answer = match query.is_engine3() {
        true => mended(&parts.headers, body),
        false => body,
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let delivery = Delivery::new(Arc::clone(session), mark, answer);
    Response::from_parts(parts, Body::new(delivery))
}

/// Returns how the packets of a POST stand in it.
fn encoding(query: &Query, headers: &HeaderMap) -> Encoding {
    match query.is_engine3() {
        true if is_binary(headers) => Encoding::Binary3,
        true => Encoding::Text3,
        false => Encoding::Text4,
    }
}

fn is_binary(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(BINARY.as_bytes()))
}

/// Mends the binary packets of an answer; see [`engine3`].
fn mended(headers: &HeaderMap, answer: Bytes) -> Bytes {
    let mended = if is_binary(headers) {
        engine3::mend_binary(&answer)
    } else {
        engine3::mend_text(&answer)
    };
    mended.map_or(answer, Bytes::from)
}

/// Returns whether the answer takes nothing along. While a client changes to
/// WebSocket its polls are answered with a lone noop, `6` or `1:6`.
fn is_empty_poll<B>(response: &Response<B>, len: u64) -> bool {
    const NOOP_BYTES: u64 = 3;
    len <= NOOP_BYTES || !response.headers().contains_key(header::CONTENT_TYPE)
}

#[cfg(test)]
mod tests;
