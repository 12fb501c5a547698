//! Bytes straight on a star's stream, without Noise and Yamux.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    time::Duration,
};

use libp2p_core::{
    Endpoint, Transport as _,
    transport::{DialOpts, ListenerId, PortUse, TransportError, TransportEvent},
};
use libp2p_websocket_star::{
    self as websocket_star, Accept, Behaviour, Config, Error, Failure as StarFailure, Stream,
    Transport,
};
use starpoint_node::{Keypair, Multiaddr};
use starpoint_wire::StarAddress;
use tokio::task::JoinSet;

use crate::{
    commands::pipe::{
        self, Framing, PipeError,
        echo::{MAX_ECHOES, echo_report},
    },
    setup::{failure::star_failure, signals::Signals, stars::FirstAttempts},
    ui::{
        error::Failure,
        exit::Exit,
        report::{PipeReport, Reporter, one_line},
    },
};

/// Longest wait for the stars to have taken all.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// A transport without a swarm. It works only while it is driven.
struct Driven {
    transport: Transport,
    /// Without it, the transport has nobody to tell of peers.
    behaviour: Behaviour,
}

type Event = TransportEvent<Accept, StarFailure>;

impl Driven {
    fn new(config: Config, keypair: Keypair) -> Self {
        let (transport, behaviour) = websocket_star::new(config, keypair);
        Self {
            transport,
            behaviour,
        }
    }

    /// Waits for what the transport tells.
    async fn event(&mut self) -> Event {
        poll_fn(|cx| Pin::new(&mut self.transport).poll(cx)).await
    }

    /// Drives the transport until `work` is done. Dials that come meanwhile are
    /// refused.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            while Pin::new(&mut self.transport).poll(cx).is_ready() {}
            work.as_mut().poll(cx)
        })
        .await
    }

    async fn dial(&mut self, address: &Multiaddr) -> Result<Stream, TransportError<StarFailure>> {
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let dial = self.transport.dial(address.clone(), options)?;
        self.during(dial).await.map_err(TransportError::Other)
    }

    /// Leaves the stars, which have taken all that was sent then.
    async fn leave(self) {
        let Self {
            mut transport,
            behaviour,
        } = self;
        // Nobody takes what it is told any more, and nobody is to wait for that.
        drop(behaviour);
        let closer = transport.closer();
        let mut closed = pin!(closer.close(CLOSE_DEADLINE));
        let closed = poll_fn(|cx| {
            while Pin::new(&mut transport).poll(cx).is_ready() {}
            closed.as_mut().poll(cx)
        });
        if let Err(cut) = closed.await {
            tracing::warn!(
                n_stars = cut.n_stars,
                n_pipes = cut.n_pipes,
                "Not all that was sent has left"
            );
        }
    }
}

/// Dials and moves bytes between the peer and stdin and stdout.
pub(in crate::commands) async fn connect(
    config: Config,
    keypair: Keypair,
    address: &Multiaddr,
    reporter: Reporter,
) -> Result<Exit, Failure> {
    let Ok(star) = StarAddress::try_from(address) else {
        return Err(Failure::message(
            Exit::USAGE,
            format!("`{address}` is no address at a star"),
            "--raw works at stars only: /<host>/tcp/<port>/ws/p2p-websocket-star/p2p/<id>",
        ));
    };
    let mut driven = Driven::new(config, keypair);
    let stream = driven.dial(address).await.map_err(|error| match error {
        TransportError::Other(failure) => failed_dial(address, failure.reason()),
        TransportError::MultiaddrNotSupported(address) => {
            Failure::internal(anyhow::anyhow!("`{address}` is not supported"))
        }
    })?;
    let peer = star.peer().map(|peer| peer.to_string()).unwrap_or_default();
    reporter.tell(&PipeReport::Connected {
        peer: peer.clone(),
        address: Some(address.to_string()),
    })?;
    converse(driven, peer, stream, reporter).await
}

fn failed_dial(address: &Multiaddr, reason: &Error) -> Failure {
    let error = anyhow::Error::new(reason.clone());
    star_failure(
        error.context(format!("cannot reach the peer at `{address}`")),
        reason,
    )
}

async fn converse(
    mut driven: Driven,
    peer: String,
    stream: Stream,
    reporter: Reporter,
) -> Result<Exit, Failure> {
    let moved = driven.during(pipe::with_stdio(stream, Framing::Raw)).await;
    driven.leave().await;
    match moved {
        Ok(moved) => {
            reporter.tell(&PipeReport::Ended {
                peer,
                sent_bytes: moved.sent_bytes,
                received_bytes: moved.received_bytes,
            })?;
            Ok(Exit::OK)
        }
        Err(error) => PipeError::into_result(error),
    }
}

