//! Relays that do nothing but copy. A connection begins with a token of 8 bytes;
//! the second one with the same token is joined to the first.

use std::collections::HashMap;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::{accept, listen};

/// Size of each of the two buffers between two TCP connections.
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) async fn serve_tcp() -> anyhow::Result<()> {
    let listener = listen().await?;
    let (mut waiting, mut greetings, mut couples) =
        (HashMap::new(), JoinSet::new(), JoinSet::new());
    loop {
        tokio::select! {
            tcp = accept(&listener) => {
                let mut tcp = tcp?;
                greetings.spawn(async move {
                    let token = tcp.read_u64().await?;
                    anyhow::Ok((token, tcp))
                });
            }
            Some(greeted) = greetings.join_next() => {
                if let Some((a, b)) = greeted.ok().and_then(|g| couple(&mut waiting, g)) {
                    couples.spawn(copy_bytes(a, b));
                }
            }
            Some(_) = couples.join_next() => {}
        }
    }
}

pub(super) async fn serve_ws() -> anyhow::Result<()> {
    let listener = listen().await?;
    let (mut waiting, mut greetings, mut couples) =
        (HashMap::new(), JoinSet::new(), JoinSet::new());
    loop {
        tokio::select! {
            tcp = accept(&listener) => {
                let tcp = tcp?;
                greetings.spawn(async move {
                    let mut socket = tokio_tungstenite::accept_async(tcp).await?;
                    let token = socket.next().await.context("no token")??.into_data();
                    let token = u64::from_be_bytes(token.as_ref().try_into()?);
                    anyhow::Ok((token, socket))
                });
            }
            Some(greeted) = greetings.join_next() => {
                if let Some((a, b)) = greeted.ok().and_then(|g| couple(&mut waiting, g)) {
                    couples.spawn(pass_messages(a, b));
                }
            }
            Some(_) = couples.join_next() => {}
        }
    }
}

/// Returns two connections with the same token. The first one waits, for ever if
/// need be: such are the connections of peers that are idle.
fn couple<C>(waiting: &mut HashMap<u64, C>, greeted: anyhow::Result<(u64, C)>) -> Option<(C, C)> {
    let (token, connection) = greeted.ok()?;
    match waiting.remove(&token) {
        Some(first) => Some((first, connection)),
        None => {
            waiting.insert(token, connection);
            None
        }
    }
}

/// Copies both ways; the end of one direction leaves the other open.
pub(super) async fn copy_bytes(
    mut a: impl AsyncRead + AsyncWrite + Unpin,
    mut b: impl AsyncRead + AsyncWrite + Unpin,
) {
    let copy = tokio::io::copy_bidirectional_with_sizes(&mut a, &mut b, BUFFER_BYTES, BUFFER_BYTES);
    // A connection that broke is told to both peers by its end.
    let _ = copy.await;
}

async fn pass_messages(a: WebSocketStream<TcpStream>, b: WebSocketStream<TcpStream>) {
    let ((mut to_a, mut from_a), (mut to_b, mut from_b)) = (a.split(), b.split());
    let there = async {
        while let Some(Ok(message)) = from_a.next().await {
            if !pass(&mut to_b, message).await {
                break;
            }
        }
    };
    let back = async {
        while let Some(Ok(message)) = from_b.next().await {
            if !pass(&mut to_a, message).await {
                break;
            }
        }
    };
    tokio::join!(there, back);
}

/// Returns whether more may follow.
async fn pass(to: &mut (impl futures_util::Sink<Message> + Unpin), message: Message) -> bool {
    match message {
        Message::Binary(_) | Message::Text(_) => to.send(message).await.is_ok(),
        // The library answers these by itself.
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => true,
        Message::Close(_) => {
            let _ = to.send(message).await;
            false
        }
    }
}
