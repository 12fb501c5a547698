//! A star from its start to its end.

use starpoint_server::{Config, Listening, Server, Shutdown, ShutdownReport};

use super::{open_files, settings::Settings};
use crate::{
    setup::signals::Signals,
    ui::{error::Failure, exit::Exit, stdout},
};

/// Runs a star until a signal stops it.
///
/// # Errors
///
/// The star cannot start.
pub(super) fn run(settings: &Settings) -> Result<Exit, Failure> {
    let mut config = settings.config.clone();
    open_files::raise_limit(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::internal)?;
    let ended = runtime.block_on(serve(settings, config));
    // Whatever still runs was given its time.
    runtime.shutdown_background();
    ended
}

async fn serve(settings: &Settings, mut config: Config) -> Result<Exit, Failure> {
    // Before the first listener: whoever sees its line may signal at once.
    let signals = Signals::catch().map_err(Failure::internal)?;
    config.identity = settings.key.load_or_create()?;
    let star = config.identity.public().to_peer_id();
    let connections = config.max_connections();
    let server = Server::bind(config).await?;
    announce(server.listening());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        %star,
        listeners = server.listening().len(),
        max_connections = connections,
        "Star started"
    );
    let shutdown = Shutdown::new();
    Ok(until_stopped(server.run(shutdown.clone()), &shutdown, signals).await)
}

/// Prints one line for each listener.
fn announce(listening: &[Listening]) {
    for Listening { addr, scheme } in listening {
        if let Err(error) = stdout::write(&format!("listening {scheme}://{addr}\n")) {
            tracing::warn!(%error, "Cannot write to stdout");
        }
    }
}

/// Runs the star; the first signal drains it, the second cuts it.
async fn until_stopped(
    run: impl Future<Output = ShutdownReport>,
    shutdown: &Shutdown,
    mut signals: Signals,
) -> Exit {
    let mut run = std::pin::pin!(run);
    let mut exit = Exit::INTERNAL;
    let report = loop {
        tokio::select! {
            report = &mut run => break report,
            signal = signals.next() => exit = stop(exit, shutdown, signal),
        }
    };
    if exit == Exit::INTERNAL {
        tracing::error!("Star stopped without being asked");
    } else if report.streams_cut > 0 {
        tracing::warn!(
            streams_cut = report.streams_cut,
            "Star stopped, streams were cut"
        );
    } else {
        tracing::info!("Star stopped");
    }
    exit
}

/// Obeys a signal, given how the program would have ended before it.
fn stop(before: Exit, shutdown: &Shutdown, signal: &'static str) -> Exit {
    if before == Exit::INTERNAL {
        tracing::info!(
            signal,
            "Stopping; a second signal cuts streams that are open"
        );
        shutdown.drain();
        Exit::OK
    } else {
        tracing::warn!(signal, "Stopping now");
        shutdown.cut();
        Exit::CUT
    }
}