/// The stars at which this peer can be dialed.
pub(in crate::commands) struct Homes {
    driven: Driven,
    stars: Vec<(ListenerId, Multiaddr)>,
    attempts: FirstAttempts,
    reporter: Reporter,
}

/// An inbound dial that may be accepted.
struct Incoming {
    accept: Accept,
    address: Multiaddr,
}

impl Incoming {
    fn peer(&self) -> String {
        let star = StarAddress::try_from(&self.address).ok();
        let peer = star.and_then(|star| star.peer());
        peer.map(|peer| peer.to_string()).unwrap_or_default()
    }
}

impl Homes {
    pub(in crate::commands) fn new(
        config: Config,
        keypair: Keypair,
        stars: &[Multiaddr],
        reporter: Reporter,
    ) -> Result<Self, Failure> {
        let mut driven = Driven::new(config, keypair);
        let mut listeners = Vec::new();
        for star in stars {
            let id = ListenerId::next();
            driven
                .transport
                .listen_on(id, star.clone())
                .map_err(|error| Failure::new(Exit::LISTEN, error, "name each star once"))?;
            listeners.push((id, star.clone()));
        }
        Ok(Self {
            driven,
            stars: listeners,
            attempts: FirstAttempts::of(stars),
            reporter,
        })
    }

    /// Serves the first peer that comes.
    pub(in crate::commands) async fn converse(mut self) -> Result<Exit, Failure> {
        let (incoming, stream) = loop {
            let event = self.driven.event().await;
            let Some(mut incoming) = self.take(event)? else {
                continue;
            };
            let accepting = &mut incoming.accept;
            if let Ok(stream) = self.driven.during(accepting).await {
                break (incoming, stream);
            }
        };
        let peer = incoming.peer();
        self.reporter.tell(&connected(&incoming))?;
        converse(self.driven, peer, stream, self.reporter).await
    }

    /// Serves everybody until a signal.
    pub(in crate::commands) async fn echo(mut self, mut signals: Signals) -> Result<Exit, Failure> {
        let mut echoes = JoinSet::new();
        loop {
            tokio::select! {
                _ = signals.next() => break,
                Some(done) = echoes.join_next() => {
                    self.reporter.tell(&done.map_err(Failure::internal)?)?;
                }
                event = self.driven.event() => {
                    // Beyond the limit it is dropped, and so refused.
                    if let Some(incoming) = self.take(event)?
                        && echoes.len() < MAX_ECHOES
                    {
                        self.reporter.tell(&connected(&incoming))?;
                        echoes.spawn(echo(incoming));
                    }
                }
            }
        }
        echoes.shutdown().await;
        self.driven.leave().await;
        Ok(Exit::OK)
    }

    fn take(&mut self, event: Event) -> Result<Option<Incoming>, Failure> {
        match event {
            TransportEvent::Incoming {
                upgrade,
                send_back_addr,
                ..
            } => {
                return Ok(Some(Incoming {
                    accept: upgrade,
                    address: send_back_addr,
                }));
            }
            TransportEvent::NewAddress {
                listener_id,
                listen_addr,
            } => {
                if let Some(star) = self.star(listener_id) {
                    self.attempts.live(&star);
                }
                self.reporter.tell(&PipeReport::Listening {
                    address: listen_addr.to_string(),
                })?;
            }
            TransportEvent::ListenerError { listener_id, error } => {
                if let Some(star) = self.star(listener_id) {
                    self.lost(&star, error.reason().clone())?;
                }
            }
            TransportEvent::AddressExpired { .. } | TransportEvent::ListenerClosed { .. } => {}
        }
        Ok(None)
    }

    fn lost(&mut self, star: &Multiaddr, reason: Error) -> Result<(), Failure> {
        if self.attempts.waits_for(star) {
            return self.attempts.lost(star, reason);
        }
        self.reporter.tell(&PipeReport::StarLost {
            star: star.to_string(),
            reason: one_line(&reason),
        })
    }

    fn star(&self, listener: ListenerId) -> Option<Multiaddr> {
        let found = self.stars.iter().find(|(id, _)| *id == listener);
        found.map(|(_, star)| star.clone())
    }
}

fn connected(incoming: &Incoming) -> PipeReport {
    PipeReport::Connected {
        peer: incoming.peer(),
        address: Some(incoming.address.to_string()),
    }
}

async fn echo(incoming: Incoming) -> PipeReport {
    let peer = incoming.peer();
    let done = match incoming.accept.await {
        Ok(stream) => pipe::echo(stream, Framing::Raw).await,
        Err(error) => Err(std::io::Error::other(error)),
    };
    echo_report(peer, done)
}
