//! One network that wants everything keeps nobody of another one out.

use starpoint_sim_tests::{siege::Siege, with_seeds};
use starpoint_wire::Refusal;

#[test]
fn r_limit_24_no_honest_peer_of_another_source_is_refused_because_of_a_hostile_source() {
    with_seeds(&[1, 2, 3], |seed| {
        let mut siege = Siege::new(seed);
        for _ in 0..40 {
            for _ in 0..25 {
                siege.step();
            }
            siege.check();
        }
        assert!(siege.n_served > 400, "{}", siege.n_served);
        let refusals = &siege.counters().refusals;
        for wanted in [Refusal::TooManyRequests, Refusal::SignatureInvalid] {
            assert!(refusals.contains_key(&wanted), "{refusals:?}");
        }
        // The crowd had what it may have, and wanted more.
        assert!(refusals.contains_key(&Refusal::SourceFull), "{refusals:?}");
    });
}
