//! Stopping a star that carries a stream.

use starpoint_test_support::{Client, Engine, Identity, connect_peers};

use crate::{
    lifecycle::listening,
    program::{Running, starpoint},
};

/// A star, and two peers that have a stream open through it.
struct Busy {
    star: Running,
    _peers: [Client; 2],
}

impl Busy {
    async fn start() -> Self {
        let mut star = Running::start(starpoint().args(["serve", "--listen=127.0.0.1:0"]));
        let (_, addr) = listening(&mut star);
        let mut dialer = Client::connect(addr.port(), Engine::V4).await;
        let mut callee = Client::connect(addr.port(), Engine::V4).await;
        let [from, to] = [1, 2].map(Identity::new);
        let [from_addr, to_addr] = [&from, &to].map(|peer| peer.address(addr.port()));
        dialer.join(&from, &from_addr).await;
        callee.join(&to, &to_addr).await;
        connect_peers(&mut dialer, &from_addr, &mut callee, &to_addr, "one").await;
        dialer.write("one.dialer", &b"hello"[..]).await;
        callee.read("one.dialer").await;
        Self {
            star,
            _peers: [dialer, callee],
        }
    }
}

#[tokio::test]
async fn a_second_signal_cuts_streams_and_has_its_own_code() {
    let Busy { mut star, _peers } = Busy::start().await;
    star.signal("TERM");
    star.stderr_line_with("Stopping; a second signal cuts");
    let ended = star.signal_until_ended("INT");
    assert_eq!(ended.code, Some(6), "{ended:?}");
    assert!(ended.stderr.contains("Stopping now"), "{ended:?}");
}

#[tokio::test]
async fn a_stream_that_outlasts_the_drain_is_cut_with_a_warning() {
    let Busy { mut star, _peers } = Busy::start().await;
    star.signal("TERM");
    star.stderr_line_with("Stopping; a second signal cuts");
    let ended = star.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("streams were cut"), "{ended:?}");
}
