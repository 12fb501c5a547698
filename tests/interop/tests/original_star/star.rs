//! The original star as a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use libp2p::{Multiaddr, PeerId};
use serde_json::json;
use starpoint_interop_tests::js_project;
use starpoint_test_support::DEADLINE;

/// Whether the star makes its peers prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joining {
    Challenged,
    Unproved,
}

/// A running `libp2p-websocket-star-rendezvous`. Killed when dropped.
pub(crate) struct OriginalStar {
    child: Child,
    url: String,
    port: u16,
}

impl OriginalStar {
    /// Starts it on a free port, with a challenge.
    pub(crate) fn start() -> Self {
        Self::start_at(0, Joining::Challenged)
    }

    /// Starts it on this port, 0 for a free one; returns once it listens.
    pub(crate) fn start_at(port: u16, joining: Joining) -> Self {
        let project = js_project();
        let settings = json!({ "port": port, "challenge": joining == Joining::Challenged });
        let mut child = Command::new("node")
            .arg(project.join("original-star.js"))
            .arg(settings.to_string())
            .current_dir(project)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut star = Self {
            child,
            url: String::new(),
            port: 0,
        };
        let (sender, first_line) = mpsc::channel();
        thread::spawn(move || {
            let line = BufReader::new(stdout).lines().next();
            // The test may have given up.
            let _ = sender.send(line);
        });
        let line = first_line.recv_timeout(DEADLINE);
        let line = line.expect("the star says something");
        star.url = line
            .expect("the star prints a line")
            .expect("a line is text");
        let (_, port) = star.url.rsplit_once(':').expect("a URL with a port");
        star.port = port.parse().expect("a port");
        star
    }

    /// Ends it as a crash does, and starts it anew on the same port.
    pub(crate) fn restart(mut self) -> Self {
        self.kill();
        Self::start_at(self.port, Joining::Challenged)
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the address to listen on.
    pub(crate) fn address(&self) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{}/ws/p2p-websocket-star", self.port)
            .parse()
            .expect("an address")
    }

    /// Returns the address to dial.
    pub(crate) fn address_of(&self, peer: PeerId) -> Multiaddr {
        self.address().with_p2p(peer).expect("it names nobody yet")
    }
}

impl Drop for OriginalStar {
    fn drop(&mut self) {
        // Fails only if it has been waited for, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
