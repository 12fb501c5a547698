//! What the incremental numbers of a broker have to be, counted from scratch.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use starpoint_wire::Direction;

use super::Broker;
use crate::{
    admission::Occupancy,
    counters::Gauges,
    id::{ConnId, SourceId},
    legacy::link::{Link, Phase},
    native::pipes::PipeCounts,
    tally::Tally,
};

/// Everything that is counted twice: by walking, and as it was kept.
///
/// Two of them that are equal prove that nothing was forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The gauges.
    pub gauges: Gauges,
    /// Relayed bytes by the source of their writer, sources without any left out.
    pub relayed: BTreeMap<SourceId, usize>,
    links: Tally<ConnId>,
    occupancy: Occupancy,
    pipes: PipeCounts,
}

impl<R: CryptoRng> Broker<R> {
    /// Returns what the broker keeps up to date.
    pub fn kept(&self) -> Audit {
        Audit {
            gauges: self.gauges(),
            relayed: self.account.by_source().clone(),
            links: self.link_tally.clone(),
            occupancy: self.admission.occupancy(),
            pipes: self.pipes.kept(),
        }
    }

    /// Counts the same from scratch. Walks everything: for tests.
    pub fn recounted(&self) -> Audit {
        let mut relayed = BTreeMap::new();
        let mut links = Tally::default();
        for link in self.links.values() {
            links.dialed(&link.route());
            links.asked(&link.route());
            if link.phase == Phase::Open {
                links.opened(&link.route());
            }
            for direction in [Direction::Dialer, Direction::Listener] {
                let waiting = link.half(direction).recount();
                *relayed.entry(link.writer_source(direction)).or_default() += waiting;
            }
        }
        for connection in self.conns.values() {
            for (source, bytes) in connection.outbox.relayed_in_flight() {
                *relayed.entry(source).or_default() += bytes;
            }
        }
        relayed.retain(|_, bytes| *bytes > 0);
        let pipes = self.pipes.recounted();
        let gauges = Gauges {
            connections: self.conns.len(),
            peers: self.directory.len(),
            away: self.away.len(),
            links: self.links.len(),
            streams: self.links.values().map(Link::n_streams).sum(),
            pipes: pipes.n_open,
            bytes_queued: relayed.values().sum(),
            paused: self
                .conns
                .values()
                .filter(|connection| !connection.pauses.is_empty())
                .count(),
        };
        Audit {
            gauges,
            relayed,
            links,
            occupancy: self.recount_occupancy(),
            pipes,
        }
    }

    fn recount_occupancy(&self) -> Occupancy {
        let mut occupancy = Occupancy::default();
        for connection in self.conns.values() {
            let n_visitors = usize::from(connection.is_visitor());
            let n_slots = connection.addresses.len() + n_visitors;
            *occupancy.slots.entry(connection.source).or_default() += n_slots;
        }
        for away in self.away.values() {
            *occupancy.in_grace.entry(away.source).or_default() += 1;
        }
        occupancy.slots.retain(|_, n_slots| *n_slots > 0);
        occupancy
    }
}
