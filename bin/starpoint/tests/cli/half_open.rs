//! A network that swallows packets and tells nobody.
//!
//! Needs root and the programs of iproute2, for two network namespaces; fails
//! where it cannot have them.

use std::process::Command;

use crate::{
    folder::Folder,
    program::{Ended, Running, run, starpoint_under},
};

const NO_STAR: i32 = 7;
const NOBODY: &str = "12D3KooWHmsGdcdJGFbAfAgfGvKcRwjpNUGzCQTV1PyKV8SiYC3L";

/// Addresses that only these namespaces know, so that they cannot clash.
const STAR_IP: &str = "10.0.0.1";
const PEER_IP: &str = "10.0.0.2";

/// Two namespaces, one for a star and one for peers, and a cable between them.
/// Dropping it removes them.
struct Network {
    star: String,
    peers: String,
}

impl Network {
    fn new() -> Self {
        let name = |side| format!("starpoint-{}-{side}", std::process::id());
        let network = Self {
            star: name("star"),
            peers: name("peers"),
        };
        for namespace in [&network.star, &network.peers] {
            ip(&["netns", "add", namespace]);
        }
        let (star, peers) = (network.star.as_str(), network.peers.as_str());
        ip(&[
            "link", "add", "cable", "netns", star, "type", "veth", "peer", "name", "cable",
            "netns", peers,
        ]);
        for (namespace, address) in [(star, STAR_IP), (peers, PEER_IP)] {
            let address = format!("{address}/24");
            ip(&["-n", namespace, "address", "add", &address, "dev", "cable"]);
            ip(&["-n", namespace, "link", "set", "cable", "up"]);
        }
        network
    }

    /// Swallows every packet, both ways, or stops doing so.
    fn set_cut(&self, verb: &str) {
        for namespace in [&self.star, &self.peers] {
            let qdisc = ["qdisc", verb, "dev", "cable", "root", "blackhole"];
            must_run(Command::new("tc").args(["-n", namespace]).args(qdisc));
        }
    }

    fn cut(&self) {
        self.set_cut("add");
    }

    fn mend(&self) {
        self.set_cut("delete");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.star, &self.peers] {
            // One that could not be made cannot be removed.
            let remove = ["netns", "delete", namespace];
            let _ = Command::new("ip").args(remove).output();
        }
    }
}

fn ip(args: &[&str]) {
    must_run(Command::new("ip").args(args));
}

fn must_run(command: &mut Command) {
    let hint = "hint: this test makes network namespaces; run it as root, with iproute2 installed";
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{command:?}: {error}\n\n{hint}"),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}\n{hint}");
}

fn in_namespace(namespace: &str) -> Command {
    starpoint_under(&["ip", "netns", "exec", namespace])
}

#[test]
fn a_star_beyond_a_dead_network_is_given_up_in_time_and_found_again() {
    let network = Network::new();
    let folder = Folder::new();
    let listen = format!("{STAR_IP}:0");
    let mut star = Running::start(in_namespace(&network.star).args(["serve", "--listen", &listen]));
    let line = star.stdout_line();
    let (_, port) = line.rsplit_once(':').expect("an address");
    let home = format!("/ip4/{STAR_IP}/tcp/{port}/ws/p2p-websocket-star");
    let mut echo = Running::start(
        in_namespace(&network.peers)
            .args(["listen", "--echo", "--star", &home, "--key"])
            .arg(folder.join("key")),
    );
    let listening = echo.stdout_line();
    let address = listening.strip_prefix("listening ").expect("an address");
    let ping =
        |peer: &str| -> Ended { run(in_namespace(&network.peers).args(["ping", "-c1", peer])) };
    assert_eq!(ping(address).code, Some(0));

    network.cut();
    // A dial does not wait for a star that will not answer.
    let nobody = format!("{home}/p2p/{NOBODY}");
    let ended = ping(&nobody);
    let (error, hint) = ended.expect_failure(NO_STAR);
    assert!(error.contains("star unreachable"), "{error}");
    assert!(hint.contains("check the address of the star"), "{hint}");
    // Nothing but silence tells: R-SIO-6, after 25 s and 20 s.
    assert_eq!(
        echo.stdout_line(),
        format!("lost {home}, connection to the star lost: server is silent")
    );

    network.mend();
    assert_eq!(echo.stdout_line(), listening);
    assert_eq!(ping(address).code, Some(0));
    echo.signal("TERM");
    assert_eq!(echo.wait().code, Some(0));
    star.signal("TERM");
    assert_eq!(star.wait().code, Some(0));
}
