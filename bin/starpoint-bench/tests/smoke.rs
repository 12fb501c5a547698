//! Each mode in small, against real stars and the relays to compare with. What is
//! checked is the form of the results, never a time.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;
use starpoint_test_support::{Star, star};

/// Runs the program with a star that it starts itself; returns its exit code and
/// what it wrote to stdout.
fn bench(args: &[&str]) -> (Option<i32>, String) {
    let server = PathBuf::from(star::command().get_program());
    let server = server.to_str().expect("the path is UTF-8");
    run(&[args, &["--server", server]].concat())
}

fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_starpoint-bench"))
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("the program runs");
    let stdout = String::from_utf8(output.stdout).expect("results are UTF-8");
    (output.status.code(), stdout)
}

/// Runs a mode with `--json` and two rounds; checks that each target has a result
/// with all of these metrics, the first one without ratios and each of the others
/// with the same case.
fn assert_results(args: &[&str], targets: &[&str], metrics: &[&str]) -> Vec<Value> {
    let (code, stdout) = bench(&[args, &["--json", "--rounds", "2"]].concat());
    assert_eq!(code, Some(0), "{stdout}");
    let results: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    let told: Vec<_> = results.iter().map(|r| r["target"].clone()).collect();
    assert_eq!(told, targets, "{stdout}");
    for result in &results {
        assert_eq!(result["mode"], args[0]);
        assert_eq!(result["rounds"], 2);
        assert_eq!(result["case"], results[0]["case"]);
        assert!(result["layers"].is_string(), "{result}");
        for (name, metric) in result["metrics"].as_object().expect("an object") {
            let number = |key: &str| metric[key].as_f64().expect("a number");
            assert!(number("min") <= number("median"), "{name}: {metric}");
            assert!(number("median") <= number("max"), "{name}: {metric}");
            assert!(metric["unit"].is_string(), "{name}: {metric}");
            if result["target"] == "star" {
                assert!(metric["ratio"].is_null(), "{name}: {metric}");
            }
        }
        for metric in metrics {
            assert!(result["metrics"][metric].is_object(), "{metric}: {result}");
        }
    }
    results
}

