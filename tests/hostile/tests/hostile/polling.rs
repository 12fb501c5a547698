//! The memory law for long polling, for sessions that change over to WebSocket, and
//! for what the library behind the star answers by itself.

use bytes::Bytes;
use serde_json::json;
use starpoint_hostile_tests::{
    Peer,
    attack::{LEGACY_3, LEGACY_4, NATIVE_3, NATIVE_4, Raw, frame},
    new_identity,
};
use starpoint_test_support::{
    Client, Engine,
    http::{HttpConnection, metric},
    within,
};
use tokio::time::{Duration, sleep, timeout};

use crate::memory::{LARGE_BYTES, Law, N_SOCKETS, joined};

const TARGET: &str = "/socket.io/?EIO=4&transport=polling";

/// A session of long polling that has joined, and its connection.
async fn polling(law: &Law) -> (HttpConnection, String, String) {
    let port = law.star.port();
    let mut connection = HttpConnection::connect_from([127, 0, 0, 66].into(), port).await;
    let sid = connection.open_session(TARGET).await;
    let target = format!("{TARGET}&sid={sid}");
    let address = new_identity().address(port);
    let join = format!("420{}", json!(["ss-join", address, ""]));
    // What comes before the namespace is connected ends the session; the star's first
    // ping may be there before.
    for (packet, answer) in [("40", "40{"), (&join, "430[")] {
        let sent = connection.send("POST", &target, "", packet.as_bytes());
        sent.await.expect("the star reads");
        let posted = connection.receive().await.expect("the star answers");
        assert_eq!(posted.status, 200, "{packet}");
        loop {
            let sent = connection.send("GET", &target, "", b"");
            sent.await.expect("the star reads");
            let polled = connection.receive().await.expect("the star answers");
            assert_eq!(polled.status, 200, "{packet}: {}", polled.text());
            if polled.text().contains(answer) {
                break;
            }
        }
    }
    (connection, target, address)
}

#[tokio::test]
async fn r_limit_21_events_of_polling_whose_attachments_do_not_come_are_charged_and_end() {
    let mut law = Law::new().await;
    let mut attackers = Vec::new();
    let attachment = "A".repeat(400_000);
    let body = format!("458-[\"ss-x\",1]\x1eb{attachment}");
    for _ in 0..N_SOCKETS {
        let (mut connection, target, address) = polling(&law).await;
        let sent = connection.send("POST", &target, "", body.as_bytes());
        let _ = timeout(Duration::from_millis(300), sent).await;
        attackers.push((connection, address));
    }
    law.holds("missing attachments");
    let held = metric(&law.star, "starpoint_queued_bytes").await;
    assert!(held > 1 << 20, "{held} bytes are said to wait");
    law.serves(LARGE_BYTES).await;
    drop(attackers);
    law.recovers().await;
}

#[tokio::test]
async fn r_limit_22_large_bodies_at_once_wait_for_room() {
    let mut law = Law::new().await;
    let mut attackers = Vec::new();
    let body = vec![b'4'; 900_000];
    for _ in 0..N_SOCKETS {
        let (mut connection, target, _) = polling(&law).await;
        // The whole but for its last byte.
        let head = format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 900001\r\n\r\n");
        connection.send_raw(head.as_bytes()).await.unwrap();
        let _ = timeout(Duration::from_millis(200), connection.send_raw(&body)).await;
        attackers.push(connection);
    }
    law.holds("large bodies");
    law.serves(LARGE_BYTES).await;
    drop(attackers);
    law.recovers().await;
}

#[tokio::test]
async fn r_limit_20_answers_to_polls_that_are_not_read_are_bounded() {
    let mut law = Law::new().await;
    let port = law.star.port();
    let mut kept = Vec::new();
    for _ in 0..16 {
        let (_, target, address) = polling(&law).await;
        let mut writer = Peer::join(&law.star).await;
        let _dial = writer.start_dial(&address, "z").await;
        let message = Bytes::from(vec![1; 900_000]);
        for _ in 0..4 {
            let write = writer.client.try_write("z.dialer", message.clone());
            let _ = timeout(Duration::from_millis(100), write).await;
            let mut unread = Raw::connect_with_small_window(&law.star).await;
            let request = format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
            unread.send(request.as_bytes()).await;
            kept.push(unread);
        }
        law.holds("unread answers");
    }
    law.serves(LARGE_BYTES).await;
    drop(kept);
    law.recovers().await;
}

