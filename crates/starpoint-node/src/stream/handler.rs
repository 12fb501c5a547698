//! The streams of one connection.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    PeerId, StreamProtocol,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};
use tokio::sync::oneshot;

use super::{Inlets, Stream};
use crate::error::OpenStreamError;

/// Time for a peer to agree to a stream and its protocol, either way.
pub(crate) const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// Somebody waits for a stream; who has dropped the receiver waits no more, and
/// what was opened for it is reset.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) protocol: StreamProtocol,
    pub(crate) reply: oneshot::Sender<Result<Stream, OpenStreamError>>,
}

impl Request {
    fn answer(self, answer: Result<Stream, OpenStreamError>) {
        // Nobody waits any more. Dropping a stream resets it.
        drop(self.reply.send(answer));
    }
}

/// Opens the streams that are asked for and delivers those that come.
///
/// A request is answered exactly once: with its stream, with an error, or, when
/// the connection ends first, by the drop of its reply.
pub(crate) struct Handler {
    peer: PeerId,
    inlets: Inlets,
    /// Not yet asked of the connection; from there on a request goes with its
    /// stream.
    requests: VecDeque<Request>,
}

impl Handler {
    pub(super) fn new(peer: PeerId, inlets: Inlets) -> Self {
        Self {
            peer,
            inlets,
            requests: VecDeque::new(),
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Request;
    type ToBehaviour = Infallible;
    type InboundProtocol = Plain;
    type OutboundProtocol = Plain;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Request;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(Plain(self.inlets.protocols()), ()).with_timeout(OPEN_DEADLINE)
    }

    /// A stream that is open, or being opened by the connection, keeps it alive by
    /// itself.
    fn connection_keep_alive(&self) -> bool {
        !self.requests.is_empty()
    }

    fn on_behaviour_event(&mut self, request: Request) {
        self.requests.push_back(request);
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Request, Self::ToBehaviour>> {
        while let Some(request) = self.requests.pop_front() {
            if request.reply.is_closed() {
                continue;
            }
            let upgrade = Plain(vec![request.protocol.clone()]);
            let protocol = SubstreamProtocol::new(upgrade, request).with_timeout(OPEN_DEADLINE);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        // The connection polls again after each event that it hands over.
        Poll::Pending
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is foreign and may grow"
    )]
    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), Request>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (protocol, stream),
                info: (),
            }) => self.inlets.deliver(self.peer, &protocol, stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (_, stream),
                info: request,
            }) => request.answer(Ok(stream)),
            ConnectionEvent::DialUpgradeError(DialUpgradeError {
                error,
                info: request,
            }) => {
                let error = match error {
                    StreamUpgradeError::Timeout => OpenStreamError::Timeout,
                    StreamUpgradeError::NegotiationFailed => {
                        OpenStreamError::Unsupported(request.protocol.clone())
                    }
                    StreamUpgradeError::Io(error) => OpenStreamError::Lost(error),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                request.answer(Err(error));
            }
            _ => {}
        }
    }
}

/// Agrees on one of these protocols and does nothing more.
pub(crate) struct Plain(Vec<StreamProtocol>);

impl UpgradeInfo for Plain {
    type Info = StreamProtocol;
    type InfoIter = Vec<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone()
    }
}

impl InboundUpgrade<Stream> for Plain {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((protocol, stream)))
    }
}

impl OutboundUpgrade<Stream> for Plain {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((protocol, stream)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(error: StreamUpgradeError<Infallible>) -> OpenStreamError {
        let mut handler = Handler::new(PeerId::random(), Inlets::default());
        let (reply, mut answer) = oneshot::channel();
        let protocol = StreamProtocol::new("/test/1");
        let info = Request { protocol, reply };
        let failed = DialUpgradeError { info, error };
        handler.on_connection_event(ConnectionEvent::DialUpgradeError(failed));
        answer
            .try_recv()
            .expect("it is answered")
            .expect_err("it has failed")
    }

    #[test]
    fn every_failure_has_an_error_of_its_own() {
        assert!(matches!(
            failed(StreamUpgradeError::Timeout),
            OpenStreamError::Timeout
        ));
        assert!(matches!(
            failed(StreamUpgradeError::NegotiationFailed),
            OpenStreamError::Unsupported(_)
        ));
        assert!(matches!(
            failed(StreamUpgradeError::Io(
                std::io::ErrorKind::BrokenPipe.into()
            )),
            OpenStreamError::Lost(_)
        ));
    }

    #[test]
    fn a_request_keeps_the_connection_until_it_is_passed_on() {
        let mut handler = Handler::new(PeerId::random(), Inlets::default());
        let protocol = StreamProtocol::new("/test/1");
        let (reply, answer) = oneshot::channel();
        drop(answer);
        handler.on_behaviour_event(Request {
            protocol: protocol.clone(),
            reply,
        });
        let (reply, _answer) = oneshot::channel();
        handler.on_behaviour_event(Request { protocol, reply });
        assert!(handler.connection_keep_alive());

        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(handler.poll(&mut cx).is_ready());
        // The first one had been given up.
        assert!(handler.poll(&mut cx).is_pending());
        assert!(!handler.connection_keep_alive());
    }
}