#[test]
fn help() {
    let (code, stdout) = run(&["--help"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(stdout);
}

#[test]
fn idle_peers_of_every_target() {
    let compare = "--compare=relay-v2,tcp,ws";
    let results = assert_results(
        &["idle", "--peers", "5", "--seconds", "1", compare],
        &["star", "relay-v2", "tcp", "ws"],
        &["rss_per_peer", "cpu"],
    );
    assert_eq!(results[0]["case"]["peers"], 5);
    assert_eq!(results[0]["layers"], "raw");
    assert_eq!(results[0]["profile"], "auto");
    assert!(results[0]["metrics"]["messages_per_peer"].is_object());
    assert_eq!(results[1]["layers"], "noise+yamux");
    assert!(results[1]["profile"].is_null());
}

#[test]
fn joins() {
    let metrics = ["cpu_per_join", "join_p50", "join_p99"];
    let args = ["join", "--population", "3", "--joins", "4"];
    assert_results(&args, &["star"], &metrics);
}

#[test]
fn joins_that_nobody_is_told_of() {
    let args = ["join", "--population", "3", "--joins", "4", "--apart"];
    let metrics = ["cpu_per_join", "told_per_join"];
    let results = assert_results(&args, &["star"], &metrics);
    let told = &results[0]["metrics"]["told_per_join"];
    assert_eq!(told["max"], 0.0, "{told}");
}

#[test]
fn tunnels_and_proxies() {
    let args = ["tunnel", "--connections", "2", "--requests", "5"];
    let more = ["--seconds", "1", "--compare=tcp,tls,ws"];
    let results = assert_results(
        &[&args[..], &more].concat(),
        // Behind a WebSocket relay there is no service.
        &["star", "tcp", "tls"],
        &["throughput", "cpu_per_gib", "requests", "cpu_per_request"],
    );
    let layers: Vec<_> = results.iter().map(|result| &result["layers"]).collect();
    assert_eq!(layers, ["noise+yamux", "raw", "tls"]);
    let star = results[0]["metrics"].as_object().expect("an object");
    for metric in ["star", "host", "client"] {
        assert!(star.contains_key(&format!("cpu_per_gib_{metric}")));
    }
    for result in results {
        let median = result["metrics"]["throughput"]["median"].as_f64();
        assert!(median > Some(0.0), "{result}");
    }
}

#[test]
fn another_way_to_the_service() {
    let port = free_port().to_string();
    // The shortest one.
    let through = format!("none=127.0.0.1:{port}");
    let pid = std::process::id().to_string();
    let args = ["tunnel", "--connections", "1", "--requests", "3"];
    let more = ["--seconds", "1", "--service-port", &port];
    let other = ["--through", &through, "--through-pid", &pid];
    let results = assert_results(
        &[&args[..], &more, &other].concat(),
        &["star", "none"],
        &["throughput", "cpu_per_gib", "requests"],
    );
    assert_eq!(results[1]["layers"], "unknown");
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

#[test]
fn dials_of_every_target() {
    let compare = "--compare=relay-v2,tcp,ws";
    assert_results(
        &["dial", "--pairs", "2", "--dials", "3", compare],
        &["star", "relay-v2", "tcp", "ws"],
        &["dial_p50", "dial_p99", "cpu_per_dial", "rss_per_dial"],
    );
}

#[test]
fn throughput_of_every_target_and_of_the_legacy_profile() {
    let compare = "--compare=legacy,relay-v2,tcp,ws";
    let args = ["throughput", "--pairs", "2", "--chunk-bytes", "1000"];
    let more = ["--both-ways", "--flush", "--seconds", "1", compare];
    let results = assert_results(
        &[&args[..], &more].concat(),
        &["star", "legacy", "relay-v2", "tcp", "ws"],
        &["throughput", "cpu_per_gib"],
    );
    assert_eq!(results[0]["case"]["direction"], "both-ways");
    assert_eq!(results[1]["profile"], "legacy");
    for result in results {
        let median = result["metrics"]["throughput"]["median"].as_f64();
        assert!(median > Some(0.0), "{result}");
    }
}

#[test]
fn a_slow_reader_of_every_target() {
    let compare = "--compare=relay-v2,tcp,ws";
    assert_results(
        &["slow-reader", "--offer-mib", "4", "--seconds", "1", compare],
        &["star", "relay-v2", "tcp", "ws"],
        &[
            "rss_growth",
            "taken",
            "echo_p50_unloaded",
            "echo_p99_loaded",
        ],
    );
}

#[test]
fn presence_at_a_star_only() {
    let compare = "--compare=tcp";
    assert_results(
        &["presence", "--peers", "3", "--seconds", "2", compare],
        &["star"],
        &["joins", "cpu", "messages", "received", "announcements"],
    );
}

#[test]
fn swarms_from_end_to_end_with_a_plot() {
    let folder = tempfile::tempdir().unwrap();
    let plots = folder.path().join("plots");
    let svg = plots.to_str().unwrap();
    let args = ["e2e", "--pairs", "1", "--dials", "2", "--seconds", "1"];
    assert_results(
        &[&args[..], &["--svg", svg, "--compare", "relay-v2"]].concat(),
        &["star", "relay-v2"],
        &["dial_p50", "dial_p99", "throughput", "cpu_per_gib"],
    );
    let plot = std::fs::read_to_string(plots.join("e2e.svg")).unwrap();
    assert!(
        plot.starts_with("<svg ") && plot.ends_with("</svg>\n"),
        "{plot}"
    );
    assert!(plot.contains("e2e: throughput"), "{plot}");
}

#[test]
fn stars_that_run_already() {
    let (first, second) = (Star::with_args([]), Star::with_args([]));
    let at = |star: &Star| format!("/ip4/127.0.0.1/tcp/{}/ws/p2p-websocket-star", star.port());
    let (code, stdout) = run(&[
        "dial",
        "--dials=2",
        "--rounds=1",
        "--star",
        &at(&first),
        "--pid",
        &first.pid().to_string(),
        "--compare-star",
        &at(&second),
        "--compare-name=other",
    ]);
    assert_eq!(code, Some(0), "{stdout}");
    let heads: Vec<_> = stdout.lines().next().unwrap().split_whitespace().collect();
    let expected = ["case", "target", "metric", "median", "spread", "x", "star"];
    assert_eq!(heads, expected);
    // Only the first one's process is known.
    assert_eq!(stdout.matches("dial_p50 [ms]").count(), 2, "{stdout}");
    assert_eq!(stdout.matches("cpu_per_dial [ms]").count(), 1, "{stdout}");
    assert!(stdout.contains(" other "), "{stdout}");
    first.stop_blocking();
    second.stop_blocking();
}

#[test]
fn what_cannot_be_done_has_its_code() {
    let remote = "/dns4/star.example/tcp/443/wss/p2p-websocket-star";
    assert_eq!(run(&["dial", "--star", remote]).0, Some(2));
    assert_eq!(run(&["idle", "--peers", "20001"]).0, Some(2));
    assert_eq!(run(&["dial", "--server", "/nonexistent"]).0, Some(2));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let closed = format!("/ip4/127.0.0.1/tcp/{port}/ws/p2p-websocket-star");
    assert_eq!(run(&["dial", "--star", &closed, "--rounds=1"]).0, Some(3));
    assert_eq!(bench(&["idle", "--max-seconds", "1"]).0, Some(5));
}
