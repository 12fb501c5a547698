//! The homes of one transport, and which star is behind each: one star behind two
//! of them is one too many.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p_identity::PeerId;
use starpoint_wire::native::StarHost;

use crate::{
    config::Config,
    error::{Error, StarChange, StarTwin},
    machine::star::{Greeted, Purpose},
};

/// Homes by host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Homes(Arc<Mutex<BTreeMap<StarHost, Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    n_homes: usize,
    /// The star that was let pass here.
    star: Option<PeerId>,
}

/// Keeps a host among the homes.
#[derive(Debug)]
pub(crate) struct Occupied {
    homes: Homes,
    host: StarHost,
}

impl Homes {
    /// Notes that there is a home at this host, until the guard is dropped.
    pub(crate) fn occupy(&self, host: StarHost) -> Occupied {
        self.lock().entry(host.clone()).or_default().n_homes += 1;
        Occupied {
            homes: self.clone(),
            host,
        }
    }

    /// Decides about a star that has proved its id at `host` (R-TRANS-31,
    /// R-TRANS-32).
    ///
    /// # Errors
    ///
    /// Another star is expected there, or the star is that of another home.
    pub(crate) fn meet(
        &self,
        config: &Config,
        host: &StarHost,
        greeted: Greeted,
        purpose: Purpose,
    ) -> Result<(), Error> {
        let star = greeted.star;
        let pin = config.pins.pinned(host);
        if let Some(pin) = pin.as_ref().filter(|pin| pin.star != star) {
            return Err(StarChange::error(host, pin, Some(star)));
        }
        if purpose == Purpose::Home && !greeted.is_vouched {
            self.check_twin(config, host, star, pin.is_some())?;
        }
        if pin.is_none() {
            config.pins.remember(host, star);
        }
        if let Some(entry) = self.lock().get_mut(host) {
            entry.star = Some(star);
        }
        Ok(())
    }

    /// Looks for a home with the same star behind it. The one that was there first
    /// stays: in this process, or, if that other home has not been connected yet, by
    /// its pin. A visit takes nobody's place, and is let pass.
    fn check_twin(
        &self,
        config: &Config,
        host: &StarHost,
        star: PeerId,
        is_pinned: bool,
    ) -> Result<(), Error> {
        let homes = self.lock();
        let others = homes.iter().filter(|(other, _)| *other != host);
        let is_known = |other: &StarHost| config.pins.pinned(other).map(|pin| pin.star);
        let mut twins = others.filter(|(other, entry)| match entry.star {
            Some(found) => found == star,
            None => !is_pinned && is_known(other) == Some(star),
        });
        match twins.next() {
            Some((other, _)) => Err(Error::StarTwin(Box::new(StarTwin {
                star,
                host: host.clone(),
                other: other.clone(),
            }))),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StarHost, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        let mut homes = self.homes.lock();
        if let Some(entry) = homes.get_mut(&self.host) {
            entry.n_homes -= 1;
            if entry.n_homes == 0 {
                homes.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p_identity::Keypair;

    use super::*;
    use crate::pins::MemoryPins;

    fn id() -> PeerId {
        Keypair::generate_ed25519().public().to_peer_id()
    }

    fn host(text: &str) -> StarHost {
        StarHost::parse(text).expect("a host and a port")
    }

    struct Rig {
        homes: Homes,
        config: Config,
    }

    impl Rig {
        fn new(pins: MemoryPins) -> Self {
            let config = Config {
                pins: Arc::new(pins),
                ..Config::default()
            };
            let homes = Homes::default();
            Self { homes, config }
        }

        fn meet(&self, at: &str, star: PeerId, is_vouched: bool) -> Result<(), Error> {
            let greeted = Greeted { star, is_vouched };
            let (host, purpose) = (host(at), Purpose::Home);
            self.homes.meet(&self.config, &host, greeted, purpose)
        }
    }

    #[test]
    fn r_trans_31_the_first_star_at_a_host_is_remembered_and_another_refused() {
        let rig = Rig::new(MemoryPins::default());
        let (first, second) = (id(), id());
        rig.meet("a:1", first, false).unwrap();
        rig.meet("a:1", first, false).unwrap();
        rig.meet("a:2", second, false).unwrap();
        let Err(Error::StarChanged(change)) = rig.meet("a:1", second, true) else {
            panic!("another star is let pass")
        };
        assert_eq!((change.known, change.found), (first, Some(second)));
        assert_eq!(change.host, host("a:1"));
    }

    #[test]
    fn r_trans_31_a_star_may_be_expected_from_the_beginning() {
        let (expected, other) = (id(), id());
        let rig = Rig::new(MemoryPins::expecting([(host("a:1"), expected)]));
        assert!(matches!(
            rig.meet("a:1", other, false),
            Err(Error::StarChanged(_))
        ));
        rig.meet("a:1", expected, false).unwrap();
    }

    #[test]
    fn r_trans_32_one_star_is_not_behind_two_homes_unless_it_says_so() {
        let rig = Rig::new(MemoryPins::default());
        let star = id();
        let first = rig.homes.occupy(host("a:1"));
        let second = rig.homes.occupy(host("b:1"));
        rig.meet("a:1", star, false).unwrap();
        let Err(Error::StarTwin(twin)) = rig.meet("b:1", star, false) else {
            panic!("it is let pass")
        };
        assert_eq!(
            (twin.star, twin.host, twin.other),
            (star, host("b:1"), host("a:1"))
        );
        rig.meet("a:1", star, false).unwrap();
        rig.meet("b:1", star, true).unwrap();
        let visit = Greeted {
            star,
            is_vouched: false,
        };
        let visited = rig
            .homes
            .meet(&rig.config, &host("c:1"), visit, Purpose::Visit);
        visited.unwrap();
        // Nobody is at the other home any more.
        drop(first);
        drop(second);
        let _third = rig.homes.occupy(host("b:1"));
        rig.meet("b:1", star, false).unwrap();
    }

    #[test]
    fn r_trans_32_a_home_that_was_there_before_wins_before_it_is_connected() {
        let star = id();
        let rig = Rig::new(MemoryPins::expecting([(host("a:1"), star)]));
        let _homes = ["a:1", "b:1"].map(|at| rig.homes.occupy(host(at)));
        assert!(matches!(
            rig.meet("b:1", star, false),
            Err(Error::StarTwin(_))
        ));
        rig.meet("a:1", star, false).unwrap();
        // Both are known of old: the first one that is connected wins.
        let pins = MemoryPins::expecting([(host("a:1"), star), (host("b:1"), star)]);
        let rig = Rig::new(pins);
        let _homes = ["a:1", "b:1"].map(|at| rig.homes.occupy(host(at)));
        rig.meet("b:1", star, false).unwrap();
        assert!(rig.meet("a:1", star, false).is_err());
    }
}
