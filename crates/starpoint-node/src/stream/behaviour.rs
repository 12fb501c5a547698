//! Streams of plain bytes, for the swarm.

use std::{
    collections::VecDeque,
    convert::Infallible,
    task::{Context, Poll, Waker},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

use super::{
    Inlets,
    handler::{Handler, Request},
};

/// Hands requests to connections. It never dials and spawns nothing.
#[derive(Default)]
pub(crate) struct Behaviour {
    inlets: Inlets,
    requests: VecDeque<(PeerId, Request)>,
    waker: Option<Waker>,
}

impl Behaviour {
    /// Returns where protocols are taken; all ends with this behaviour.
    pub(crate) fn inlets(&self) -> Inlets {
        self.inlets.clone()
    }

    /// Opens a stream in any connection to `peer`. Without one the reply is
    /// dropped.
    pub(crate) fn open(&mut self, peer: PeerId, request: Request) {
        self.requests.push_back((peer, request));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Behaviour {
    fn drop(&mut self) {
        self.inlets.stop();
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(peer, self.inlets()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(peer, self.inlets()))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

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
        while let Some((peer_id, event)) = self.requests.pop_front() {
            if !event.reply.is_closed() {
                return Poll::Ready(ToSwarm::NotifyHandler {
                    peer_id,
                    handler: NotifyHandler::Any,
                    event,
                });
            }
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
