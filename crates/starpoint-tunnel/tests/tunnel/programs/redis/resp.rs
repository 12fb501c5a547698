//! The protocol of Redis, version 2.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// An answer, or a request, which is an array of [`Value::Bulk`].
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Nothing,
    Array(Vec<Value>),
}

impl Value {
    pub(super) fn simple(text: &str) -> Self {
        Self::Simple(text.to_owned())
    }

    pub(super) fn bulk(bytes: &[u8]) -> Self {
        Self::Bulk(bytes.to_vec())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Simple(text) => format!("+{text}\r\n").into_bytes(),
            Self::Error(text) => format!("-{text}\r\n").into_bytes(),
            Self::Integer(number) => format!(":{number}\r\n").into_bytes(),
            Self::Nothing => b"$-1\r\n".to_vec(),
            Self::Bulk(bytes) => {
                let head = format!("${}\r\n", bytes.len()).into_bytes();
                [&head, &bytes[..], b"\r\n"].concat()
            }
            Self::Array(values) => {
                let mut bytes = format!("*{}\r\n", values.len()).into_bytes();
                bytes.extend(values.iter().flat_map(Self::encode));
                bytes
            }
        }
    }
}

/// Encodes a request of these words.
pub(super) fn request(words: &[&[u8]]) -> Vec<u8> {
    let words = words.iter().map(|word| Value::bulk(word));
    Value::Array(words.collect()).encode()
}

/// Values that come.
pub(super) struct Values(BufReader<OwnedReadHalf>);

impl Values {
    /// Waits for the next value.
    pub(super) async fn receive(&mut self) -> Value {
        self.next().await.expect("a value comes")
    }

    /// Waits for the next value; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Value> {
        let head = self.line().await?;
        let Some(n_values) = head.strip_prefix('*') else {
            return Some(self.behind(&head).await);
        };
        let mut values = Vec::new();
        for _ in 0..n_values.parse().expect("a number") {
            let head = self.line().await.expect("a value comes");
            values.push(self.behind(&head).await);
        }
        Some(Value::Array(values))
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let n_bytes = self.0.read_line(&mut line).await.expect("it is not reset");
        let line = line.strip_suffix("\r\n").map(str::to_owned);
        assert_eq!(line.is_some(), n_bytes > 0, "half a line");
        line
    }

    /// Returns the value with this first line; no array is within another one.
    async fn behind(&mut self, head: &str) -> Value {
        let (kind, rest) = head.split_at(1);
        let number = rest.parse();
        match kind {
            "+" => Value::simple(rest),
            "-" => Value::Error(rest.to_owned()),
            ":" => Value::Integer(number.expect("a number")),
            "$" => self.bulk(number.expect("a number")).await,
            other => panic!("not a kind of value: {other}"),
        }
    }

    async fn bulk(&mut self, n_bytes: i64) -> Value {
        let Ok(n_bytes) = usize::try_from(n_bytes) else {
            return Value::Nothing;
        };
        let mut bytes = vec![0; n_bytes + 2];
        let read = self.0.read_exact(&mut bytes).await;
        read.expect("it is not cut");
        assert!(bytes.ends_with(b"\r\n"));
        bytes.truncate(n_bytes);
        Value::Bulk(bytes)
    }
}

/// One connection, of either side.
pub(super) struct Connection {
    values: Values,
    writer: OwnedWriteHalf,
}

impl Connection {
    pub(super) fn new(socket: TcpStream) -> Self {
        let (reader, writer) = socket.into_split();
        Self {
            values: Values(BufReader::new(reader)),
            writer,
        }
    }

    pub(super) fn halves(&mut self) -> (&mut OwnedWriteHalf, &mut Values) {
        (&mut self.writer, &mut self.values)
    }

    pub(super) async fn send(&mut self, words: &[&[u8]]) {
        send_all(&mut self.writer, &request(words)).await;
    }

    pub(super) async fn receive(&mut self) -> Value {
        self.values.receive().await
    }

    pub(super) async fn has_ended(&mut self) -> bool {
        self.values.next().await.is_none()
    }
}

pub(super) async fn send_all(writer: &mut OwnedWriteHalf, bytes: &[u8]) {
    writer.write_all(bytes).await.expect("it is taken");
}
