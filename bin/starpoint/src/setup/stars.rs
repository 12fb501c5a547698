//! Waiting for stars.

use anyhow::Context as _;
use libp2p_websocket_star as websocket_star;
use starpoint_node::Multiaddr;

use crate::{
    setup::failure::star_failure,
    ui::{error::Failure, report::one_line},
};

/// How far the first attempts to connect the stars have come. One star is
/// enough; the others are warned of.
#[derive(Debug)]
pub(crate) struct FirstAttempts {
    open: Vec<Multiaddr>,
    n_live: usize,
    n_lost: usize,
}

impl FirstAttempts {
    pub(crate) fn of(stars: &[Multiaddr]) -> Self {
        Self {
            open: stars.to_vec(),
            n_live: 0,
            n_lost: 0,
        }
    }

    /// Returns whether every star has answered or failed.
    pub(crate) fn are_over(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns whether this star has neither answered nor failed.
    pub(crate) fn waits_for(&self, star: &Multiaddr) -> bool {
        self.open.contains(star)
    }

    pub(crate) fn live(&mut self, star: &Multiaddr) {
        self.open.retain(|open| open != star);
        self.n_live += 1;
    }

    /// Warns of a star that failed.
    ///
    /// # Errors
    ///
    /// It was the last one, and none is live.
    pub(crate) fn lost(
        &mut self,
        star: &Multiaddr,
        reason: websocket_star::Error,
    ) -> Result<(), Failure> {
        self.open.retain(|open| open != star);
        if self.n_live == 0 && self.open.is_empty() {
            let others = if self.n_lost > 0 {
                ", nor any other"
            } else {
                ""
            };
            let error = Err::<(), _>(anyhow::Error::new(reason.clone()))
                .with_context(|| format!("cannot use the star {star}{others}"))
                .expect_err("it is an error");
            return Err(star_failure(error, &reason));
        }
        warn(&format!("cannot use {star}: {}", one_line(&reason)));
        self.n_lost += 1;
        Ok(())
    }
}

/// Tells of something that keeps nobody from going on.
pub(crate) fn warn(text: &str) {
    use std::io::Write as _;

    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr().lock(), "warning: {text}");
}
