//! What a star is compared with: other relays, each as a process of its own, so
//! that what it costs can be told.
//!
//! The program runs itself with a hidden command. It says on stdout where it
//! listens, as a star does, and ends when its stdin does.

mod copy;
mod relay_v2;

use std::io::Write as _;

use anyhow::Context as _;
use clap::ValueEnum;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
};

/// Name of the hidden command.
pub(crate) const COMMAND: &str = "run-relay";

/// A relay to compare with; [`Comparison`](crate::cli::Comparison) tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Relay {
    /// A libp2p circuit relay v2 without limits.
    RelayV2,
    /// Copies bytes between two TCP connections.
    Tcp,
    /// Passes messages between two WebSockets.
    Ws,
}

impl Relay {
    /// Returns the name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RelayV2 => "relay-v2",
            Self::Tcp => "tcp",
            Self::Ws => "ws",
        }
    }

    /// Runs the relay until stdin ends.
    ///
    /// # Errors
    ///
    /// It cannot listen.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let serve = async {
            match self {
                Self::RelayV2 => relay_v2::serve().await,
                Self::Tcp => copy::serve_tcp().await,
                Self::Ws => copy::serve_ws().await,
            }
        };
        tokio::select! {
            outcome = serve => outcome,
            () = stdin_ends() => Ok(()),
        }
    }
}

async fn stdin_ends() {
    let mut stdin = tokio::io::stdin();
    // An error is an end as well.
    while let Ok(1..) = stdin.read(&mut [0; 64]).await {}
}

fn announce(address: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "listening {address}").context("stdout is gone")
}

async fn listen() -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?)?;
    Ok(listener)
}

async fn accept(listener: &TcpListener) -> anyhow::Result<TcpStream> {
    let (tcp, _) = listener.accept().await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}
