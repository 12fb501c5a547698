//! Plain `socket.io-client`, major versions 2 and 4, as peers of the star.

use serde_json::{Value, json};
use starpoint_interop_tests::{Facts, Scenario};
use starpoint_test_support::{Star, StarOptions};

/// No announcement at intervals comes in between.
const QUIET: [&str; 2] = ["--announce-interval", "1h"];

/// A client: major version and transport.
type Client = (u8, &'static str);

fn peers(clients: [Client; 2]) -> Value {
    clients
        .map(|(version, transport)| json!({ "version": version, "transport": transport }))
        .into()
}

/// Lets two clients join, dial each other, echo bytes, and end.
fn pair(clients: [Client; 2]) {
    let star = Star::with_args(QUIET);
    let facts = Scenario::new("raw-pair", &star)
        .with("peers", peers(clients))
        .run();
    assert_pair(&facts, clients);
    star.stop_blocking();
}

fn assert_pair(facts: &Facts, clients: [Client; 2]) {
    let joined = facts.one("joined");
    let addresses = &joined["addresses"];
    assert_eq!(joined["lists"], json!([[], [addresses[0]]]));
    let transports = clients.map(|(_, transport)| match transport {
        "upgrade" => "websocket",
        other => other,
    });
    assert_eq!(joined["transports"], json!(transports));

    let echoes = facts.all("echo");
    assert_eq!(echoes.len(), 2, "{facts:#?}");
    for (n, echo) in echoes.into_iter().enumerate() {
        assert_eq!(echo["from"], addresses[n]);
        assert_eq!(echo["intact"], json!(vec![true; 8]), "four chunks each way");
        assert_eq!(echo["ends"], json!([true, true]));
    }
}

#[test]
fn client_2_by_websocket() {
    pair([(2, "websocket"), (2, "websocket")]);
}

#[test]
fn client_2_by_polling() {
    pair([(2, "polling"), (2, "polling")]);
}

#[test]
fn client_2_by_polling_and_upgrade() {
    pair([(2, "upgrade"), (2, "upgrade")]);
}

#[test]
fn client_4_by_websocket() {
    pair([(4, "websocket"), (4, "websocket")]);
}

#[test]
fn client_4_by_polling() {
    pair([(4, "polling"), (4, "polling")]);
}

#[test]
fn client_4_by_polling_and_upgrade() {
    pair([(4, "upgrade"), (4, "upgrade")]);
}

#[test]
fn clients_4_and_2_dial_each_other() {
    pair([(4, "websocket"), (2, "websocket")]);
}

#[test]
fn clients_4_and_2_dial_each_other_across_transports() {
    pair([(4, "polling"), (2, "websocket")]);
    pair([(2, "polling"), (4, "upgrade")]);
}

/// Sends single messages of 1, 4 and 16 MiB between two clients, both ways.
fn large_messages(clients: [Client; 2]) {
    let sizes = [1, 4, 16].map(|mebibytes: u64| mebibytes * 1024 * 1024);
    let star = Star::with_args([]);
    let facts = Scenario::new("raw-message", &star)
        .with("peers", peers(clients))
        .with("sizes", json!(sizes))
        .run();
    let transfers = facts.all("transfer");
    let expected: Vec<_> = sizes.into_iter().flat_map(|size| [size, size]).collect();
    let received = transfers.iter().map(|fact| &fact["received"]["bytes"]);
    assert!(received.eq(expected.iter()), "{facts:#?}");
    for transfer in transfers {
        assert_eq!(transfer["received"], transfer["sent"]);
    }
    star.stop_blocking();
}

#[test]
fn messages_of_many_mebibytes_between_clients_2() {
    large_messages([(2, "websocket"), (2, "websocket")]);
}

#[test]
fn messages_of_many_mebibytes_between_clients_4_and_2() {
    large_messages([(4, "websocket"), (2, "websocket")]);
}

#[test]
fn leaving_keeps_the_socket_and_its_connections() {
    for clients in [
        [(2, "websocket"), (2, "websocket")],
        [(2, "websocket"), (4, "polling")],
    ] {
        let star = Star::with_args(QUIET);
        let facts = Scenario::new("raw-leave", &star)
            .with("peers", peers(clients))
            .run();
        let left = facts.one("left");
        assert_eq!(left["answer"], json!([]), "a leave that asks is answered");
        let refusals = json!({ "to": "Peer not found", "from": "Not authorized for this address" });
        assert_eq!(left["refusals"], refusals);
        assert_eq!(left["text"], "still here");
        let rejoined = facts.one("rejoined");
        assert_eq!(rejoined["others"], json!([rejoined["staying"]]));
        assert_eq!(rejoined["end"], true);
        star.stop_blocking();
    }
}

#[test]
fn each_client_gets_the_spelling_it_used() {
    let star = Star::with_args(QUIET);
    let facts = Scenario::new("raw-spelling", &star).run();
    let list = facts.one("list");
    assert_eq!(list["others"], list["expected"]);
    let announced = facts.one("announced");
    assert_eq!(announced["announced"], announced["expected"]);
    let dials = facts.all("dialed");
    assert_eq!(dials.len(), 4, "{facts:#?}");
    for dial in dials {
        assert_eq!(dial["from"], dial["expected"]);
        assert_eq!(dial["text"], dial["spelling"]);
    }
    star.stop_blocking();
}

#[test]
fn clients_come_back_after_a_restart() {
    let mut star = Star::with_args(QUIET);
    let mut scenario = Scenario::new("raw-restart", &star)
        .with("peers", peers([(4, "websocket"), (2, "upgrade")]))
        .with("restarts", 2)
        .start();
    for _ in 0..2 {
        scenario.expect("ready");
        let options = StarOptions {
            port: Some(star.port()),
            ..StarOptions::args(QUIET)
        };
        star.stop_blocking();
        star = Star::start(&options);
        scenario.expect("disconnected");
        assert_eq!(scenario.expect("rejoined")["text"], "still there");
    }
    scenario.finish();
    star.stop_blocking();
}

#[test]
fn browsers_at_other_origins_may_poll() {
    let star = Star::with_args([]);
    let facts = Scenario::new("cross-origin", &star).run();
    let allowed = facts.all("allowed");
    assert_eq!(allowed.len(), 3, "{facts:#?}");
    for answer in allowed {
        assert_eq!(answer["status"], 200, "{answer}");
        // "*" does not do: client 2 asks with credentials.
        assert_eq!(answer["origin"], true, "{answer}");
        assert_eq!(answer["credentials"], "true", "{answer}");
    }
    let headers = facts.one("preflight")["headers"].as_array().unwrap();
    assert!(headers.contains(&json!("content-type")), "{headers:?}");
    assert_eq!(facts.one("posted")["body"], "ok");
    star.stop_blocking();
}
