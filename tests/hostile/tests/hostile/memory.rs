//! The memory law: whatever a client leaves unread, unfinished or unsaid, the star
//! stays below a bound, shows what waits, serves others, and recovers.
//!
//! Every scenario runs against a star with little room and a limit on the memory
//! that the system gives it: a star that hoards dies.

use bytes::Bytes;
use serde_json::json;
use starpoint_hostile_tests::{
    Peer, assert_memory_returns, assert_still_serves,
    attack::{LEGACY_3, LEGACY_4, NATIVE_3, NATIVE_4, Raw, frame, head},
    connected_pair,
    native::{NativePeer, open_pipe},
    new_identity,
};
use starpoint_test_support::{
    Client, Engine, PipeRequest, Star,
    http::{HttpConnection, metric},
    within,
};
use tokio::time::{Duration, timeout};

const PROFILES: [&str; 4] = [LEGACY_3, LEGACY_4, NATIVE_3, NATIVE_4];

/// What the star may keep for clients, and the largest message.
const SETTINGS: [&str; 5] = [
    "--no-challenge",
    "--max-buffered",
    "16MiB",
    "--max-message",
    "1MiB",
];
/// How far the star's memory may rise, in bytes: the account of 16 MiB, what the
/// libraries copy of it, and what the allocator keeps.
const MAX_GROWTH_BYTES: u64 = 80 << 20;
/// Memory that the system gives the star; the program alone takes a fifth of it.
const DATA_LIMIT_BYTES: u64 = 1 << 30;
/// Sockets of an attack.
pub(crate) const N_SOCKETS: usize = 64;
/// A message that is large for the star, of an honest peer.
pub(crate) const LARGE_BYTES: usize = 300 << 10;

/// A star under attack, and two honest peers at it.
pub(crate) struct Law {
    pub(crate) star: Star,
    honest: (Peer, Peer),
    baseline_bytes: u64,
}

impl Law {
    pub(crate) async fn new() -> Self {
        let star = Star::with_args(SETTINGS);
        star.limit_data(DATA_LIMIT_BYTES);
        let mut law = Self {
            honest: connected_pair(&star).await,
            star,
            baseline_bytes: 0,
        };
        law.serves(LARGE_BYTES).await;
        law.baseline_bytes = law.star.rss_bytes();
        law
    }

    /// Checks that a message of an honest peer gets through.
    pub(crate) async fn serves(&mut self, n_bytes: usize) {
        let (writer, reader) = &mut self.honest;
        let message = Bytes::from(vec![42; n_bytes]);
        writer.client.write("x.dialer", message.clone()).await;
        let read = reader.client.read_exactly("x.dialer", n_bytes).await;
        assert_eq!(read, message);
    }

    /// Checks the bound.
    #[track_caller]
    pub(crate) fn holds(&self, what: &str) {
        self.holds_below(MAX_GROWTH_BYTES, what);
    }

    #[track_caller]
    fn holds_below(&self, most: u64, what: &str) {
        let growth = self.star.rss_bytes().saturating_sub(self.baseline_bytes);
        eprintln!("{what}: {} MiB more", growth >> 20);
        assert!(growth < most, "{what}: {growth} bytes more");
    }

