//! The unmodified `libp2p-websocket-star` as peers of the star.

use serde_json::{Value, json};
use starpoint_interop_tests::{Certificate, Facts, Running, Scenario};
use starpoint_test_support::{Signal, Star, StarOptions};

/// No announcement at intervals comes in between.
const QUIET: [&str; 2] = ["--announce-interval", "1h"];

const MIB: u64 = 1024 * 1024;

/// Joins, discovers, dials both ways and leaves, with keys of these kinds.
fn pair(kinds: [&str; 2]) {
    let star = Star::with_args(QUIET);
    let facts = Scenario::new("original-pair", &star)
        .with("kinds", json!(kinds))
        .run();
    assert_pair(&facts);
    star.stop_blocking();
}

fn assert_pair(facts: &Facts) {
    let [first, second] = facts.all("joined")[..] else {
        panic!("two peers join: {facts:#?}");
    };
    let discovered: Vec<_> = facts
        .all("discovered")
        .iter()
        .map(|fact| (&fact["id"], &fact["address"]))
        .collect();
    let expected = [second, first].map(|peer| (&peer["id"], &peer["address"]));
    assert_eq!(discovered, expected);

    let echoes = facts.all("echo");
    assert_eq!(echoes.len(), 2, "{facts:#?}");
    for (echo, dialer) in echoes.iter().zip([first, second]) {
        let text = format!("grüße, \0{}", dialer["who"].as_str().expect("a text"));
        assert_eq!(echo["answer"], format!("re: {text}"));
        assert_eq!(echo["ended"], true);
        let callee = json!({ "heard": text, "ended": true, "observed": dialer["address"] });
        assert_eq!(echo["callee"], callee);
    }
    assert_eq!(facts.one("left")["refusal"], "Peer not found");
    assert_eq!(facts.one("left")["errors"], 0);
}

#[test]
fn rsa_keys() {
    pair(["rsa", "rsa"]);
}

#[test]
fn ed25519_keys() {
    pair(["ed25519", "ed25519"]);
}

#[test]
fn keys_of_both_kinds() {
    pair(["rsa", "ed25519"]);
    pair(["ed25519", "rsa"]);
}

#[test]
fn secp256k1_keys() {
    pair(["secp256k1", "secp256k1"]);
}

#[test]
fn tls() {
    let certificate = Certificate::generate();
    let mut args: Vec<String> = QUIET.map(str::to_owned).to_vec();
    for (flag, file) in [
        ("--tls-cert", certificate.chain()),
        ("--tls-key", certificate.key()),
    ] {
        args.extend([flag.to_owned(), file.to_str().unwrap().to_owned()]);
    }
    let star = Star::start(&StarOptions::args(args));
    assert!(star.url().starts_with("https://"), "{}", star.url());
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("https://{host}:{}", star.port());
        let facts = Scenario::at("original-pair", &url)
            .with("kinds", json!(["rsa", "ed25519"]))
            .env("NODE_EXTRA_CA_CERTS", certificate.authority())
            .run();
        assert_pair(&facts);
    }
    star.stop_blocking();
}

/// Sends this many bytes each way and compares what was sent and received.
fn transfer(bytes: u64) {
    let star = Star::with_args([]);
    let facts = Scenario::new("original-transfer", &star)
        .with("bytes", bytes)
        .with("chunk_bytes", 64 * 1024)
        .run();
    assert_eq!(facts.one("ends")["ends"], json!([true, true]));
    let transfers = facts.all("transfer");
    assert_eq!(transfers.len(), 2, "{facts:#?}");
    for transfer in transfers {
        assert_eq!(transfer["sent"]["bytes"], bytes);
        assert_eq!(transfer["received"], transfer["sent"]);
    }
    star.stop_blocking();
}

#[test]
fn one_mebibyte_each_way() {
    transfer(MIB);
}

#[test]
fn sixty_four_mebibytes_each_way() {
    transfer(64 * MIB);
}

