//! Ids of lines: given out in a circle, never one that is in use (R-BRIDGE-6).

use std::collections::BTreeSet;

/// Most lines at a time.
pub const MAX_LINES: usize = 65_535;

/// Which ids are in use.
#[derive(Debug, Default)]
pub(crate) struct LineIds {
    /// The one that was given out last. The first is 1, as in the reference.
    last: u16,
    used: BTreeSet<u16>,
}

impl LineIds {
    /// Takes the next id that is free; none when [`MAX_LINES`] are not.
    pub(crate) fn take(&mut self) -> Option<u16> {
        if self.used.len() >= MAX_LINES {
            return None;
        }
        let mut id = self.last.wrapping_add(1);
        // The free id may be behind a long run of used ones.
        for used in self.used.range(id..) {
            if *used != id {
                break;
            }
            id = id.wrapping_add(1);
        }
        if id == 0 {
            for used in &self.used {
                if *used != id {
                    break;
                }
                id = id.wrapping_add(1);
            }
        }
        self.used.insert(id);
        self.last = id;
        Some(id)
    }

    /// Gives an id back.
    pub(crate) fn release(&mut self, id: u16) {
        self.used.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_bridge_6_ids_go_round_from_1_and_include_0() {
        let mut ids = LineIds::default();
        let mut taken = || {
            let id = ids.take();
            ids.release(id.unwrap());
            id
        };
        assert_eq!(taken(), Some(1));
        assert_eq!(taken(), Some(2));
        for _ in 3..=u16::MAX {
            taken();
        }
        assert_eq!(taken(), Some(0));
        assert_eq!(taken(), Some(1));
    }

    #[test]
    fn r_bridge_6_an_id_in_use_is_never_given_out() {
        let mut ids = LineIds::default();
        let held: Vec<_> = (0..3).map(|_| ids.take().unwrap()).collect();
        for _ in 0..200_000 {
            let id = ids.take().unwrap();
            assert!(!held.contains(&id), "{id}");
            ids.release(id);
        }
    }

    #[test]
    fn r_bridge_6_the_next_after_65535_is_refused() {
        let mut ids = LineIds::default();
        let all: BTreeSet<_> = (0..MAX_LINES).map_while(|_| ids.take()).collect();
        assert_eq!(all.len(), MAX_LINES);
        assert_eq!(ids.take(), None);
        ids.release(700);
        assert!(matches!(ids.take(), Some(0 | 700)));
        assert_eq!(ids.take(), None);
    }
}
