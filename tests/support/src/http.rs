//! HTTP/1.1 by hand: one request at a time on one connection.

use std::net::Ipv4Addr;

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{star::Star, within};

/// A response, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, without the framing of chunks.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the first header field of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        fields.find_map(|(field, value)| (field == name).then_some(value.as_str()))
    }

    /// Returns the body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that is kept open between requests.
#[derive(Debug)]
pub struct HttpConnection {
    stream: TcpStream,
    port: u16,
    received: Vec<u8>,
}

impl HttpConnection {
    /// Connects to a port of this machine.
    ///
    /// # Panics
    ///
    /// When nobody accepts.
    pub async fn connect(port: u16) -> Self {
        Self::connect_from(Ipv4Addr::LOCALHOST, port).await
    }

    /// Like [`connect`](Self::connect), from this address of 127.0.0.0/8.
    ///
    /// # Panics
    ///
    /// When nobody accepts.
    pub async fn connect_from(from: Ipv4Addr, port: u16) -> Self {
        let connecting = crate::connect_from(from, port);
        let stream = within("connect", connecting)
            .await
            .expect("the star accepts");
        Self {
            stream,
            port,
            received: Vec::new(),
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        within("send", self.stream.write_all(bytes)).await?;
        Ok(())
    }

    /// Sends a request. `headers` are complete lines, each with its line end.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        body: &[u8],
    ) -> anyhow::Result<()> {
        let port = self.port;
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\
             content-length: {length}\r\n{headers}\r\n"
        );
        self.send_raw(&[head.as_bytes(), body].concat()).await
    }

    /// Opens a session of long polling; returns its id.
    ///
    /// # Panics
    ///
    /// When the star opens none.
    pub async fn open_session(&mut self, target: &str) -> String {
        self.send("GET", target, "", b"")
            .await
            .expect("the star reads");
        let opened = within("open packet", self.receive()).await;
        let text = opened.expect("the star answers").text();
        let sid = text
            .split("\"sid\":\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        sid.unwrap_or_else(|| panic!("no session: {text}"))
            .to_owned()
    }

    /// Receives the response to the oldest request that has none yet.
    ///
    /// Cancel safe: what has arrived is kept.
    ///
    /// # Errors
    ///
    /// The connection ended, or what came is no HTTP.
    pub async fn receive(&mut self) -> anyhow::Result<Response> {
        loop {
            if let Some((response, used)) = parse(&self.received)? {
                self.received.drain(..used);
                return Ok(response);
            }
            let n_bytes = self.stream.read_buf(&mut self.received).await?;
            ensure!(n_bytes > 0, "the connection ended in a response");
        }
    }

    /// Waits for the other side to end the connection; returns what it sent.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn receive_to_end(mut self) -> Vec<u8> {
        let mut received = std::mem::take(&mut self.received);
        // A reset ends a connection as well as an orderly end.
        let _ = within("end of connection", self.stream.read_to_end(&mut received)).await;
        received
    }

    /// Waits for a response or the end of the connection, whatever comes first.
    ///
    /// # Panics
    ///
    /// When neither comes.
    pub async fn receive_or_end(&mut self) -> Option<Response> {
        within("response or end", self.receive()).await.ok()
    }

    /// Returns the connection and what has arrived behind the last response.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.received)
    }

    /// Cuts the connection with a reset.
    ///
    /// # Panics
    ///
    /// When the system refuses the option.
    pub fn abort(self) {
        self.stream.set_zero_linger().expect("a TCP socket lingers");
    }
}

/// Sends one `GET` on a connection of its own.
///
/// # Panics
///
/// When there is no response.
pub async fn get(port: u16, target: &str) -> Response {
    get_from(Ipv4Addr::LOCALHOST, port, target).await
}

/// Like [`get`], from this address of 127.0.0.0/8.
///
/// # Panics
///
/// When there is no response.
pub async fn get_from(from: Ipv4Addr, port: u16, target: &str) -> Response {
    let mut connection = HttpConnection::connect_from(from, port).await;
    connection
        .send("GET", target, "", b"")
        .await
        .expect("the star reads");
    within("response", connection.receive())
        .await
        .expect("the star answers")
}

/// Parses a response off the head of `bytes`: `None` while it is not complete.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Response, usize)>> {
    let Some(head_bytes) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..head_bytes])?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().context("no status line")?;
    let status = status_line
        .split(' ')
        .nth(1)
        .context("no status")?
        .parse()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut response = Response {
        status,
        headers,
        body: Vec::new(),
    };
    let start = head_bytes + 4;
    let used = if response.header("transfer-encoding") == Some("chunked") {
        let Some((body, used)) = parse_chunks(&bytes[start..])? else {
            return Ok(None);
        };
        response.body = body;
        used
    } else if let Some(length) = response.header("content-length") {
        let length: usize = length.parse()?;
        let Some(body) = bytes[start..].get(..length) else {
            return Ok(None);
        };
        response.body = body.to_vec();
        length
    } else {
        0
    };
    Ok(Some((response, start + used)))
}

fn parse_chunks(bytes: &[u8]) -> anyhow::Result<Option<(Vec<u8>, usize)>> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[at..at + line])?, 16)?;
        at += line + 2;
        let Some(chunk) = bytes.get(at..at + length + 2) else {
            return Ok(None);
        };
        if !chunk.ends_with(b"\r\n") {
            bail!("a chunk is longer than it says");
        }
        body.extend_from_slice(&chunk[..length]);
        at += length + 2;
        if length == 0 {
            return Ok(Some((body, at)));
        }
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Returns a number of `GET /metrics`, its labels in the name.
///
/// # Panics
///
/// When the star does not answer, or has no such number.
pub async fn metric(star: &Star, name: &str) -> u64 {
    let page = get(star.port(), "/metrics").await.text();
    page.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no {name} in {page}"))
        .parse()
        .expect("a metric is a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_complete_only_with_its_last_byte() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        ] {
            for end in 0..text.len() {
                assert_eq!(parse(&text.as_bytes()[..end]).unwrap(), None, "{end}");
            }
            let (response, used) = parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(
                (response.status, response.text().as_str(), used),
                (200, "ok", text.len())
            );
        }
    }
}
