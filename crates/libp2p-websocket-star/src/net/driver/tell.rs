//! What a driver tells the transport and the behaviour.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures_channel::mpsc;
use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use starpoint_wire::StarAddress;

use super::{Driver, DriverId, Link, Role};
use crate::{
    error::Error,
    machine::presence::Change,
    net::{accept::Accept, session::Session},
};

/// What a driver tells the transport.
pub(crate) enum Report {
    /// The home can be dialed.
    Live,
    /// The home cannot be dialed any more, or not yet.
    Lost(Error),
    Incoming(PeerId, Accept),
}

/// What a driver tells the behaviour.
#[derive(Debug)]
pub(crate) enum Notice {
    Connecting(StarAddress),
    Live(StarAddress, Multiaddr),
    /// With the time to the next attempt; without one the listener was removed.
    Lost(StarAddress, Error, Option<Duration>),
    Peer(StarAddress, Change),
    /// Where else a peer can be found, by its own signed word.
    Addresses(PeerId, Vec<Multiaddr>),
}

/// Where a driver tells its news.
pub(crate) struct Outlets {
    pub(crate) reports: mpsc::Sender<(DriverId, Report)>,
    pub(crate) notices: mpsc::Sender<Notice>,
}

impl Driver {
    /// Tells what there is room for. Returns whether the transport still listens.
    pub(super) fn poll_tell(&mut self, cx: &mut Context<'_>) -> bool {
        while !self.unsent_reports.is_empty() {
            match self.outlets.reports.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return false,
                Poll::Pending => break,
            }
            if let Some(report) = self.unsent_reports.pop_front()
                && self.outlets.reports.start_send((self.id, report)).is_err()
            {
                return false;
            }
        }
        self.poll_notices(cx);
        true
    }

    fn poll_notices(&mut self, cx: &mut Context<'_>) {
        while !self.unsent_notices.is_empty() || self.has_changes() {
            match self.outlets.notices.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                // Without a behaviour nobody wants to know.
                Poll::Ready(Err(_)) => {
                    self.unsent_notices.clear();
                    while self.next_change().is_some() {}
                    return;
                }
                Poll::Pending => return,
            }
            let notice = self.unsent_notices.pop_front().or_else(|| {
                let star = self.star.clone();
                self.next_change().map(|change| Notice::Peer(star, change))
            });
            if let Some(notice) = notice {
                // Fails only if the behaviour has gone since it was asked.
                let _ = self.outlets.notices.start_send(notice);
            }
        }
    }

    fn has_changes(&mut self) -> bool {
        self.live_home()
            .is_some_and(|session| session.presence().has_changes())
    }

    fn next_change(&mut self) -> Option<Change> {
        self.live_home()?.presence().next_change()
    }

    fn live_home(&mut self) -> Option<&mut Session> {
        if let (Link::Live(session), Role::Home(_)) = (&mut self.link, &self.role) {
            Some(session)
        } else {
            None
        }
    }
}
