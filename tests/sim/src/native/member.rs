//! One native connection, and what its client makes of what it is told.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use libp2p_identity::PeerId;
use starpoint_broker::AckId;
use starpoint_wire::native::{self, Hello, Namespace, PresenceBatch};

use super::View;
use crate::client::Pace;

/// A native connection.
#[derive(Debug)]
pub struct Member {
    /// How fast it reads.
    pub pace: Pace,
    /// Which identity it has.
    pub(super) identity: usize,
    pub(super) peer: PeerId,
    /// Where it wants to be.
    pub(super) namespaces: Vec<Namespace>,
    /// Since when it is connected.
    pub(super) since: Instant,
    /// What is on its way to the star.
    pub(super) calls: VecDeque<Call>,
    /// What is on its way from the star.
    pub(super) told: VecDeque<Told>,
    /// Calls that the star has not answered.
    pub(super) asked: BTreeMap<AckId, Call>,
    /// Whether it has come back, as the model has it; `None` before the join.
    pub(super) is_resumed: Option<bool>,
    /// Another connection has taken its address.
    pub(super) is_evicted: bool,
    /// The star does not read from it.
    pub(super) is_paused: bool,
    pub(super) views: BTreeMap<Namespace, View>,
    /// How many batches it has read.
    pub n_batches: usize,
}

/// What a client says.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Join(Box<Hello>),
    Leave,
    Peers(Namespace, Option<PeerId>),
}

/// What a star says.
#[derive(Debug)]
pub(super) enum Told {
    Hello(Box<Hello>),
    Batch(Arc<PresenceBatch>),
    Reply(Call, Box<native::Reply>),
    /// Something that is not about presence.
    Nothing,
}

impl Member {
    pub(super) fn new(
        identity: usize,
        peer: PeerId,
        namespaces: Vec<Namespace>,
        pace: Pace,
        since: Instant,
    ) -> Self {
        Self {
            pace,
            identity,
            peer,
            namespaces,
            since,
            calls: VecDeque::new(),
            told: VecDeque::new(),
            asked: BTreeMap::new(),
            is_resumed: None,
            is_evicted: false,
            is_paused: false,
            views: BTreeMap::new(),
            n_batches: 0,
        }
    }

    /// Takes what the star has said.
    pub(super) fn read(&mut self, told: Told) {
        match told {
            Told::Hello(hello) => self.calls.push_back(Call::Join(hello)),
            Told::Batch(batch) => {
                self.n_batches += 1;
                let view = self.views.get_mut(&batch.namespace);
                let view = view.expect("a batch behind the answer to the join");
                if let Some(after) = view.batch(&batch) {
                    self.calls
                        .push_back(Call::Peers(batch.namespace.clone(), after));
                }
            }
            Told::Reply(call, reply) => self.read_reply(call, *reply),
            Told::Nothing => {}
        }
    }

    fn read_reply(&mut self, call: Call, reply: native::Reply) {
        match (call, reply) {
            (Call::Join(_), native::Reply::Joined { pages, .. }) => {
                for page in pages {
                    let (view, question) = View::begin(&page);
                    self.views.insert(page.namespace.clone(), view);
                    if let Some(after) = question {
                        self.calls.push_back(Call::Peers(page.namespace, after));
                    }
                }
            }
            (Call::Peers(namespace, after), native::Reply::Page(page)) => {
                let view = self.views.get_mut(&namespace).expect("it has joined");
                if let Some(after) = view.page(&page, after) {
                    self.calls.push_back(Call::Peers(namespace, after));
                }
            }
            // Refused, or gone.
            (Call::Join(_) | Call::Leave | Call::Peers(..), _) => {}
        }
    }
}
