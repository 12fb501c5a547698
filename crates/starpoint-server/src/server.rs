//! Public face of the crate: bind, run, stop.

use std::{io, net::SocketAddr, path::PathBuf};

use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError};

/// Why a star did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A setting is out of its range: the operator's fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be listened on, most often because it is in use.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key file cannot be read.
    #[error("cannot read {}", path.display())]
    ReadTls {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key file has nothing usable in it, or the two do not
    /// belong together.
    #[error("{} is no usable certificate or key: {reason}", path.display())]
    InvalidTls {
        /// The file.
        path: PathBuf,
        /// What is wrong, for the operator.
        reason: String,
    },
}

/// One bound listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Address with the port that was given.
    pub addr: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
}

/// How to stop a star. Clones stop the same one.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    cut: CancellationToken,
}

impl Shutdown {
    /// Creates a handle for [`Server::run`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops accepting, tells the peers, and ends when the streams have ended or
    /// the drain deadline has passed.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Ends now. Streams that are open are cut.
    pub fn cut(&self) {
        self.drain.cancel();
        self.cut.cancel();
    }
}

/// What a shutdown had to leave behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Streams that were still open and were ended with an error.
    pub streams_cut: usize,
}

/// A star that is bound and not yet running.
pub struct Server {
    listening: Vec<Listening>,
}

impl Server {
    /// Checks the settings, reads the certificate and binds every address.
    ///
    /// # Errors
    ///
    /// [`BindError`]; whatever was bound before the error is released.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        config.validate()?;
        Ok(Self { listening: vec![] })
    }

    /// Returns the bound listeners, in the order of the configuration. Connections
    /// are queued by the system from now on and served once [`run`](Self::run) is
    /// polled.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Serves until `shutdown` says otherwise.
    ///
    /// Not cancel safe: dropping the future cuts every connection.
    pub async fn run(self, shutdown: Shutdown) -> ShutdownReport {
        shutdown.drain.cancelled().await;
        ShutdownReport::default()
    }
}
