//! A party that is a star's transport and nothing else.

use std::future::poll_fn;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use libp2p::{
    Multiaddr, Transport as _,
    core::{
        Endpoint,
        transport::{DialOpts, ListenerId, PortUse, TransportEvent},
    },
    identity::Keypair,
};
use libp2p_websocket_star::{self as websocket_star, Failure, Stream, Transport};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use super::{Address, ByteStream, StarEntrance, greet};

type Dial = BoxFuture<'static, Result<Stream, Failure>>;

/// Dials that the task has not begun with.
const MAX_DIALS: usize = 16;

pub(super) struct StarPeer {
    address: Address,
    dials: mpsc::Sender<DialRequest>,
    _task: AbortOnDropHandle<()>,
}

struct DialRequest {
    address: Multiaddr,
    reply: oneshot::Sender<anyhow::Result<Dial>>,
}

impl StarPeer {
    pub(super) async fn join(
        star: &StarEntrance,
        streams: mpsc::Sender<ByteStream>,
    ) -> anyhow::Result<Self> {
        let keypair = Keypair::generate_ed25519();
        let own = keypair.public().to_peer_id();
        // Without its behaviour the transport tells nobody who is there.
        let (mut transport, _) = websocket_star::new(star.config.clone(), keypair);
        transport.listen_on(ListenerId::next(), star.address.to_multiaddr())?;
        let (dials, requests) = mpsc::channel(MAX_DIALS);
        let (live, is_live) = oneshot::channel();
        let task = Task {
            transport,
            requests,
            streams,
            live: Some(live),
            greetings: JoinSet::new(),
        };
        let task = AbortOnDropHandle::new(tokio::spawn(task.run()));
        is_live.await.context("the party has ended")??;
        Ok(Self {
            address: Address::Peer(own, star.address.with_peer(own).to_multiaddr()),
            dials,
            _task: task,
        })
    }

    pub(super) fn address(&self) -> Address {
        self.address.clone()
    }

    pub(super) async fn dial(&self, address: &Multiaddr) -> anyhow::Result<ByteStream> {
        let (reply, dial) = oneshot::channel();
        let request = DialRequest {
            address: address.clone(),
            reply,
        };
        let is_gone = "the party has ended";
        self.dials.send(request).await.ok().context(is_gone)?;
        let stream = dial.await.context(is_gone)??.await?;
        Ok(Box::new(stream))
    }
}

/// Owns the transport.
struct Task {
    transport: Transport,
    requests: mpsc::Receiver<DialRequest>,
    streams: mpsc::Sender<ByteStream>,
    live: Option<oneshot::Sender<Result<(), Failure>>>,
    greetings: JoinSet<()>,
}

impl Task {
    async fn run(mut self) {
        loop {
            let transport = &mut self.transport;
            tokio::select! {
                event = poll_fn(|cx| Pin::new(&mut *transport).poll(cx)) => self.handle(event),
                request = self.requests.recv() => match request {
                    Some(request) => self.dial(request),
                    None => return,
                },
                Some(_) = self.greetings.join_next() => {}
            }
        }
    }

    fn handle(&mut self, event: TransportEvent<websocket_star::Accept, Failure>) {
        match event {
            TransportEvent::NewAddress { .. } => self.tell_live(Ok(())),
            TransportEvent::ListenerError { error, .. } => self.tell_live(Err(error)),
            TransportEvent::Incoming { upgrade, .. } => {
                let streams = self.streams.clone();
                self.greetings.spawn(async move {
                    if let Ok(stream) = upgrade.await {
                        // A stream that broke is told to its caller.
                        let _ = greet(Box::new(stream), streams).await;
                    }
                });
            }
            TransportEvent::AddressExpired { .. } | TransportEvent::ListenerClosed { .. } => {}
        }
    }

    fn tell_live(&mut self, outcome: Result<(), Failure>) {
        if let Some(live) = self.live.take() {
            // Who waits may have given up.
            let _ = live.send(outcome);
        }
    }

    fn dial(&mut self, request: DialRequest) {
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::Reuse,
        };
        let dial = self.transport.dial(request.address, options);
        // Who waits may have given up.
        let _ = request.reply.send(dial.map_err(Into::into));
    }
}
