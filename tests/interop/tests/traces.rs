//! Conversations recorded between the original programs, played against the star
//! and compared frame by frame.

use std::{fs, path::Path};

use starpoint_interop_tests::Scenario;
use starpoint_test_support::{Star, StarOptions};

/// Plays `js/traces/<name>.trace` against a star with the flags that its line
/// `serve:` names.
fn play(name: &str) {
    let path = traces().join(format!("{name}.trace"));
    let text = fs::read_to_string(path).expect("the trace is there");
    let flags = text.lines().find_map(|line| line.strip_prefix("serve:"));
    let flags = flags.expect("the trace has flags").split_whitespace();
    let star = Star::start(&StarOptions::args(flags));
    let facts = Scenario::new("trace", &star).with("trace", name).run();
    let compared = facts.one("played")["frames"].as_u64();
    assert!(compared > Some(0), "the trace compares nothing");
    star.stop_blocking();
}

fn traces() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/js/traces"))
}

#[test]
fn every_trace_has_a_test() {
    let tests = include_str!("traces.rs");
    for entry in fs::read_dir(traces()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(tests.contains(&format!("play({name:?})")), "{name}");
    }
}

#[test]
fn connect_and_heartbeat() {
    play("connect");
}

#[test]
fn join_with_an_rsa_key() {
    play("join-rsa");
}

#[test]
fn join_with_an_ed25519_key() {
    play("join-ed25519");
}

#[test]
fn join_without_the_challenge() {
    play("join-without-challenge");
}

#[test]
fn joins_that_fail() {
    play("join-errors");
}

#[test]
fn joins_that_fail_at_a_strict_star() {
    play("join-errors-strict");
}

#[test]
fn leave_and_join_again() {
    play("leave-and-rejoin");
}

#[test]
fn dial_with_data_both_ways() {
    play("dial");
}

#[test]
fn data_before_the_callee_is_ready() {
    play("early-data");
}

#[test]
fn dials_that_fail() {
    play("dial-errors");
}

#[test]
fn odd_chunks_and_a_peer_that_vanishes() {
    play("odd-chunks");
}

#[test]
fn polling_with_binary_payloads() {
    play("polling");
}

#[test]
fn polling_with_base64_payloads() {
    play("base64-polling");
}

#[test]
fn upgrade_from_polling() {
    play("upgrade");
}

#[test]
fn engine_io_4_and_3_in_one_dial() {
    play("engine-io-4");
}
