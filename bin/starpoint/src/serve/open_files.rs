//! The limit on open files, of which every peer needs one.

use std::num::NonZeroUsize;

/// Files that the program needs besides one for each peer: listeners, standard
/// streams, certificate, and connections that have not joined.
const BESIDES_PEERS: u64 = 64;

/// Raises the soft limit to the hard one, and warns when that is too low for
/// `max_peers`.
pub(super) fn raise_limit(max_peers: NonZeroUsize) {
    let limit = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(%error, "Cannot raise the limit on open files");
            return;
        }
    };
    tracing::debug!(limit, "Raised the limit on open files");
    let needed = needed_for(max_peers);
    if limit < needed {
        tracing::warn!(
            limit,
            needed,
            max_peers,
            "Fewer files can be open than the allowed number of peers needs"
        );
    }
}

fn needed_for(max_peers: NonZeroUsize) -> u64 {
    u64::try_from(max_peers.get())
        .unwrap_or(u64::MAX)
        .saturating_add(BESIDES_PEERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_needs_a_file() {
        let peers = |n| NonZeroUsize::new(n).unwrap();
        assert_eq!(needed_for(peers(1)), 65);
        assert_eq!(needed_for(peers(10_000)), 10_064);
        assert_eq!(needed_for(NonZeroUsize::MAX), u64::MAX);
    }
}