    /// Checks that nothing is left once the attackers are gone.
    pub(crate) async fn recovers(mut self) {
        let is_empty = async {
            while metric(&self.star, "starpoint_queued_bytes").await > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        within("nothing waits", is_empty).await;
        assert_memory_returns(&self.star, self.baseline_bytes + (16 << 20)).await;
        assert_still_serves(&mut self.star).await;
        self.star.stop().await;
    }
}

/// Opens a socket that has joined.
pub(crate) async fn joined(star: &Star, target: &str) -> Raw {
    let mut raw = Raw::upgrade(star, target).await;
    let address = new_identity().address(star.port());
    let join = format!("420{}", json!(["ss-join", address, ""]));
    if target == LEGACY_4 {
        raw.send(&frame(0x81, b"40")).await;
    }
    // The library gives up a client that sends before the namespace is connected. A
    // session id may contain the digits alone.
    let is_v3 = target.contains("EIO=3");
    let connected: &[u8] = if is_v3 { b"\x81\x0240" } else { b"40{" };
    raw.read_until(connected).await;
    raw.send(&frame(0x81, join.as_bytes())).await;
    raw.read_until(b"430[null,null").await;
    raw
}

/// Opens as many as an attack has.
pub(crate) async fn crowd(star: &Star, target: &str) -> Vec<Raw> {
    let mut attackers = Vec::new();
    for _ in 0..N_SOCKETS {
        attackers.push(joined(star, target).await);
    }
    attackers
}

/// Waits until nobody but the honest peers is left.
pub(crate) async fn until_alone(star: &Star) {
    let alone = async {
        while metric(star, "rendezvous_peers").await > 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the attackers leave", alone).await;
}

#[tokio::test]
async fn r_limit_23_pings_of_a_client_that_reads_nothing_cost_nothing() {
    let mut law = Law::new().await;
    let pings = frame(0x89, &[7; 125]).repeat(500);
    for target in PROFILES {
        let mut attacker = Raw::upgrade(&law.star, target).await;
        attacker.flood(&pings, 40 << 20).await;
        law.holds_below(16 << 20, target);
        law.serves(LARGE_BYTES).await;
    }
    let n_pings = metric(&law.star, "starpoint_websocket_pings_total").await;
    assert!(n_pings > 10_000, "{n_pings}");
    law.recovers().await;
}

#[tokio::test]
async fn r_limit_22_heads_of_large_messages_keep_nobody_out() {
    let mut law = Law::new().await;
    for target in [LEGACY_3, LEGACY_4] {
        let mut attackers = crowd(&law.star, target).await;
        for attacker in &mut attackers {
            assert!(attacker.send(&head(0x82, 1 << 20)).await);
        }
        law.serves(LARGE_BYTES).await;
        law.holds(target);
        drop(attackers);
        until_alone(&law.star).await;
    }
    law.recovers().await;
}

#[tokio::test]
async fn r_limit_21_large_messages_before_a_join_are_refused() {
    let mut law = Law::new().await;
    let first = frame(0x01, &[b'4'; 16_000]);
    let more = frame(0x00, &[b'4'; 16_000]);
    for target in PROFILES {
        for beginning in [head(0x81, 1 << 20), [&first[..], &more].concat()] {
            let mut attacker = Raw::upgrade(&law.star, target).await;
            attacker.send(&beginning).await;
            let sent = attacker.flood(&more, 64 << 20).await;
            assert!(sent < 64 << 20, "{target}: {sent} bytes were read");
            attacker.read_to_end().await;
        }
    }
    law.holds("refused");
    law.serves(LARGE_BYTES).await;
    law.recovers().await;
}

#[tokio::test]
async fn r_limit_22_messages_that_are_not_finished_leave_room_for_others() {
    let mut law = Law::new().await;
    let pieces: [(&str, Vec<u8>, Vec<u8>); 2] = [
        (
            "fragments",
            frame(0x01, &[b'4'; 16_000]),
            frame(0x00, &[b'4'; 16_000]).repeat(60),
        ),
        (
            "attachments",
            frame(0x81, br#"454-["ss-x",1]"#),
            [frame(0x82, &[4; 300_000]).repeat(3), frame(0x81, b"2")].concat(),
        ),
    ];
    for (what, beginning, rest) in pieces {
        let mut attackers = crowd(&law.star, LEGACY_3).await;
        for attacker in &mut attackers {
            attacker.send(&beginning).await;
            let _ = timeout(Duration::from_millis(500), attacker.send(&rest)).await;
        }
        law.holds(what);
        let held = metric(&law.star, "starpoint_queued_bytes").await;
        assert!(held > 1 << 20, "{what}: {held} bytes are said to wait");
        law.serves(LARGE_BYTES).await;
        drop(attackers);
        until_alone(&law.star).await;
    }
    law.recovers().await;
}

#[tokio::test]
async fn r_limit_20_messages_to_peers_that_never_read_are_bounded_and_end() {
    let mut law = Law::new().await;
    let mut pairs = Vec::new();
    for (engine, is_polling) in [
        (Engine::V3, true),
        (Engine::V4, true),
        (Engine::V3, false),
        (Engine::V4, false),
    ] {
        for _ in 0..8 {
            let mut writer = Peer::join(&law.star).await;
            let client = match is_polling {
                true => Client::connect_polling(law.star.port(), engine).await,
                false => Client::connect(law.star.port(), engine).await,
            };
            let mut reader = Peer::join_as(client, &new_identity()).await;
            writer.connect(&mut reader, "y").await;
            let message = Bytes::from(vec![1; 1 << 20]);
            for _ in 0..8 {
                let write = writer.client.try_write("y.dialer", message.clone());
                if !matches!(timeout(Duration::from_millis(300), write).await, Ok(Ok(()))) {
                    break;
                }
            }
            law.holds("unread messages");
            pairs.push((writer, reader));
        }
    }
    let held = metric(&law.star, "starpoint_queued_bytes").await;
    assert!(held > 1 << 20, "{held} bytes are said to wait");
    let stalled = r#"starpoint_connections_broken_off_total{reason="stalled"}"#;
    let given_up = async {
        while metric(&law.star, stalled).await == 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    within("the first reader is given up", given_up).await;
    // The honest peers share the attackers' address here: small messages pass.
    law.serves(1000).await;
    drop(pairs);
    law.recovers().await;
}

#[tokio::test]
async fn r_limit_21_bodies_before_a_join_and_bodies_that_do_not_end_cost_nothing() {
    let mut law = Law::new().await;
    let mut attackers = Vec::new();
    for _ in 0..N_SOCKETS {
        let sid = HttpConnection::connect(law.star.port())
            .await
            .open_session("/socket.io/?EIO=4&transport=polling")
            .await;
        let mut raw = Raw::connect(&law.star).await;
        let request = format!(
            "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\n\
             Host: x\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n"
        );
        raw.send(request.as_bytes()).await;
        raw.flood(&[b'4'; 16_000], 999_000).await;
        attackers.push(raw);
    }
    law.holds("bodies");
    law.serves(LARGE_BYTES).await;
    drop(attackers);
    law.recovers().await;
}

#[tokio::test]
async fn r_pipe_10_pipes_that_are_not_read_hold_a_read_each_way() {
    let mut law = Law::new().await;
    let mut dialer = NativePeer::join(&law.star).await;
    let mut callee = NativePeer::join(&law.star).await;
    let mut pipes = Vec::new();
    for _ in 0..N_SOCKETS {
        let mut pipe = open_pipe(&law.star, &mut dialer, &mut callee).await;
        for side in &mut pipe {
            let writes = async {
                for _ in 0..64 {
                    side.write(vec![1; 100_000]).await;
                }
            };
            // Until the star reads no more.
            let _ = timeout(Duration::from_millis(300), writes).await;
        }
        pipes.push(pipe);
    }
    law.holds("unread pipes");
    law.serves(LARGE_BYTES).await;
    drop((pipes, dialer, callee));
    law.recovers().await;
}

#[tokio::test]
async fn r_pipe_10_pings_and_messages_in_a_pipe_that_do_not_end_cost_nothing() {
    let mut law = Law::new().await;
    let mut dialer = NativePeer::join(&law.star).await;
    let mut callee = NativePeer::join(&law.star).await;
    let pings = frame(0x89, &[7; 125]).repeat(500);
    let endless = frame(0x00, &[4; 16_000]);
    let nothing = Vec::new();
    for (what, beginning, more) in [
        ("pings in a pipe", &nothing, &pings),
        ("fragments in a pipe", &frame(0x02, b"x"), &endless),
        ("a huge frame in a pipe", &head(0x82, 1 << 40), &endless),
        ("a long text in a pipe", &head(0x81, 1 << 30), &endless),
    ] {
        let (token, dial) = dialer.start_dial(&callee).await;
        let incoming = callee.client.expect_incoming().await;
        let target = format!("/star/pipe/{token}");
        let (mut attacker, side) = tokio::join!(Raw::upgrade(&law.star, &target), async {
            let asked = PipeRequest::send(law.star.port(), &incoming.token).await;
            asked.answer().await.expect("both sides are there")
        });
        dialer.client.expect_ack(dial).await;
        attacker.send(beginning).await;
        attacker.flood(more, 40 << 20).await;
        law.holds(what);
        law.serves(LARGE_BYTES).await;
        drop((attacker, side));
    }
    drop((dialer, callee));
    law.recovers().await;
}