#[tokio::test]
async fn r_http_10_names_of_other_namespaces_are_not_said_back() {
    let mut law = Law::new().await;
    let long = [b"40/", &[b'n'; 900_000][..]].concat();
    for target in [LEGACY_3, LEGACY_4] {
        let mut attacker = joined(&law.star, target).await;
        attacker.send(&frame(0x81, &long)).await;
        let last = attacker.read_to_end().await;
        assert!(!last.ends_with(b"nnnn"), "{target}");
        // In pieces, the first of which tells.
        let mut attacker = joined(&law.star, target).await;
        attacker.send(&frame(0x01, &long[..10])).await;
        attacker.read_to_end().await;
    }
    let (mut connection, target, _) = polling(&law).await;
    connection
        .send("POST", &target, "", b"40/other,")
        .await
        .unwrap();
    assert_eq!(connection.receive().await.unwrap().status, 400);
    law.serves(LARGE_BYTES).await;
    law.recovers().await;
}

#[tokio::test]
async fn r_http_7_sessions_that_stop_in_the_middle_of_a_change_end() {
    let law = Law::new().await;
    let masked = |text: &str| frame(0x81, text.as_bytes());
    let ping = frame(0x89, b"x");
    for said in [
        vec![],
        vec![masked("2probe")],
        vec![masked("2probe"), masked("nonsense")],
        vec![masked("2probe"), ping.clone()],
        vec![masked("5")],
        vec![ping],
        vec![vec![0xff; 20]],
    ] {
        let (_, target, _) = polling(&law).await;
        let target = target.replace("polling", "websocket");
        let mut raw = Raw::upgrade(&law.star, &target).await;
        for bytes in &said {
            raw.send(bytes).await;
        }
    }
    let over = async {
        while metric(&law.star, "rendezvous_peers").await > 2 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    within("all of them are over", over).await;
    law.recovers().await;
}

#[tokio::test]
async fn r_limit_21_pings_between_fragments_do_not_begin_a_message_anew() {
    let law = Law::new().await;
    let beginning = frame(0x01, &[b'4'; 6000]);
    let more = [frame(0x89, b"ping"), frame(0x00, &[b'4'; 6000])].concat();
    for target in [NATIVE_3, NATIVE_4] {
        let mut attacker = Raw::upgrade(&law.star, target).await;
        attacker.send(&beginning).await;
        let sent = attacker.flood(&more, 16 << 20).await;
        assert!(sent < 16 << 20, "{target}: {sent} bytes were read");
        attacker.read_to_end().await;
    }
    law.recovers().await;
}

/// An honest client that polls, and one that changes over.
#[tokio::test]
async fn honest_clients_poll_and_change_over() {
    let mut law = Law::new().await;
    for engine in [Engine::V3, Engine::V4] {
        let client = Client::connect_polling(law.star.port(), engine).await;
        let mut callee = Peer::join_as(client, &new_identity()).await;
        let mut dialer = Peer::join(&law.star).await;
        dialer.connect(&mut callee, "honest").await;
        let message = Bytes::from(vec![7; 200_000]);
        dialer.client.write("honest.dialer", message.clone()).await;
        let read = callee.client.read_exactly("honest.dialer", 200_000).await;
        assert_eq!(read, message);
        callee
            .client
            .write("honest.listener", message.clone())
            .await;
        let read = dialer.client.read_exactly("honest.listener", 200_000).await;
        assert_eq!(read, message);
        dialer.client.disconnect().await;
        callee.client.disconnect().await;
    }
    law.serves(LARGE_BYTES).await;
    law.recovers().await;
}
