//! What a star is compared with: other relays, each as a process of its own, so
//! that what it costs can be told.
//!
//! The program runs itself with a hidden command. It says on stdout where it
//! listens, as a star does, and ends when its stdin does.

mod copy;
mod proxy;
mod relay_v2;

use std::{io::Write as _, net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
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
    /// Ends TLS, and copies bytes; there is no other use of it than as a proxy.
    Tls,
    /// Passes messages between two WebSockets.
    Ws,
}

/// What a proxy is for.
#[derive(Clone, Debug, Args)]
#[group(requires_all = ["service", "certificate"])]
pub(crate) struct ProxyArgs {
    /// Service behind it
    #[arg(long, required = false)]
    service: SocketAddr,
    /// File to write a certificate to
    #[arg(long, required = false)]
    certificate: PathBuf,
}

impl Relay {
    /// Returns the name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RelayV2 => "relay-v2",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
        }
    }

    /// Returns whether it can be a proxy in front of one service.
    pub(crate) fn is_proxy(self) -> bool {
        match self {
            Self::Tcp | Self::Tls => true,
            Self::RelayV2 | Self::Ws => false,
        }
    }

    /// Returns whether it joins two peers.
    pub(crate) fn joins_peers(self) -> bool {
        match self {
            Self::RelayV2 | Self::Tcp | Self::Ws => true,
            Self::Tls => false,
        }
    }

    /// Runs the relay, or the proxy if there is a service, until stdin ends.
    ///
    /// # Errors
    ///
    /// It cannot listen.
    pub(crate) async fn run(self, service: Option<ProxyArgs>) -> anyhow::Result<()> {
        let serve = async {
            match (self, service) {
                (Self::RelayV2, None) => relay_v2::serve().await,
                (Self::Tcp, None) => copy::serve_tcp().await,
                (Self::Ws, None) => copy::serve_ws().await,
                (Self::Tcp, Some(args)) => proxy::serve_tcp(args.service).await,
                (Self::Tls, Some(args)) => proxy::serve_tls(args.service, &args.certificate).await,
                (Self::RelayV2 | Self::Ws, Some(_)) | (Self::Tls, None) => {
                    anyhow::bail!("{} cannot do this", self.name())
                }
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
