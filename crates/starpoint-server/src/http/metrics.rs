//! `GET /metrics`: the seven names of the original, and ours.

use std::{fmt, sync::Arc};

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};
use starpoint_wire::{CallKind, Cut, Refusal};

use crate::{
    connections::Numbers,
    star::Snapshot,
    tally::{CloseCause, Tally},
};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Renders the metrics of one moment.
///
pub(super) fn render(snapshot: &Snapshot, sockets: Sockets) -> Response {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(StarCollector {
        snapshot: snapshot.clone(),
        sockets,
    }));
    let mut body = String::new();
    match text::encode(&mut body, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "Metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The numbers of the sockets, which the star does not know.
#[derive(Debug)]
pub(super) struct Sockets {
    /// What all pipes have carried so far.
    pub(super) bytes_piped: u64,
    /// What waits anywhere in the server.
    pub(super) held_bytes: usize,
    pub(super) tally: Arc<Tally>,
    pub(super) connections: Numbers,
}

/// Turns a snapshot into metrics.
#[derive(Debug)]
struct StarCollector {
    snapshot: Snapshot,
    sockets: Sockets,
}

impl Collector for StarCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.historic(&mut encoder)?;
        self.outcomes(&mut encoder)?;
        self.flow(&mut encoder)?;
        self.sockets(&mut encoder)?;
        self.connections(&mut encoder)?;
        let help = "Build of this star; always 1";
        let mut info = family(
            &mut encoder,
            "starpoint_build_info",
            help,
            MetricType::Gauge,
        )?;
        info.encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?
            .encode_gauge(&1u64)
    }
}

impl StarCollector {
    /// Names and meanings of the original server. It has counters whose names do
    /// not end in `_total`; those go out as gauges to keep the names.
    fn historic(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (counters, gauges) = (&self.snapshot.counters, &self.snapshot.gauges);
        gauge(
            encoder,
            "rendezvous_peers",
            "Peers online now",
            gauges.peers as u64,
        )?;
        let families = [
            (
                "rendezvous_dials",
                "Dials",
                counters.dials,
                counters.dials_succeeded,
                counters.dials_failed,
            ),
            (
                "rendezvous_joins",
                "Joins",
                counters.joins,
                counters.joins_succeeded,
                counters.joins_failed,
            ),
        ];
        for (name, help, total, success, failure) in families {
            counter(encoder, name, help, total)?;
            let names = [("success", success), ("failure", failure)];
            for (outcome, value) in names {
                gauge(
                    encoder,
                    &format!("{name}_total_{outcome}"),
                    &format!("{help} that ended in {outcome}"),
                    value,
                )?;
            }
        }
        Ok(())
    }

