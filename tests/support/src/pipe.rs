//! Pipes: the request for one side, and its frames.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use crate::{http::HttpConnection, within};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A request for one side of a pipe that is not answered yet.
#[derive(Debug)]
pub struct PipeRequest {
    connection: HttpConnection,
}

/// Why there is no pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeRefusal {
    /// Status of the answer.
    pub status: u16,
    /// Its code; empty when it has none.
    pub code: String,
}

/// One side of an open pipe.
#[derive(Debug)]
pub struct Pipe {
    socket: WebSocketStream<TcpStream>,
}

/// What comes out of a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipeItem {
    /// Bytes.
    Data(Bytes),
    /// The other side has ended its direction.
    End,
    /// A close frame with this status; 1005 is none.
    Closed(u16),
    /// The connection ended without one.
    Lost,
}

impl PipeRequest {
    /// Asks for the side that a token opens.
    ///
    /// # Panics
    ///
    /// When the star does not take the request.
    pub async fn send(port: u16, token: &str) -> Self {
        let mut connection = HttpConnection::connect(port).await;
        let headers = format!(
            "connection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n"
        );
        let target = format!("/star/pipe/{token}");
        let sent = connection.send("GET", &target, &headers, b"").await;
        sent.expect("the star reads");
        Self { connection }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// Why there is no pipe.
    ///
    /// # Panics
    ///
    /// When there is no answer, or it is none to this request.
    pub async fn answer(mut self) -> Result<Pipe, PipeRefusal> {
        let answer = within("answer to a pipe", self.connection.receive()).await;
        let answer = answer.expect("the star answers");
        if answer.status != 101 {
            let body = serde_json::from_slice::<serde_json::Value>(&answer.body);
            let code = body
                .ok()
                .and_then(|body| body["code"].as_str().map(str::to_owned));
            return Err(PipeRefusal {
                status: answer.status,
                code: code.unwrap_or_default(),
            });
        }
        let accept = derive_accept_key(KEY.as_bytes());
        assert_eq!(answer.header("sec-websocket-accept"), Some(accept.as_str()));
        let (stream, rest) = self.connection.into_parts();
        let socket = WebSocketStream::from_partially_read(stream, rest, Role::Client, None).await;
        Ok(Pipe { socket })
    }

    /// Cuts the connection with a reset.
    pub fn abort(self) {
        self.connection.abort();
    }
}

impl Pipe {
    /// Writes bytes, as one frame.
    ///
    /// # Panics
    ///
    /// When the star does not take them.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) {
        let sending = self.socket.send(Message::Binary(bytes.into()));
        within("write", sending).await.expect("the star reads");
    }

    /// Ends the own direction.
    ///
    /// # Panics
    ///
    /// When the star does not take it.
    pub async fn end(&mut self) {
        let sending = self.socket.send(Message::text("end"));
        within("end", sending).await.expect("the star reads");
    }

    /// Sends a close frame.
    ///
    /// # Panics
    ///
    /// When the star does not take it.
    pub async fn close(&mut self, status: u16) {
        let frame = CloseFrame {
            code: CloseCode::from(status),
            reason: "".into(),
        };
        let sending = self.socket.send(Message::Close(Some(frame)));
        within("close", sending).await.expect("the star reads");
    }

    /// Waits for what comes next.
    ///
    /// # Panics
    ///
    /// When a text comes that is no end.
    pub async fn read(&mut self) -> PipeItem {
        loop {
            match within("frame of a pipe", self.socket.next()).await {
                Some(Ok(Message::Binary(bytes))) => return PipeItem::Data(bytes),
                Some(Ok(Message::Text(text))) => {
                    assert_eq!(text.as_str(), "end");
                    return PipeItem::End;
                }
                Some(Ok(Message::Close(frame))) => {
                    return PipeItem::Closed(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(_)) | None => return PipeItem::Lost,
            }
        }
    }

    /// Reads as many bytes.
    ///
    /// # Panics
    ///
    /// When the direction ends before, or others follow in the same frame.
    pub async fn read_exactly(&mut self, n_bytes: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(n_bytes);
        while bytes.len() < n_bytes {
            match self.read().await {
                PipeItem::Data(data) => bytes.extend_from_slice(&data),
                other @ (PipeItem::End | PipeItem::Closed(_) | PipeItem::Lost) => {
                    panic!("{other:?} after {} bytes", bytes.len())
                }
            }
        }
        assert_eq!(bytes.len(), n_bytes, "more than was written");
        bytes
    }

    /// Cuts the connection with a reset.
    ///
    /// # Panics
    ///
    /// When the system refuses the option.
    pub fn abort(self) {
        let stream = self.socket.get_ref();
        stream.set_zero_linger().expect("a TCP socket lingers");
    }
}
