//! Which star is where: remembered, so that another one in its place is noticed.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p_identity::PeerId;
use starpoint_wire::native::StarHost;

/// Hosts that [`MemoryPins`] remembers at most.
const MAX_PINS: usize = 4096;

/// Remembers the id of the star at each host.
///
/// A star of the native profile proves its id. The first one that answers at a
/// host is trusted and remembered; afterwards another one there is an
/// [`Error::StarChanged`](crate::Error::StarChanged), as is one that proves
/// nothing. The methods are called in the task of the transport and should be
/// quick.
pub trait StarPins: fmt::Debug + Send + Sync {
    /// Returns the star that is expected at a host; `None` trusts the first one.
    fn pinned(&self, host: &StarHost) -> Option<Pin>;

    /// Remembers the star that has proved to be at a host for which
    /// [`pinned`](Self::pinned) has returned `None`.
    fn remember(&self, host: &StarHost, star: PeerId);
}

/// The star that is expected at a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Its id.
    pub star: PeerId,
    /// Where this is written down, for the user: `file:line` for one.
    pub written_at: Option<Arc<str>>,
}

/// Pins for the life of the value; the default. At most 4096 hosts are remembered:
/// beyond that, the star at a new host is trusted each time.
#[derive(Debug, Default)]
pub struct MemoryPins {
    stars: Mutex<BTreeMap<StarHost, PeerId>>,
}

impl MemoryPins {
    /// Creates pins that expect these stars from the beginning.
    pub fn expecting(stars: impl IntoIterator<Item = (StarHost, PeerId)>) -> Self {
        Self {
            stars: Mutex::new(stars.into_iter().collect()),
        }
    }

    fn stars(&self) -> MutexGuard<'_, BTreeMap<StarHost, PeerId>> {
        self.stars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StarPins for MemoryPins {
    fn pinned(&self, host: &StarHost) -> Option<Pin> {
        let star = *self.stars().get(host)?;
        Some(Pin {
            star,
            written_at: None,
        })
    }

    fn remember(&self, host: &StarHost, star: PeerId) {
        let mut stars = self.stars();
        if stars.len() < MAX_PINS {
            stars.entry(host.clone()).or_insert(star);
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p_identity::Keypair;

    use super::*;

    fn host(number: usize) -> StarHost {
        StarHost::new("star.example", u16::try_from(number).unwrap()).unwrap()
    }

    #[test]
    fn pins_are_kept_bounded_and_not_overwritten() {
        let [first, second] = [1, 2].map(|_| Keypair::generate_ed25519().public().to_peer_id());
        let pins = MemoryPins::expecting([(host(0), first)]);
        pins.remember(&host(0), second);
        assert_eq!(pins.pinned(&host(0)).map(|pin| pin.star), Some(first));
        for number in 1..=MAX_PINS {
            pins.remember(&host(number), second);
        }
        assert!(pins.pinned(&host(MAX_PINS - 1)).is_some());
        assert_eq!(pins.pinned(&host(MAX_PINS)), None);
    }
}
