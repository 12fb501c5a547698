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
    limited(deadline, attempts(target)).await
}

async fn limited(
    deadline: Duration,
    attempts: impl Future<Output = Result<TcpStream, Refusal>>,
) -> Result<TcpStream, Refusal> {
    match time::timeout(deadline, attempts).await {
        Ok(done) => done,
        Err(_) => Err(Refusal::TargetTimeout),
    }
}

async fn attempts(target: &Target) -> Result<TcpStream, Refusal> {
    first_of(target.permitted(resolved(target).await?)).await
}

/// Connects the first address that answers. None at all: the rules have left none.
async fn first_of(addresses: Vec<SocketAddr>) -> Result<TcpStream, Refusal> {
    let mut refusal = Refusal::Forbidden;
    for address in addresses {
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn r_tunnel_11_every_failure_has_a_reason_of_its_own() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = closed.local_addr().unwrap().to_string().parse().unwrap();
        drop(closed);
        let connected = connect(&target, Duration::from_secs(10)).await;
        assert_eq!(connected.unwrap_err(), Refusal::TargetRefused);
        let connected = limited(Duration::from_millis(1), std::future::pending()).await;
        assert_eq!(connected.unwrap_err(), Refusal::TargetTimeout);
    }

    #[tokio::test]
    async fn r_tunnel_12_a_target_without_a_permitted_address_is_forbidden() {
        assert_eq!(first_of(Vec::new()).await.unwrap_err(), Refusal::Forbidden);
    }

    #[test]
    fn other_errors_mean_that_there_is_no_way() {
        let refusal = |kind: io::ErrorKind| refusal_of(&kind.into());
        assert_eq!(
            refusal(io::ErrorKind::HostUnreachable),
            Refusal::TargetUnreachable
        );
        assert_eq!(refusal(io::ErrorKind::TimedOut), Refusal::TargetTimeout);
        assert_eq!(
            refusal(io::ErrorKind::ConnectionReset),
            Refusal::TargetRefused
        );
    }
}
