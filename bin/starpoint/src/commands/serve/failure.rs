//! What to do about a star that does not start.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
};

use starpoint_file::FileError;
use starpoint_server::BindError;

use super::settings::config_failure;
use crate::ui::{error::Failure, exit::Exit};

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        match error {
            BindError::Config(error) => config_failure(error),
            BindError::Listen { addr, ref source } => {
                let hint = listen_hint(addr, source.kind());
                Self::new(Exit::LISTEN, error, hint)
            }
            BindError::ReadTls { ref source, .. } => {
                let hint = read_hint(source);
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

fn listen_hint(addr: SocketAddr, kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::AddrInUse && addr.ip() == Ipv6Addr::UNSPECIFIED {
        "something listens there already; [::] covers IPv4 too, so 0.0.0.0 with the same port \
         cannot stand beside it"
    } else if kind == io::ErrorKind::AddrInUse {
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

fn read_hint(error: &FileError) -> &'static str {
    match error.system_kind() {
        Some(io::ErrorKind::NotFound) => "check the paths given with --tls-cert and --tls-key",
        Some(io::ErrorKind::PermissionDenied) => {
            "the user that runs starpoint has to be able to read the file"
        }
        Some(_) | None => "--tls-cert and --tls-key have to name readable PEM files",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint_in_use(addr: &str) -> &'static str {
        listen_hint(addr.parse().unwrap(), io::ErrorKind::AddrInUse)
    }

    #[test]
    fn all_addresses_of_ipv6_are_those_of_ipv4_too() {
        assert!(hint_in_use("[::]:9090").contains("[::] covers IPv4 too"));
        for addr in ["[::1]:9090", "0.0.0.0:9090"] {
            assert!(hint_in_use(addr).contains("choose another port"), "{addr}");
        }
    }
}
