//! `starpoint peers` and `starpoint ping`.

use serde_json::json;

use crate::{
    program::{Running, run, starpoint},
    stage::{Stage, closed_port, json_lines, peer_of, star_at},
};

#[test]
fn who_is_here_is_shown() {
    let stage = Stage::new();
    let (_first, first) = stage.listen("first", &["--echo"]);
    let (_second, second) = stage.listen("second", &["--echo"]);
    let mut expected = [first.as_str(), second.as_str()];
    expected.sort_unstable();

    let ended = run(starpoint().args(["peers", "--star", &stage.multiaddr()]));
    let mut shown: Vec<_> = ended.expect_output().lines().collect();
    shown.sort_unstable();
    assert_eq!(shown, expected);

    let ended = run(starpoint().args(["peers", "--json", "--star", &stage.multiaddr()]));
    let mut shown = json_lines(ended.expect_output());
    shown.sort_unstable_by_key(|line| line["address"].to_string());
    let expected = expected
        .map(|address| json!({ "event": "here", "peer": peer_of(address), "address": address }));
    assert_eq!(shown, expected);
}

#[test]
fn a_star_that_is_down_is_warned_of() {
    let stage = Stage::new();
    let (_listen, address) = stage.listen("listen", &["--echo"]);
    let down = star_at(closed_port());
    let ended = run(starpoint().args(["peers", "--star", &stage.multiaddr(), "--star", &down]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, format!("{address}\n"));
    let warning = format!("warning: cannot use {down}: star unreachable");
    assert!(ended.stderr.starts_with(&warning), "{ended:?}");
}

#[test]
fn who_joins_and_leaves_is_followed() {
    let stage = Stage::with_args(["--announce-interval", "100ms"]);
    let mut watch = Running::start(starpoint().args([
        "peers",
        "--watch",
        "--wait",
        "0s",
        "--star",
        &stage.multiaddr(),
    ]));
    // The watching peer has joined when the star lists it for another one.
    let (listen, address) = stage.listen("listen", &["--echo"]);
    let first = watch.stdout_line();
    // Who comes first is decided by the machine.
    assert!(
        first == address || first == format!("joined {address}"),
        "{first}"
    );
    listen.signal("TERM");
    assert_eq!(listen.wait().code, Some(0));
    assert_eq!(watch.stdout_line(), format!("left {address}"));
    watch.signal("TERM");
    let ended = watch.wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn round_trips_are_counted_and_summed_up() {
    let stage = Stage::new();
    let (_listen, address) = stage.listen("listen", &["--echo"]);
    let ended = run(starpoint().args(["ping", "-c", "3", "-i", "1ms", &address]));
    let lines: Vec<_> = ended.expect_output().lines().collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    let peer = peer_of(&address);
    for (line, sequence) in lines.iter().zip(1..=3) {
        let start = format!("reply from {peer}: seq={sequence} time=");
        assert!(line.starts_with(&start), "{line}");
    }
    assert_eq!(lines[3], format!("--- {peer}: 3 sent, 3 received, 0% lost"));
    assert!(lines[4].starts_with("--- min/avg/max/mdev = "), "{lines:?}");
}

#[test]
fn round_trips_in_json() {
    let stage = Stage::new();
    let (_listen, address) = stage.listen("listen", &["--echo"]);
    let ended = run(starpoint().args(["ping", "--json", "-c", "1", &address]));
    let lines = json_lines(ended.expect_output());
    let [reply, summary] = lines.as_slice() else {
        panic!("a reply and a summary: {lines:?}");
    };
    assert_eq!(reply["event"], "reply");
    assert_eq!(reply["peer"], peer_of(&address));
    assert_eq!(reply["sequence"], 1);
    assert!(reply["rtt_ms"].as_f64() > Some(0.0), "{reply}");
    assert_eq!(summary["event"], "summary");
    assert_eq!(
        (&summary["sent"], &summary["received"]),
        (&json!(1), &json!(1))
    );
    for key in ["min_ms", "mean_ms", "max_ms"] {
        assert_eq!(summary[key], reply["rtt_ms"], "{key}");
    }
    assert_eq!(summary["deviation_ms"], 0.0);
}

#[test]
fn a_signal_ends_pings_with_a_summary() {
    let stage = Stage::new();
    let (_listen, address) = stage.listen("listen", &["--echo"]);
    let mut ping = Running::start(starpoint().args(["ping", "-i", "1h", &address]));
    assert!(ping.stdout_line().starts_with("reply from "));
    ping.signal("INT");
    let ended = ping.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("1 sent, 1 received, 0% lost"));
}
