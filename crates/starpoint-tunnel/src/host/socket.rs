//! Connecting a target, by the rules.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{net::TcpStream, time};

use crate::{refusal::Refusal, target::Target};

/// Connects a target within `deadline`: each of its permitted addresses in turn.
///
/// Names are resolved here, once, and the very address that was checked is the
/// one that is connected; no name server can come between.
pub(super) async fn connect(target: &Target, deadline: Duration) -> Result<TcpStream, Refusal> {
    match time::timeout(deadline, attempts(target)).await {
        Ok(done) => done,
        Err(_) => Err(Refusal::TargetTimeout),
    }
}

async fn attempts(target: &Target) -> Result<TcpStream, Refusal> {
    let mut refusal = Refusal::Forbidden;
    for address in target.permitted(resolved(target).await?) {
        match TcpStream::connect(address).await {
            Ok(socket) => {
                // Small answers shall not wait for more.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) => {
                tracing::debug!(%address, %error, "Target not connected");
                // Refused says more than a family that the machine does not have.
                if refusal != Refusal::TargetRefused {
                    refusal = refusal_of(&error);
                }
            }
        }
    }
    Err(refusal)
}

async fn resolved(target: &Target) -> Result<Vec<IpAddr>, Refusal> {
    let Some(lookup) = target.lookup() else {
        return Ok(Vec::new());
    };
    let found = tokio::net::lookup_host(lookup).await;
    let found: Vec<_> = found
        .map_err(|_| Refusal::NoSuchName)?
        .map(|address: SocketAddr| address.ip())
        .collect();
    if found.is_empty() {
        return Err(Refusal::NoSuchName);
    }
    Ok(found)
}

fn refusal_of(error: &io::Error) -> Refusal {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, TimedOut};
    let kind = error.kind();
    if matches!(kind, ConnectionRefused | ConnectionReset) {
        Refusal::TargetRefused
    } else if kind == TimedOut {
        Refusal::TargetTimeout
    } else {
        Refusal::TargetUnreachable
    }
}
