use std::{collections::BTreeSet, convert::Infallible};

use rand_core::{TryCryptoRng, TryRng};

use super::*;

/// Numbers that look random (SplitMix64).
struct Mixed(u64);

impl TryRng for Mixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let Ok(number) = self.try_next_u64();
        Ok((number >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let Ok(number) = self.try_next_u64();
            chunk.copy_from_slice(&number.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Mixed {}

/// Sources with so many members each, numbered through.
fn roster(sizes: &[u64]) -> Roster {
    let mut roster = Roster::default();
    let mut last = 0;
    for (source, size) in (1..).map(SourceId).zip(sizes) {
        for place in 0..usize::try_from(*size).unwrap() {
            last += 1;
            assert_eq!(roster.add(source, Seq(last)), place);
        }
    }
    roster
}

#[test]
fn a_shuffle_has_every_number_once_and_every_order_about_as_often() {
    let mut rng = Mixed(1);
    let mut orders = BTreeMap::new();
    for _ in 0..6_000 {
        let mut shuffle = Shuffle::new(3);
        let order: Vec<_> = std::iter::from_fn(|| shuffle.draw(&mut rng)).collect();
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 3);
        *orders.entry(order).or_insert(0) += 1;
    }
    assert_eq!(orders.len(), 6);
    assert!(
        orders.values().all(|n| (850..1_150).contains(n)),
        "{orders:?}"
    );
}

#[test]
fn r_peer_4_each_source_has_a_turn_in_each_round() {
    let roster = roster(&[500, 1, 3]);
    for seed in 0..50 {
        let mut rng = Mixed(seed);
        let drawn: Vec<_> = roster.draw(&mut rng).map(|Seq(n)| n).collect();
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 504);
        let crowd = drawn[..7].iter().filter(|n| **n <= 500).count();
        assert_eq!(crowd, 3, "one, three, and three of the crowd");
    }
}

#[test]
fn r_peer_4_members_of_a_source_come_equally_often() {
    let roster = roster(&[100]);
    let mut rng = Mixed(7);
    let mut n_drawn = vec![0; 101];
    for _ in 0..2_000 {
        for Seq(n) in roster.draw(&mut rng).take(10) {
            n_drawn[usize::try_from(n).unwrap()] += 1;
        }
    }
    assert!(
        n_drawn[1..].iter().all(|n| (130..270).contains(n)),
        "{n_drawn:?}"
    );
}

#[test]
fn what_is_removed_is_not_drawn_and_nothing_else_is_lost() {
    let mut roster = roster(&[3, 1, 2]);
    assert_eq!(
        roster.remove(SourceId(1), 0),
        Some(Seq(3)),
        "the last moves"
    );
    assert_eq!(roster.remove(SourceId(1), 1), None);
    assert_eq!(
        roster.remove(SourceId(2), 0),
        None,
        "a source without members"
    );
    let mut rng = Mixed(3);
    let drawn: BTreeSet<_> = roster.draw(&mut rng).collect();
    assert_eq!(drawn, [3, 5, 6].map(Seq).into());
    for source in [1, 3, 3] {
        roster.remove(SourceId(source), 0);
    }
    assert_eq!(roster.draw(&mut rng).count(), 0);
    assert!(roster.sources.is_empty() && roster.households.is_empty());
}
