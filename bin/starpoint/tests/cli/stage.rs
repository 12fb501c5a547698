//! A star and peers at it.

use starpoint_test_support::Star;

use crate::{
    folder::Folder,
    program::{Running, starpoint},
};

/// A star, and a folder for the keys of its peers.
pub(crate) struct Stage {
    pub(crate) star: Star,
    pub(crate) folder: Folder,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with_args([])
    }

    pub(crate) fn with_args<const N: usize>(args: [&str; N]) -> Self {
        Self {
            star: Star::with_args(args),
            folder: Folder::new(),
        }
    }

    /// Returns the multiaddr of the star.
    pub(crate) fn multiaddr(&self) -> String {
        star_at(self.star.port())
    }

    /// Returns the path of the key file of this name.
    pub(crate) fn key(&self, name: &str) -> String {
        let path = self.folder.join(name);
        path.to_str().expect("it is UTF-8").to_owned()
    }

    /// Starts `listen` with these arguments besides, waits until it can be
    /// dialed, and returns it with its address.
    pub(crate) fn listen(&self, name: &str, args: &[&str]) -> (Running, String) {
        let mut listen = Running::start(
            starpoint()
                .args(["listen", "--star", &self.multiaddr()])
                .args(["--key", &self.key(name)])
                .args(args),
        );
        let line = if args.contains(&"--echo") {
            listen.stdout_line()
        } else {
            listen.stderr_line_with("listening")
        };
        let address = line.strip_prefix("listening ").expect("an address");
        (listen, address.to_owned())
    }
}

/// Returns the multiaddr of a star at this port.
pub(crate) fn star_at(port: u16) -> String {
    format!("/ip4/127.0.0.1/tcp/{port}/ws/p2p-websocket-star")
}

/// Returns a port at which nobody listens: it was free a moment ago, and nothing
/// on this machine is told of it.
pub(crate) fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// Returns the id at the end of an address.
pub(crate) fn peer_of(address: &str) -> &str {
    address.rsplit('/').next().expect("a last part")
}

/// Reads lines of JSON.
pub(crate) fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect()
}
