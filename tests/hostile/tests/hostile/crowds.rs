//! Clients that take every connection that a star has.

use std::net::Ipv4Addr;

use starpoint_hostile_tests::{Peer, assert_still_serves, assert_talk, attack::Raw};
use starpoint_test_support::{
    Client, Engine, Profile, Star,
    http::{HttpConnection, get_from, metric},
};
use tokio::time::{Duration, sleep, timeout};

/// Connections that a star for 100 peers accepts.
const ALL: usize = 456;

const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const THREE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

fn star(args: &[&str]) -> Star {
    let all = ["--max-peers", "100"].iter().chain(args).copied();
    Star::start(&starpoint_test_support::StarOptions::args(all))
}

async fn idle_sockets(star: &Star, from: Ipv4Addr, number: usize) -> Vec<HttpConnection> {
    let mut sockets = Vec::new();
    for _ in 0..number {
        sockets.push(HttpConnection::connect_from(from, star.port()).await);
    }
    sockets
}

/// WebSockets that have said nothing, which no newcomer may replace.
async fn websockets(star: &Star, from: Ipv4Addr, number: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..number {
        let client = Client::try_connect_from(from, star.port(), Engine::V4, Profile::Legacy);
        clients.push(client.await.expect("the star accepts"));
    }
    clients
}

async fn assert_healthy_from(star: &Star, from: Ipv4Addr) {
    let response = get_from(from, star.port(), "/healthz").await;
    assert_eq!((response.status, response.text().as_str()), (200, "ok\n"));
}

async fn refused(star: &Star, reason: &str) -> u64 {
    let name = format!("starpoint_connections_refused_total{{reason=\"{reason}\"}}");
    metric(star, &name).await
}

#[tokio::test]
async fn idle_sockets_of_one_address_keep_nobody_out() {
    let mut star = star(&[]);
    let sockets = idle_sockets(&star, ONE, ALL).await;
    for from in [ONE, TWO] {
        assert_healthy_from(&star, from).await;
    }
    let mut callee = Peer::join_from(&star, TWO).await;
    // Even their own neighbor gets in: what has no request goes first.
    let mut dialer = Peer::join_from(&star, ONE).await;
    assert_talk(&mut dialer, &mut callee, "past idle sockets").await;
    assert!(refused(&star, "idle").await > 0);
    assert_eq!(refused(&star, "source-full").await, 0);
    drop(sockets);
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn idle_sockets_of_many_addresses_keep_nobody_out() {
    let mut star = star(&[]);
    let mut sockets = Vec::new();
    for last in 10..30 {
        let from = Ipv4Addr::new(127, 0, 0, last);
        sockets.extend(idle_sockets(&star, from, ALL / 20 + 1).await);
    }
    let mut callee = Peer::join_from(&star, TWO).await;
    let mut dialer = Peer::join_from(&star, ONE).await;
    assert_talk(&mut dialer, &mut callee, "past many").await;
    assert_healthy_from(&star, THREE).await;
    assert!(refused(&star, "idle").await > 0);
    drop(sockets);
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn an_address_with_its_share_of_websockets_may_ask_for_health_only() {
    let mut star = star(&["--max-connections-per-ip", "20"]);
    let clients = websockets(&star, ONE, 20).await;
    for _ in 0..50 {
        assert_healthy_from(&star, ONE).await;
    }
    let page = get_from(ONE, star.port(), "/").await;
    assert_eq!(page.status, 503);
    assert!(page.header("retry-after").is_some());
    let refusal = Client::try_connect(star.port(), Engine::V4).await;
    assert!(refusal.is_err(), "a WebSocket above the share");
    assert!(refused(&star, "source-full").await >= 52);
    let mut callee = Peer::join_from(&star, TWO).await;
    let mut dialer = Peer::join_from(&star, THREE).await;
    assert_talk(&mut dialer, &mut callee, "past websockets").await;
    for client in clients {
        client.disconnect().await;
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn a_star_full_of_websockets_still_says_how_it_is() {
    let mut star = star(&[]);
    let mut clients = websockets(&star, ONE, ALL / 2).await;
    clients.extend(websockets(&star, TWO, ALL / 2).await);
    for from in [ONE, TWO, THREE] {
        assert_healthy_from(&star, from).await;
        assert_eq!(get_from(from, star.port(), "/").await.status, 503);
    }
    assert!(refused(&star, "star-full").await >= 6);
    // Sockets that fill the reserve and say nothing go first, too.
    let crowd = idle_sockets(&star, ONE, 64).await;
    assert_healthy_from(&star, THREE).await;
    assert_healthy_from(&star, ONE).await;
    drop((clients, crowd));
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn r_http_5_an_address_has_its_share_of_polling_sessions() {
    let star = star(&["--max-connections-per-ip", "20"]);
    let target = "/socket.io/?EIO=4&transport=polling";
    for _ in 0..20 {
        assert_eq!(get_from(ONE, star.port(), target).await.status, 200);
    }
    assert_eq!(get_from(ONE, star.port(), target).await.status, 503);
    assert_eq!(get_from(TWO, star.port(), target).await.status, 200);
    let mut callee = Peer::join_from(&star, TWO).await;
    let mut dialer = Peer::join_from(&star, ONE).await;
    assert_talk(&mut dialer, &mut callee, "past sessions").await;
    star.stop().await;
}

/// Bodies that do not come, and answers that are not read.
#[tokio::test]
async fn slow_requests_and_unread_answers_are_given_up() {
    const N_SLOW: usize = 100;
    const N_UNREAD: usize = 40;
    let mut star = star(&["--max-connections-per-ip", "450"]);
    let target = "/socket.io/?EIO=4&transport=polling";
    let mut attackers = Vec::new();
    for _ in 0..N_SLOW {
        let connection = HttpConnection::connect_from(ONE, star.port()).await;
        let sid = { connection }.open_session(target).await;
        let mut slow = Raw::connect(&star).await;
        let head =
            format!("POST {target}&sid={sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n4");
        assert!(slow.send(head.as_bytes()).await);
        attackers.push(slow);
    }
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    for _ in 0..N_UNREAD {
        let mut unread = Raw::connect_with_small_window(&star).await;
        // It stops when the star stops reading.
        let _ = timeout(Duration::from_millis(5), unread.send(&request.repeat(20))).await;
        attackers.push(unread);
    }
    let open = metric(&star, "starpoint_sockets").await;
    assert!(open >= (N_SLOW + N_UNREAD) as u64, "{open}");
    let given_up = async {
        while metric(&star, "starpoint_sockets").await > 10 {
            sleep(Duration::from_millis(200)).await;
        }
    };
    let patience = Duration::from_secs(120);
    timeout(patience, given_up).await.expect("all are closed");
    drop(attackers);
    assert_still_serves(&mut star).await;
    star.stop().await;
}