    fn outcomes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counters = &self.snapshot.counters;
        let by_star = counters.dials_failed - counters.dials_refused_by_peer;
        let name = "starpoint_dials";
        let outcomes = [
            ("connected", counters.dials_succeeded),
            ("refused-by-peer", counters.dials_refused_by_peer),
            ("refused", by_star),
        ];
        counters_by(encoder, name, "Dials by outcome", "outcome", outcomes)?;
        let name = "starpoint_joins";
        let outcomes = [
            ("joined", counters.joins_succeeded),
            ("refused", counters.joins_failed),
        ];
        counters_by(encoder, name, "Joins by outcome", "outcome", outcomes)?;
        let refusals = Refusal::ALL.map(|refusal| {
            let count = counters.refusals.get(&refusal).copied();
            (refusal.code(), count.unwrap_or_default())
        });
        let name = "starpoint_refusals";
        counters_by(encoder, name, "Refused calls by code", "code", refusals)?;
        let cuts = Cut::ALL.map(|cut| {
            let count = counters.cuts.get(&cut).copied();
            (cut.code(), count.unwrap_or_default())
        });
        let help = "Streams ended by the star, by code";
        counters_by(encoder, "starpoint_stream_cuts", help, "code", cuts)?;
        let malformed = CallKind::ALL.map(|kind| {
            let count = counters.malformed.get(&kind).copied();
            (kind.as_str(), count.unwrap_or_default())
        });
        let help = "Packets that were no call, by what they meant to be";
        counters_by(
            encoder,
            "starpoint_malformed_calls",
            help,
            "call",
            malformed,
        )?;
        counter(
            encoder,
            "starpoint_stray_stream_events",
            "Stream events without such a stream",
            counters.stray_stream_events,
        )?;
        counter(
            encoder,
            "starpoint_takeovers",
            "Addresses that moved to a newer connection",
            counters.takeovers,
        )
    }

    fn sockets(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let tally = &self.sockets.tally;
        counter(
            encoder,
            "starpoint_websocket_pings",
            "WebSocket pings of clients",
            tally.n_pings(),
        )?;
        counter(
            encoder,
            "starpoint_websocket_pongs_left_out",
            "Pings answered with the pong of a later one",
            tally.n_pongs_left_out(),
        )?;
        let closed = CloseCause::ALL.map(|cause| (cause.as_str(), tally.n_closed(cause)));
        let help = "Connections that the server broke off, by reason";
        counters_by(
            encoder,
            "starpoint_connections_broken_off",
            help,
            "reason",
            closed,
        )
    }

    fn flow(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (counters, gauges) = (&self.snapshot.counters, &self.snapshot.gauges);
        let totals = [
            (
                "starpoint_relayed_bytes",
                "Bytes handed to readers",
                counters.bytes_relayed,
            ),
            (
                "starpoint_piped_bytes",
                "Bytes carried by pipes",
                self.sockets.bytes_piped,
            ),
            (
                "starpoint_announcements",
                "Announcements of a peer to another",
                counters.announcements,
            ),
            (
                "starpoint_presence_batches",
                "Batches of presence sent to native peers",
                counters.presence_batches,
            ),
            (
                "starpoint_read_pauses",
                "Times that a connection was not read for a while",
                counters.pauses,
            ),
        ];
        for (name, help, value) in totals {
            counter(encoder, name, help, value)?;
        }
        let now = [
            (
                "starpoint_connections",
                "Connections that have said something",
                gauges.connections,
            ),
            (
                "starpoint_peers_away",
                "Native peers in their grace period",
                gauges.away,
            ),
            ("starpoint_links", "Dialed connections", gauges.links),
            (
                "starpoint_streams_open",
                "Streams that have not ended",
                gauges.streams,
            ),
            ("starpoint_pipes_open", "Open pipes", gauges.pipes),
            (
                "starpoint_queued_bytes",
                "Bytes that wait for a reader or for the rest of a message",
                self.sockets.held_bytes,
            ),
            (
                "starpoint_connections_paused",
                "Connections that are not read now",
                gauges.paused,
            ),
        ];
        for (name, help, value) in now {
            gauge(encoder, name, help, value as u64)?;
        }
        Ok(())
    }
}

impl StarCollector {
    /// The sockets, whatever is behind them.
    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let numbers = &self.sockets.connections;
        let now = [
            (
                "starpoint_sockets",
                "Open TCP connections",
                numbers.connections,
            ),
            (
                "starpoint_sources",
                "Networks that have a TCP connection",
                numbers.sources,
            ),
        ];
        for (name, help, value) in now {
            gauge(encoder, name, help, value as u64)?;
        }
        let reasons = [
            ("star-full", numbers.star_full),
            ("source-full", numbers.source_full),
            ("idle", numbers.shed),
        ];
        let help = "TCP connections without a place, by reason";
        let name = "starpoint_connections_refused";
        counters_by(encoder, name, help, "reason", reasons)
    }
}

fn family<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &'e str,
    kind: MetricType,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, kind)
}

fn counter(e: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let mut metric = family(e, name, help, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn gauge(e: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let mut metric = family(e, name, help, MetricType::Gauge)?;
    metric.encode_gauge(&value)
}

fn counters_by<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: [(&str, u64); N],
) -> fmt::Result {
    let mut metric = family(encoder, name, help, MetricType::Counter)?;
    for (value, count) in values {
        let labels = [(label, value)];
        let mut sample = metric.encode_family(&labels)?;
        sample.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
    }
    Ok(())
}
