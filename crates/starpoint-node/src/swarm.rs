//! A swarm of all transports.

use std::{io, sync::Arc};

use futures_util::future::Either;
use libp2p::{
    PeerId, Swarm, Transport as _,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    dns, noise, swarm, tcp, yamux,
};
use libp2p_websocket_star as websocket_star;

use crate::{behaviour::Behaviour, config::Config, error::StartError};

type Encrypted = Boxed<(PeerId, StreamMuxerBox)>;

/// Builds a swarm that listens on nothing yet. Has to be called in a runtime.
pub(crate) fn build(config: &Config) -> Result<Swarm<Behaviour>, StartError> {
    let mut star_config = config.star.clone();
    if star_config.executor.is_none() {
        star_config.executor = Some(Arc::new(|task| drop(tokio::spawn(task))));
    }
    let (star, star_behaviour) = websocket_star::new(star_config, config.keypair.clone());

    let noise = noise::Config::new(&config.keypair)
        .map_err(|error| StartError::Key(io::Error::other(error)))?;
    let star = star
        .upgrade(Version::V1)
        .authenticate(noise.clone())
        .multiplex(multiplexer(config))
        .timeout(config.star.dial_deadline + config.dial_deadline)
        .boxed();
    // Before dns, which would take every address with a name.
    let transport = either(star, named(config, &noise));

    let settings =
        swarm::Config::with_tokio_executor().with_idle_connection_timeout(config.idle_timeout);
    let behaviour = Behaviour::new(config, star_behaviour);
    Ok(Swarm::new(transport, behaviour, config.peer_id(), settings))
}

/// Names that are resolved, and below them TCP and QUIC. A system without
/// resolver settings has no names: addresses with an IP still work.
fn named(config: &Config, noise: &noise::Config) -> Encrypted {
    match dns::tokio::Transport::system(direct(config, noise)) {
        Ok(transport) => transport.map_err(below_names).boxed(),
        Err(error) => {
            tracing::warn!(%error, "Names cannot be resolved");
            direct(config, noise)
        }
    }
}

/// Returns the error of the transport below; of several that of the last
/// address that a name stands for.
fn below_names(error: dns::Error<io::Error>) -> io::Error {
    match error {
        dns::Error::Transport(error) => error,
        dns::Error::MultiaddrNotSupported(_) => io::ErrorKind::Unsupported.into(),
        dns::Error::Dial(mut errors) => match errors.pop() {
            Some(last) => below_names(last),
            None => io::Error::other("name stands for no address"),
        },
        other @ (dns::Error::ResolveError(_) | dns::Error::TooManyLookups) => {
            io::Error::other(other)
        }
    }
}

/// TCP, and QUIC if it is built in.
fn direct(config: &Config, noise: &noise::Config) -> Encrypted {
    let tcp = tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(Version::V1)
        .authenticate(noise.clone())
        .multiplex(multiplexer(config))
        .timeout(config.dial_deadline)
        .boxed();
    #[cfg(feature = "quic")]
    {
        use libp2p::quic;

        let mut settings = quic::Config::new(&config.keypair);
        settings.handshake_timeout = config.dial_deadline;
        settings.max_concurrent_stream_limit =
            u32::try_from(config.max_streams_per_connection).unwrap_or(u32::MAX);
        let quic = quic::tokio::Transport::new(settings)
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
            .boxed();
        either(tcp, quic)
    }
    #[cfg(not(feature = "quic"))]
    tcp
}

/// Either of two transports, whichever speaks the address.
fn either(first: Encrypted, second: Encrypted) -> Encrypted {
    first
        .or_transport(second)
        .map(|output, _| match output {
            Either::Left(output) | Either::Right(output) => output,
        })
        // Otherwise the outer type would hide the error of the star.
        .map_err(|error| error.into_inner())
        .boxed()
}

fn multiplexer(config: &Config) -> yamux::Config {
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(config.max_streams_per_connection);
    yamux
}
