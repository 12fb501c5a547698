//! The limit on open files, of which every connection needs one.

use std::num::NonZeroUsize;

use starpoint_server::{Config, config::CONNECTIONS_BESIDE};

/// Files that the program needs besides connections: listeners, standard streams,
/// certificate, key.
const BESIDES_CONNECTIONS: u64 = 64;
/// Connections that are tried even where the system allows hardly any file.
const MIN_CONNECTIONS: u64 = 16;

/// Raises the soft limit to the hard one, and lets the star accept no more
/// connections than that allows. Warns when it is too low for the number of peers.
pub(super) fn raise_limit(config: &mut Config) {
    let limit = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(%error, "Cannot raise the limit on open files");
            return;
        }
    };
    tracing::debug!(limit, "Raised the limit on open files");
    let max_peers = config.max_peers;
    let needed = needed_for(max_peers);
    if limit < needed {
        tracing::warn!(
            limit,
            needed,
            max_peers,
            "Fewer files can be open than the allowed number of peers needs"
        );
    }
    let allowed = connections_within(limit);
    if allowed < config.max_connections() {
        config.max_connections = NonZeroUsize::new(allowed);
    }
}

/// Files that are not those of connections in an ordinary place.
fn beside() -> u64 {
    BESIDES_CONNECTIONS + CONNECTIONS_BESIDE as u64
}

fn needed_for(max_peers: NonZeroUsize) -> u64 {
    let peers = u64::try_from(max_peers.get()).unwrap_or(u64::MAX);
    peers.saturating_add(beside())
}

fn connections_within(limit: u64) -> usize {
    let connections = limit.saturating_sub(beside()).max(MIN_CONNECTIONS);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_needs_a_file() {
        let peers = |n| NonZeroUsize::new(n).unwrap();
        assert_eq!(needed_for(peers(1)), 161);
        assert_eq!(needed_for(peers(10_000)), 10_160);
        assert_eq!(needed_for(NonZeroUsize::MAX), u64::MAX);
    }

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!(connections_within(1024), 864);
        assert_eq!(connections_within(0), 16);
    }
}
