//! What a swarm learns from its stars.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use futures_channel::mpsc;
use futures_util::StreamExt as _;
use libp2p_core::{Endpoint, Multiaddr, transport::PortUse};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use starpoint_wire::StarAddress;

use crate::{
    close::Closer, error::Error, gauges::Gauges, machine::presence::Change, net::Notice,
    shared::ExternalAddresses,
};

/// Tells the swarm of homes and of the peers at them, and knows where a peer can
/// be dialed. Made by [`new`](crate::new); it never dials.
///
/// * While a home is live, its address is an external address of the swarm, so
///   that identify, kad and the like tell others of it.
/// * Each peer at a home is a
///   [`NewExternalAddrOfPeer`](ToSwarm::NewExternalAddrOfPeer).
/// * A dial to a peer without addresses, or with
///   [`extend_addresses_through_behaviour`](libp2p_swarm::dial_opts::WithPeerIdWithAddresses::extend_addresses_through_behaviour),
///   tries the peer's addresses at the homes that are live.
pub struct Behaviour {
    own: PeerId,
    notices: mpsc::Receiver<Notice>,
    homes: HashMap<StarAddress, Home>,
    /// At how many homes each peer is.
    peers: BTreeMap<PeerId, Vec<StarAddress>>,
    /// Handed out one by one; holds what one notice leads to.
    actions: VecDeque<Action>,
    gauges: Gauges,
    external: ExternalAddresses,
    closer: Closer,
}

type Action = ToSwarm<Event, std::convert::Infallible>;

#[derive(Default)]
struct Home {
    peers: BTreeSet<PeerId>,
    address: Option<Multiaddr>,
}

/// What a [`Behaviour`] reports.
#[derive(Clone, Debug)]
pub enum Event {
    /// A home is about to be connected, for the first time or again.
    HomeConnecting {
        /// The star.
        star: Multiaddr,
    },
    /// Peers can dial this one at the star.
    HomeLive {
        /// The star.
        star: Multiaddr,
        /// Where this peer can be dialed: the star with the own id.
        address: Multiaddr,
    },
    /// An attempt to connect a home failed, or a live one is lost.
    HomeLost {
        /// The star.
        star: Multiaddr,
        /// Why.
        reason: Error,
        /// Time to the next attempt; `None` when the listener was removed.
        retry_in: Option<Duration>,
    },
    /// A peer is at a home.
    PeerJoined {
        /// The peer; who says so is the star, and only a connection proves it.
        peer: PeerId,
        /// Where it can be dialed: the home with the peer's id.
        address: Multiaddr,
    },
    /// A peer is not at the home any more, or the home is lost.
    PeerLeft {
        /// The peer.
        peer: PeerId,
        /// Where it could be dialed.
        address: Multiaddr,
    },
}

impl Behaviour {
    pub(crate) fn new(
        own: PeerId,
        notices: mpsc::Receiver<Notice>,
        gauges: Gauges,
        external: ExternalAddresses,
        closer: Closer,
    ) -> Self {
        Self {
            own,
            notices,
            homes: HashMap::new(),
            peers: BTreeMap::new(),
            actions: VecDeque::new(),
            gauges,
            external,
            closer,
        }
    }

    /// Returns the peers that are at a home now, each with the addresses at which
    /// it can be dialed, ordered by id.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, Vec<Multiaddr>)> + '_ {
        let addresses = |(peer, stars): (&PeerId, &Vec<StarAddress>)| {
            let addresses = stars.iter().map(|star| at(star, *peer)).collect();
            (*peer, addresses)
        };
        self.peers.iter().map(addresses)
    }

    /// Returns the own addresses at the homes that are live, in no order.
    pub fn live_homes(&self) -> impl Iterator<Item = &Multiaddr> + '_ {
        self.homes.values().filter_map(|home| home.address.as_ref())
    }

    /// Returns a handle that says how much the transport holds.
    pub fn gauges(&self) -> Gauges {
        self.gauges.clone()
    }

    /// Returns a handle that closes the transport in good order.
    pub fn closer(&self) -> Closer {
        self.closer.clone()
    }

    fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::Connecting(star) => self.report(Event::HomeConnecting {
                star: star.to_multiaddr(),
            }),
            Notice::Live(star, address) => {
                self.homes.entry(star.clone()).or_default().address = Some(address.clone());
                self.actions
                    .push_back(ToSwarm::ExternalAddrConfirmed(address.clone()));
                self.report(Event::HomeLive {
                    star: star.to_multiaddr(),
                    address,
                });
            }
            Notice::Lost(star, reason, retry_in) => self.lost(&star, reason, retry_in),
            Notice::Addresses(peer_id, addresses) => {
                let learned = addresses
                    .into_iter()
                    .map(|address| ToSwarm::NewExternalAddrOfPeer { peer_id, address });
                self.actions.extend(learned);
            }
            Notice::Peer(star, Change::Joined(peer)) => self.joined(&star, peer),
            Notice::Peer(star, Change::Left(peer)) => {
                if let Some(home) = self.homes.get_mut(&star) {
                    home.peers.remove(&peer);
                }
                self.left(&star, peer);
            }
        }
    }

    fn lost(&mut self, star: &StarAddress, reason: Error, retry_in: Option<Duration>) {
        let home = self.homes.remove(star).unwrap_or_default();
        if let Some(address) = home.address {
            self.actions
                .push_back(ToSwarm::ExternalAddrExpired(address));
        }
        self.report(Event::HomeLost {
            star: star.to_multiaddr(),
            reason,
            retry_in,
        });
        for peer in home.peers {
            self.left(star, peer);
        }
    }

    fn joined(&mut self, star: &StarAddress, peer: PeerId) {
        if peer == self.own
            || !self
                .homes
                .entry(star.clone())
                .or_default()
                .peers
                .insert(peer)
        {
            return;
        }
        self.peers.entry(peer).or_default().push(star.clone());
        let address = at(star, peer);
        self.actions.push_back(ToSwarm::NewExternalAddrOfPeer {
            peer_id: peer,
            address: address.clone(),
        });
        self.report(Event::PeerJoined { peer, address });
    }

    fn left(&mut self, star: &StarAddress, peer: PeerId) {
        let Some(stars) = self.peers.get_mut(&peer) else {
            return;
        };
        stars.retain(|other| other != star);
        if stars.is_empty() {
            self.peers.remove(&peer);
        }
        let address = at(star, peer);
        self.report(Event::PeerLeft { peer, address });
    }

    fn report(&mut self, event: Event) {
        self.actions.push_back(ToSwarm::GenerateEvent(event));
    }
}

fn at(star: &StarAddress, peer: PeerId) -> Multiaddr {
    star.with_peer(peer).to_multiaddr()
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let known = peer.and_then(|peer| Some((peer, self.peers.get(&peer)?)));
        match known {
            Some((peer, stars)) if role.is_dialer() => {
                Ok(stars.iter().map(|star| at(star, peer)).collect())
            }
            Some(_) | None => Ok(Vec::new()),
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows")]
    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ExternalAddrConfirmed(confirmed) => {
                self.external.confirmed(confirmed.addr.clone());
            }
            FromSwarm::ExternalAddrExpired(expired) => self.external.expired(expired.addr),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Poll::Ready(action);
            }
            match self.notices.poll_next_unpin(cx) {
                Poll::Ready(Some(notice)) => self.noticed(notice),
                // Without the transport there is no news any more.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("n_homes", &self.homes.len())
            .field("n_peers", &self.peers.len())
            .finish_non_exhaustive()
    }
}
