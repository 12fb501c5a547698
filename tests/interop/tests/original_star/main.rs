//! Our transport at the original star: the unmodified
//! `libp2p-websocket-star-rendezvous`, with peers of both kinds.

mod node;
mod peer;
mod star;

mod javascript;
mod program;
mod rust;

use std::time::Duration;

/// Time for what moves many bytes through the star, on a loaded machine and
/// without optimization.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(240);

/// Waits for a transfer, at most [`TRANSFER_DEADLINE`].
async fn patiently<T>(what: &str, transfer: impl Future<Output = T>) -> T {
    match tokio::time::timeout(TRANSFER_DEADLINE, transfer).await {
        Ok(value) => value,
        Err(_) => panic!("not within {TRANSFER_DEADLINE:?}: {what}"),
    }
}
