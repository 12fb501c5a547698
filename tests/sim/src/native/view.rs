//! What one member knows of one namespace, by the rules of R-PRES-9.

use std::{collections::BTreeSet, sync::Arc};

use libp2p_identity::PeerId;
use starpoint_wire::native::{Page, PresenceBatch, Sync};

/// A namespace as a member sees it.
///
/// ```text
///   Reading ── last page ──► Whole
///      ▲                       │
///      └── gap, or told so ────┘
/// ```
#[derive(Debug)]
pub struct View {
    /// Number of the last batch or page.
    seq: u64,
    peers: BTreeSet<Arc<str>>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A page is asked for, and goes on from what is known.
    Reading,
    /// A page is asked for, and something was missed since: it is of no use.
    Stale,
    /// Everybody is known.
    Whole,
}

/// What a member has to ask next: for a page behind this peer, or the first one.
pub(super) type Question = Option<PeerId>;

impl View {
    /// Begins with the page in the answer to a join; returns what to ask.
    pub(super) fn begin(page: &Page) -> (Self, Option<Question>) {
        let mut view = Self {
            seq: 0,
            peers: BTreeSet::new(),
            stage: Stage::Reading,
        };
        let question = view.page(page, None);
        (view, question)
    }

    /// Returns everybody that is known, once that is everybody.
    pub fn whole(&self) -> Option<&BTreeSet<Arc<str>>> {
        (self.stage == Stage::Whole).then_some(&self.peers)
    }

    /// Takes the answer to a question; returns the next one.
    ///
    /// # Panics
    ///
    /// When it was not asked, or is older than what was told before it.
    pub(super) fn page(&mut self, page: &Page, after: Question) -> Option<Question> {
        assert!(page.seq >= self.seq, "an old page: {page:?}");
        match self.stage {
            Stage::Whole => panic!("nobody asked for {page:?}"),
            Stage::Stale => return self.begin_anew(),
            Stage::Reading => {}
        }
        if after.is_none() {
            self.peers.clear();
            self.seq = page.seq;
        }
        if page.seq != self.seq {
            // Batches were left out; the one that says so is on its way.
            return self.begin_anew();
        }
        self.peers.extend(page.peers.iter().cloned());
        if page.next.is_none() {
            self.stage = Stage::Whole;
        }
        page.next.map(Some)
    }

    /// Takes a batch; returns what to ask.
    pub(super) fn batch(&mut self, batch: &PresenceBatch) -> Option<Question> {
        if batch.sync == Sync::InOrder && batch.seq <= self.seq {
            return None;
        }
        let is_gap = batch.sync == Sync::Lost || batch.seq != self.seq + 1;
        self.seq = batch.seq.max(self.seq);
        if is_gap {
            return match self.stage {
                Stage::Whole => self.begin_anew(),
                Stage::Reading | Stage::Stale => {
                    self.stage = Stage::Stale;
                    None
                }
            };
        }
        self.peers.extend(batch.joined.iter().cloned());
        for peer in &batch.left {
            self.peers.remove(peer);
        }
        None
    }

    fn begin_anew(&mut self) -> Option<Question> {
        self.stage = Stage::Reading;
        Some(None)
    }
}
