//! The broker against a simple model.
//!
//! A [`World`] is a broker, its driver, and clients that do what comes to their
//! minds: join, take over, dial, answer, stay silent, read slowly or not at all,
//! vanish. All of it follows from a seed, and time is a number. Beside the broker
//! runs a model: maps, vectors and no cleverness. After each step what the broker
//! asks for is held against it.
//!
//! Reading order: [`client`] is one connection with its transport, [`model`] what
//! should be, [`world`] the driver and its checks, `acts` what clients do.
//! [`native`] is the same in small for the native profile: who is here, and what
//! its members make of what they are told. [`siege`] has no model: its honest peers may
//! not be refused anything.

#![deny(missing_docs)]

mod acts;
pub mod client;
pub mod model;
pub mod names;
pub mod native;
pub mod siege;
pub mod world;

pub use world::{Plan, World};

/// Runs `play` with each of the given seeds, and with as many more as the
/// environment variable `STARPOINT_SIM_SEEDS` says.
///
/// # Panics
///
/// When `play` does; the seed is printed before.
pub fn with_seeds(fixed: &[u64], play: impl Fn(u64)) {
    let more: u64 = std::env::var("STARPOINT_SIM_SEEDS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    for seed in fixed.iter().copied().chain(1_000..1_000 + more) {
        let on_failure = Seed(seed);
        play(seed);
        std::mem::forget(on_failure);
    }
}

/// Names the seed of a run that failed.
struct Seed(u64);

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "a failure has to name its seed")]
    fn drop(&mut self) {
        eprintln!("the seed that failed: {}", self.0);
    }
}
