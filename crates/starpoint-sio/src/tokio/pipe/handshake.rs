//! The HTTP handshake of a WebSocket, RFC 6455, section 4.1. What follows the
//! head is kept: the star may already have sent data of the remote.

use std::{io, sync::Arc};

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::{
    handshake::{client::generate_key, derive_accept_key},
    http::Uri,
};

use crate::error::{Cause, ConnectError, PipeError};

/// Longest head of an answer.
const MAX_HEAD_BYTES: usize = 8 * 1024;

/// Most header fields of an answer.
const MAX_FIELDS: usize = 64;

/// How much of the body of a refusal is read.
const MAX_BODY_BYTES: usize = 1024;

/// Longest code of a refusal.
const MAX_CODE_BYTES: usize = 64;

/// What the star says about a pipe that it does not open.
#[derive(Deserialize)]
struct RefusalBody {
    code: String,
}

/// The answer is no HTTP, or no WebSocket handshake.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum AnswerError {
    #[error("malformed http head")]
    Http(#[source] httparse::Error),
    #[error("http head too long")]
    TooLong,
    #[error("no websocket handshake")]
    Upgrade,
    #[error("wrong websocket accept key")]
    AcceptKey,
}

struct Head {
    status: u16,
    head_bytes: usize,
    body_bytes: Option<usize>,
    is_upgrade: bool,
    accept: Vec<u8>,
}

/// Sends the request and reads the answer; returns what came behind its head.
pub(super) async fn shake_hands<S>(url: &Uri, stream: &mut S) -> Result<Vec<u8>, PipeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = generate_key();
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().ok_or(ConnectError::Url)?.as_str();
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(network)?;
    stream.flush().await.map_err(network)?;
    let (head, mut bytes) = read_head(stream).await?;
    bytes.drain(..head.head_bytes);
    if head.status != 101 {
        let body = read_body(stream, bytes, head.body_bytes).await;
        return Err(PipeError::Refused {
            status: head.status,
            code: refusal_code(&body),
        });
    }
    if !head.is_upgrade {
        return Err(no_websocket(AnswerError::Upgrade));
    }
    if head.accept != derive_accept_key(key.as_bytes()).as_bytes() {
        return Err(no_websocket(AnswerError::AcceptKey));
    }
    Ok(bytes)
}

async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(Head, Vec<u8>), PipeError> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        let n = stream.read_buf(&mut bytes).await.map_err(network)?;
        if n == 0 {
            return Err(network(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(head) = parse_head(&bytes).map_err(no_websocket)? {
            return Ok((head, bytes));
        }
        if bytes.len() >= MAX_HEAD_BYTES {
            return Err(no_websocket(AnswerError::TooLong));
        }
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<Head>, AnswerError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(bytes).map_err(AnswerError::Http)?;
    let httparse::Status::Complete(head_bytes) = parsed else {
        return Ok(None);
    };
    let field = |name: &str| {
        let mut fields = response.headers.iter();
        let found = fields.find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| field.value.trim_ascii())
    };
    let length = field("content-length").and_then(|text| std::str::from_utf8(text).ok());
    Ok(Some(Head {
        status: response.code.unwrap_or_default(),
        head_bytes,
        body_bytes: length.and_then(|text| text.parse().ok()),
        is_upgrade: field("upgrade").is_some_and(|v| v.eq_ignore_ascii_case(b"websocket")),
        accept: field("sec-websocket-accept").unwrap_or_default().to_vec(),
    }))
}

/// Reads as much of a body as a code needs. Best effort: the status is known.
async fn read_body<S>(stream: &mut S, mut bytes: Vec<u8>, body_bytes: Option<usize>) -> Vec<u8>
where
    S: AsyncRead + Unpin,
{
    let wanted = body_bytes.unwrap_or(0).min(MAX_BODY_BYTES);
    while bytes.len() < wanted {
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    bytes.truncate(wanted);
    bytes
}

fn refusal_code(body: &[u8]) -> Box<str> {
    let body = serde_json::from_slice::<RefusalBody>(body);
    let code = body.map(|body| body.code).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if code.len() <= MAX_CODE_BYTES && code.bytes().all(is_plain) {
        code.into()
    } else {
        Box::default()
    }
}

fn network(error: io::Error) -> PipeError {
    ConnectError::Network(Arc::new(error)).into()
}

fn no_websocket(error: AnswerError) -> PipeError {
    let cause: Cause = Arc::new(error);
    ConnectError::NotWebSocket(cause).into()
}
