//! What the program says when a peer or a star cannot be reached, and its codes.

use crate::{
    folder::Folder,
    program::{Ended, Running, run, starpoint},
    stage::{Stage, closed_port, star_at},
};

/// A well-formed id that nobody here has.
const NOBODY: &str = "12D3KooWHmsGdcdJGFbAfAgfGvKcRwjpNUGzCQTV1PyKV8SiYC3L";

const USAGE: i32 = 2;
const NO_STAR: i32 = 7;
const NO_PEER: i32 = 8;
const REFUSED: i32 = 9;
const WRONG_PEER: i32 = 10;
const NO_ANSWER: i32 = 11;

/// The commands that dial.
const DIALERS: [&[&str]; 3] = [&["ping", "-c1"], &["connect"], &["connect", "--raw"]];

fn dial(command: &[&str], address: &str) -> Ended {
    run(starpoint().args(command).arg(address))
}

#[test]
fn a_peer_that_is_not_there() {
    let stage = Stage::new();
    let address = format!("{}/p2p/{NOBODY}", stage.multiaddr());
    for command in DIALERS {
        let ended = dial(command, &address);
        let (error, hint) = ended.expect_failure(NO_PEER);
        assert_eq!(
            error,
            format!("cannot reach the peer at `{address}`: peer is not at the star")
        );
        assert!(hint.contains("starpoint peers --star"), "{hint}");
    }
}

#[test]
fn no_star_where_there_should_be_one() {
    let star = star_at(closed_port());
    let address = format!("{star}/p2p/{NOBODY}");
    for command in DIALERS {
        let ended = dial(command, &address);
        let (error, hint) = ended.expect_failure(NO_STAR);
        assert!(error.contains("star unreachable"), "{error}");
        assert!(hint.contains("check the address of the star"), "{hint}");
    }
    let folder = Folder::new();
    for command in [&["peers"][..], &["listen"], &["listen", "--raw", "--echo"]] {
        let ended = run(starpoint()
            .args(command)
            .args(["--star", &star])
            .arg("--key")
            .arg(folder.join("key")));
        let (error, _) = ended.expect_failure(NO_STAR);
        let expected = format!("cannot use the star {star}: star unreachable");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn of_several_stars_that_are_down_each_is_told() {
    let stars = [star_at(closed_port()), star_at(closed_port())];
    let ended = run(starpoint().args(["peers", "--star", &stars[0], "--star", &stars[1]]));
    assert_eq!(ended.code, Some(NO_STAR), "{ended:?}");
    for star in stars {
        assert!(ended.stderr.contains(&star), "{ended:?}");
    }
    assert!(ended.stderr.contains(", nor any other"), "{ended:?}");
}

#[test]
fn a_star_without_challenge_is_refused_unless_allowed() {
    let stage = Stage::with_args(["--no-challenge"]);
    let star = stage.multiaddr();
    let ended = run(starpoint().args(["peers", "--star", &star]));
    let (error, hint) = ended.expect_failure(NO_STAR);
    assert!(
        error.ends_with("star does not challenge its peers"),
        "{error}"
    );
    assert!(hint.contains("--allow-no-challenge"), "{hint}");
    let ended = run(starpoint().args(["peers", "--allow-no-challenge", "--star", &star]));
    assert_eq!(ended.expect_output(), "");
}

#[test]
fn the_own_address_is_not_dialed() {
    let stage = Stage::new();
    let (_listen, address) = stage.listen("listen", &["--echo"]);
    let key = stage.key("listen");
    let ended = run(starpoint().args(["connect", "--key", &key, &address]));
    let (error, hint) = ended.expect_failure(USAGE);
    assert_eq!(error, "cannot dial self");
    assert!(hint.contains("--key"), "{hint}");
}

#[test]
fn a_peer_that_serves_somebody_already_refuses() {
    let stage = Stage::new();
    let (mut listen, address) = stage.listen("listen", &[]);
    // `connect` has its stdin open while this pipe is.
    let (stdin, _open) = std::io::pipe().expect("the system has pipes");
    let _connected = Running::start(starpoint().args(["connect", &address]).stdin(stdin));
    listen.stderr_line_with("connected");
    let ended = dial(&["connect"], &address);
    let (error, _) = ended.expect_failure(REFUSED);
    assert_eq!(error, "peer does not speak /starpoint/pipe/1");
}

#[test]
fn another_peer_in_the_place_of_the_one_that_was_dialed() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let mut config = starpoint_node::Config::new(starpoint_node::Keypair::generate_ed25519());
    config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().expect("it is an address")];
    let (node, mut events) = {
        let _context = runtime.enter();
        starpoint_node::start(config).expect("a node starts")
    };
    let address = runtime.block_on(async {
        loop {
            let event = events.next().await.expect("the node runs");
            if let starpoint_node::Event::Listening { address } = event {
                break address;
            }
        }
    });
    let ended = dial(&["connect"], &format!("{address}/p2p/{NOBODY}"));
    let (error, hint) = ended.expect_failure(WRONG_PEER);
    assert!(
        error.ends_with(&format!("is {}, another peer", node.peer_id())),
        "{error}"
    );
    assert!(hint.contains("ask the peer for its address"), "{hint}");
}

#[test]
fn nobody_at_a_direct_address() {
    let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{NOBODY}", closed_port());
    let ended = dial(&["connect"], &address);
    let (error, _) = ended.expect_failure(NO_ANSWER);
    assert!(
        error.starts_with(&format!("cannot connect to `{address}`")),
        "{error}"
    );
}

#[test]
fn addresses_that_cannot_be_dialed_are_usage_errors() {
    for (command, address) in [
        (&["connect"][..], "not an address"),
        (
            &["connect", "--raw"],
            "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWHmsGdcdJGFbAfAgfGvKcRwjpNUGzCQTV1PyKV8SiYC3L",
        ),
        (&["connect"], "/memory/1"),
        (&["ping"], "/ip4/127.0.0.1/tcp/1/ws/p2p-websocket-star"),
    ] {
        dial(command, address).expect_failure(USAGE);
    }
}
