//! Long polling: the same bounds as the gate has, applied to whole requests.
//!
//! - A POST waits while the session is held, and one POST of a session is handled
//!   after the other.
//! - A large POST waits for room in the star's budget for large messages.
//! - What a GET was sure to take along counts as written.

pub(crate) mod engine3;

use std::{convert::Infallible, future::poll_fn, sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt, Limited};
use tower::Service;

use super::{App, refuse, unknown_session};
use crate::{
    account::{Charge, SMALL_BYTES},
    session::{Session, Wait},
    socketio,
    source::Source,
};

/// Largest answer to the first request of a session.
const MAX_OPEN_BYTES: usize = 4096;

/// Time for one POST of a session to wait for the others before it.
const TURN_DEADLINE: Duration = Duration::from_secs(60);
/// Time for a body to come, and for one that is a large message.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
const LARGE_BODY_DEADLINE: Duration = Duration::from_secs(60);

/// Begins a session.
pub(super) async fn begin(mut app: App, source: Arc<Source>, mut request: Request) -> Response {
    let Some(session) = app.registry.begin_polling(source) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
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
    let turn = tokio::time::timeout(TURN_DEADLINE, session.polling_turn());
    let Ok(_turn) = turn.await else {
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
    if len > SMALL_BYTES {
        if !session.is_joined() {
            session.refuse_message();
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        }
        room_for(session, len).await;
    }
    session.reads_block_of(len);
    session.message_began();
    let mut charge = Charge::none(Arc::clone(&session.source));
    let response = match in_time(whole(request, &mut charge), len).await {
        Some(request) => {
            session.heard();
            let Ok(response) = app.socketio.call(request).await;
            response.map(Body::new)
        }
        None => {
            // What comes after a broken payload has no meaning any more.
            session.close();
            refuse(3, "Bad request")
        }
    };
    session.messages_completed();
    response
}

/// Waits for room for a large request. Cancel safe.
async fn room_for(session: &Session, bytes: usize) {
    let room = poll_fn(|cx| session.source.share.poll_room(bytes, cx));
    let _waiting = Waiting::begin(session);
    room.await;
}

/// A session that waits for room, until this is dropped.
struct Waiting<'a>(&'a Session);

impl<'a> Waiting<'a> {
    fn begin(session: &'a Session) -> Self {
        session.set_wait(Wait::ForMessage);
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

/// Reads a request's body and returns the request with the body in pieces that
/// the library takes in linear time. `None` when the body is broken.
async fn whole(request: Request, charge: &mut Charge) -> Option<Request> {
    let is_text3 = is_engine3(&request) && !is_binary(request.headers());
    let (parts, body) = request.into_parts();
    let body = collect(body, charge).await?;
    let body = if is_text3 {
        let pieces = engine3::split_text(&body)?;
        let pieces = pieces.into_iter().map(Ok::<_, Infallible>);
        Body::from_stream(stream::iter(pieces))
    } else {
        Body::from(body)
    };
    Some(Request::from_parts(parts, body))
}

/// Collects a body and charges what has come of it. `None` when it is broken.
async fn collect(mut body: Body, charge: &mut Charge) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            charge.add(data.len());
            bytes.extend_from_slice(&data);
        }
    }
    Some(bytes.freeze())
}

async fn poll(mut app: App, session: &Session, request: Request) -> Response {
    let mark = session.sent_packets();
    let is_engine3 = is_engine3(&request);
    let Ok(response) = app.socketio.call(request).await;
    let len = response.body().size_hint().exact().unwrap_or_default();
    let is_taken = response.status() == StatusCode::OK && !is_empty_poll(&response, len);
    if is_taken {
        session.wrote_up_to(mark, len);
    }
    if is_taken && is_engine3 {
        mend(response).await
    } else {
        response.map(Body::new)
    }
}

fn is_binary(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/octet-stream"))
}

fn is_engine3(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| pair == "EIO=3")
}

/// Mends the binary packets of an answer; see [`engine3`].
async fn mend<B>(response: Response<B>) -> Response
where
    B: HttpBody<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let (mut parts, body) = response.into_parts();
    // The body is whole already: the library builds it in memory.
    let Ok(body) = body.collect().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let body = body.to_bytes();
    let mended = if is_binary(&parts.headers) {
        engine3::mend_binary(&body)
    } else {
        std::str::from_utf8(&body)
            .ok()
            .and_then(engine3::mend_text)
            .map(String::into_bytes)
    };
    let body = mended.map_or(body, Bytes::from);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body))
}

/// Returns whether the answer takes nothing along. While a client changes to
/// WebSocket its polls are answered with a lone noop, `6` or `1:6`.
fn is_empty_poll<B>(response: &Response<B>, len: u64) -> bool {
    const NOOP_BYTES: u64 = 3;
    len <= NOOP_BYTES || !response.headers().contains_key(header::CONTENT_TYPE)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use starpoint_broker::SourceId;
    use tokio::time::Instant;

    use super::*;
    use crate::account::Account;

    /// A POST whose body has begun and goes on for ever, a byte every 5 s.
    fn endless() -> Request {
        let pieces = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Some((Ok::<_, Infallible>("1"), ()))
        });
        Request::new(Body::from_stream(pieces))
    }

    fn nothing_charged() -> Charge {
        let account = Account::new(1 << 20, 1 << 16);
        Charge::none(Arc::new(Source::new(SourceId(1), account, 1)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up() {
        for (len, seconds) in [(10, 30), (SMALL_BYTES + 1, 60)] {
            let begin = Instant::now();
            let mut charge = nothing_charged();
            assert!(in_time(whole(endless(), &mut charge), len).await.is_none());
            assert_eq!(begin.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_waited_for() {
        let pieces = stream::iter(["1", "2"]).then(|piece| async move {
            tokio::time::sleep(Duration::from_secs(14)).await;
            Ok::<_, Infallible>(piece)
        });
        let request = Request::new(Body::from_stream(pieces));
        let mut charge = nothing_charged();
        let request = in_time(whole(request, &mut charge), 2).await.unwrap();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "12");
    }
}