#[test]
fn fifty_dials_at_once() {
    let star = Star::with_args([]);
    let facts = Scenario::new("original-many-dials", &star)
        .with("dials", 50)
        .run();
    let exchanged = facts.one("exchanged");
    assert_eq!(exchanged["connections"], 100, "50 by each of the two");
    assert_eq!(exchanged["distinct"], 100);
    star.stop_blocking();
}

#[test]
fn a_cut_transfer_does_not_look_complete() {
    let star = Star::with_args([]);
    let facts = Scenario::new("original-cut", &star).run();
    let cut = facts.one("cut");
    assert_eq!(cut["got_some"], true);
    assert_eq!(cut["end"], "Peer disconnected");
    star.stop_blocking();
}

#[test]
fn announcements_repeat_and_end_with_the_peer() {
    let star = Star::with_args(["--announce-interval", "200ms"]);
    let facts = Scenario::new("original-presence", &star).run();
    let expected = json!({ "fact": "announced", "peers": 3, "self": 0 });
    assert_eq!(*facts.one("announced"), expected);
    assert_eq!(facts.one("forgotten")["announcements_after"], 0);
    star.stop_blocking();
}

#[test]
fn a_strict_star_takes_star_addresses_only() {
    let star = Star::with_args(["--strict-multiaddr"]);
    let facts = Scenario::new("original-strict", &star).run();
    assert_eq!(facts.one("refused")["refusal"], "Invalid multiaddr");
    facts.one("joined");
    star.stop_blocking();
}

#[test]
fn a_star_without_the_challenge() {
    let star = Star::with_args(["--no-challenge"]);
    let facts = Scenario::new("original-no-challenge", &star).run();
    let refusal = facts.one("careful")["refusal"].as_str().unwrap();
    let own_words = "Tried to listen on a server with crypto challenge disabled!";
    assert!(refusal.starts_with(own_words), "{refusal}");
    let heard = json!({ "fact": "heard", "text": "hello", "end": true });
    assert_eq!(*facts.one("heard"), heard);
    star.stop_blocking();
}

#[test]
fn refusals_have_words() {
    let star = Star::with_args([]);
    let facts = Scenario::new("original-refusals", &star).run();
    let refused: Vec<_> = facts
        .all("refused")
        .iter()
        .map(|fact| {
            (
                fact["case"].as_str().unwrap(),
                fact["text"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("no key", "Crypto Challenge required but no Id provided"),
        ("stolen", "Id is not matching"),
        ("absent", "Peer not found"),
    ];
    assert_eq!(refused, expected);
    star.stop_blocking();
}

#[test]
fn peers_come_back_after_restarts_with_a_fresh_challenge() {
    let star = Star::with_args(QUIET);
    let scenario = Scenario::new("original-restart", &star);
    let (mut scenario, star) = restart_twice(scenario, star);
    let signatures = scenario.expect("signatures");
    assert_eq!(signatures["distinct"], json!([3, 3]), "one for each join");
    assert_eq!(scenario.expect("errors")["errors"], json!([]));
    scenario.finish();
    star.stop_blocking();
}

/// Restarts the star in good order, and then after a crash.
fn restart_twice(scenario: Scenario, mut star: Star) -> (Running, Star) {
    let mut scenario = scenario.with("restarts", 2).start();
    for signal in [Signal::Terminate, Signal::Kill] {
        scenario.expect("ready");
        let options = StarOptions {
            port: Some(star.port()),
            ..StarOptions::args(QUIET)
        };
        match signal {
            Signal::Kill => drop(star),
            Signal::Terminate | Signal::Interrupt => star.stop_blocking(),
        }
        star = Star::start(&options);
        scenario.expect("disconnected");
        let rejoined: Value = scenario.expect("rejoined");
        assert_eq!(rejoined["answer"], "re: still there?");
    }
    (scenario, star)
}
