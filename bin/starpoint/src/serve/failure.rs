//! What to do about a star that does not start.

use std::io;

use starpoint_server::BindError;

use super::settings::config_failure;
use crate::{error::Failure, exit::Exit};

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        match error {
            BindError::Config(error) => config_failure(error),
            BindError::Listen { ref source, .. } => {
                let hint = listen_hint(source.kind());
                Self::new(Exit::LISTEN, error, hint)
            }
            BindError::ReadTls { ref source, .. } => {
                let hint = read_hint(source.kind());
                Self::new(Exit::TLS, error, hint)
            }
            BindError::InvalidTls { .. } => Self::new(
                Exit::TLS,
                error,
                "both files are PEM: --tls-cert has the certificate chain, the server's own \
                 first, and --tls-key the private key that belongs to it",
            ),
            other => Self::internal(other),
        }
    }
}

fn listen_hint(kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::AddrInUse {
        "something listens there already: stop it, or choose another port with --listen \
         (port 0 takes a free one)"
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "this machine does not have that address; 0.0.0.0 and [::] stand for all that it has"
    } else if kind == io::ErrorKind::PermissionDenied {
        "ports below 1024 are often reserved: choose a higher one with --listen, or grant the \
         right to bind it"
    } else {
        "choose another address with --listen"
    }
}

fn read_hint(kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::NotFound {
        "check the paths given with --tls-cert and --tls-key"
    } else if kind == io::ErrorKind::PermissionDenied {
        "the user that runs starpoint has to be able to read the file"
    } else {
        "--tls-cert and --tls-key have to name readable PEM files"
    }
}
