//! An evil star: it has no peers of its own, and hands what its clients say to
//! another star.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    accept_hdr_async, client_async,
    tungstenite::{
        Message,
        client::IntoClientRequest as _,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderValue,
    },
};

/// What an evil star does with what it hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relaying {
    /// Puts the other star's port in place of its own in what its clients say, so
    /// that they take their own places there.
    Rewriting,
    /// Changes nothing.
    Faithful,
    /// Does not offer the native profile, whatever its client offers.
    Downgrading,
}

/// A running evil star. Dropping it ends it.
#[derive(Debug)]
pub struct EvilStar {
    port: u16,
    task: JoinHandle<()>,
}

impl EvilStar {
    /// Begins to relay to the star on this port.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn start(star: u16, relaying: Relaying) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let task = tokio::spawn(async move {
            let mut relays = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                relays.spawn(async move {
                    // Either side may go at any time.
                    let _ = relay(client, [port, star], relaying).await;
                });
            }
        });
        Self { port, task }
    }

    /// Returns the port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for EvilStar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(client: TcpStream, [own, star]: [u16; 2], how: Relaying) -> anyhow::Result<()> {
    let mut target = String::new();
    #[expect(
        clippy::result_large_err,
        reason = "the library wants a callback like that"
    )]
    let note_target = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        target = request.uri().to_string();
        Ok(response)
    };
    let client = accept_hdr_async(client, note_target).await?;
    if how == Relaying::Downgrading {
        target = target.replace("star=1", "star=0");
    }
    let mut request = format!("ws://127.0.0.1:{star}{target}").into_client_request()?;
    // The star can be told any host: the one that the client has dialed, say.
    let host = HeaderValue::from_str(&format!("127.0.0.1:{own}")).context("digits and dots")?;
    request.headers_mut().insert("host", host);
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, star)).await?;
    let (star_socket, _) = client_async(request, stream).await?;
    let (mut to_client, mut from_client) = client.split();
    let (mut to_star, mut from_star) = star_socket.split();
    let upwards = async {
        while let Some(Ok(message)) = from_client.next().await {
            let is_rewritten = how == Relaying::Rewriting && message.is_text();
            let message = if is_rewritten && let Ok(text) = message.to_text() {
                let (from, to) = (format!("/tcp/{own}/"), format!("/tcp/{star}/"));
                Message::text(text.replace(&from, &to))
            } else {
                message
            };
            if to_star.send(message).await.is_err() {
                return;
            }
        }
    };
    let downwards = async {
        while let Some(Ok(message)) = from_star.next().await {
            if to_client.send(message).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = upwards => {}
        () = downwards => {}
    }
    Ok(())
}
