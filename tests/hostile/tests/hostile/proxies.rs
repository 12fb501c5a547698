//! What proxies say, and what clients say in their place.

use std::net::Ipv4Addr;

use starpoint_hostile_tests::assert_still_serves;
use starpoint_test_support::{
    Star, StarOptions,
    http::{HttpConnection, get_from},
    within,
};

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A star that believes one proxy, with room for two connections of an address.
fn star(args: &[&str]) -> Star {
    let common = ["--trusted-proxy=127.0.0.9", "--max-connections-per-ip=2"];
    Star::start(&StarOptions::args(common.iter().chain(args).copied()))
}

/// Asks for a WebSocket and returns the status, and the connection to hold it.
async fn websocket(mut connection: HttpConnection, forwarded: &str) -> (u16, HttpConnection) {
    let headers = format!(
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{forwarded}"
    );
    let target = "/socket.io/?EIO=4&transport=websocket";
    let sent = connection.send("GET", target, &headers, b"").await;
    sent.expect("the star reads");
    let response = within("answer", connection.receive()).await;
    (response.expect("the star answers").status, connection)
}

async fn websocket_for(star: &Star, from: Ipv4Addr, client: &str) -> (u16, HttpConnection) {
    let connection = HttpConnection::connect_from(from, star.port()).await;
    websocket(connection, &format!("x-forwarded-for: {client}\r\n")).await
}

#[tokio::test]
async fn each_client_of_a_trusted_proxy_has_its_own_share() {
    let mut star = star(&[]);
    let mut held = Vec::new();
    for client in [
        "192.0.2.1",
        "192.0.2.2",
        "2001:db8:0:1::1",
        "2001:db8:0:2::1",
    ] {
        for _ in 0..2 {
            let (status, connection) = websocket_for(&star, PROXY, client).await;
            assert_eq!(status, 101, "{client}");
            held.push(connection);
        }
    }
    // An IPv6 client has a whole /64, and anybody may write what they like before it.
    for client in ["192.0.2.1", "198.51.100.7, 192.0.2.1", "2001:db8:0:1::ffff"] {
        let (status, _) = websocket_for(&star, PROXY, client).await;
        assert_eq!(status, 503, "{client}");
    }
    drop(held);
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let mut star = star(&[]);
    let mut held = Vec::new();
    for client in ["192.0.2.1", "192.0.2.2"] {
        let (status, connection) = websocket_for(&star, STRANGER, client).await;
        assert_eq!(status, 101);
        held.push(connection);
    }
    let (status, _) = websocket_for(&star, STRANGER, "192.0.2.3").await;
    assert_eq!(status, 503);
    let (status, _) = websocket_for(&star, PROXY, "192.0.2.1").await;
    assert_eq!(status, 101);
    drop(held);
    assert_still_serves(&mut star).await;
    star.stop().await;
}

/// A connection that begins with a header of the PROXY protocol.
async fn introduced(star: &Star, from: Ipv4Addr, client: [u8; 4]) -> HttpConnection {
    let mut connection = HttpConnection::connect_from(from, star.port()).await;
    let header = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..],
        &client,
        &[127, 0, 0, 1, 0x30, 0x39, 0x23, 0x82],
    ];
    // The star may have closed the connection of somebody that it does not trust.
    let _ = connection.send_raw(&header.concat()).await;
    connection
}

#[tokio::test]
async fn a_trusted_proxy_says_with_the_proxy_protocol_who_connects() {
    let mut star = star(&["--proxy-protocol"]);
    let mut held = Vec::new();
    for (client, status) in [(1, 101), (1, 101), (2, 101), (1, 503), (2, 101), (2, 503)] {
        let connection = introduced(&star, PROXY, [192, 0, 2, client]).await;
        // The client is no proxy: what it claims to forward is ignored.
        let answer = websocket(connection, "x-forwarded-for: 203.0.113.1\r\n").await;
        assert_eq!(answer.0, status, "{client}");
        held.push(answer.1);
    }
    for text in [
        &b"GET /healthz HTTP/1.1\r\nhost: star\r\n\r\n"[..],
        &[0; 64],
    ] {
        let mut connection = HttpConnection::connect_from(PROXY, star.port()).await;
        connection.send_raw(text).await.expect("the star reads");
        assert_eq!(connection.receive_to_end().await, b"", "no header");
    }
    // A client that comes past the proxy speaks HTTP, and cannot introduce itself.
    let answer = get_from(STRANGER, star.port(), "/healthz").await;
    assert_eq!(answer.status, 200);
    let connection = introduced(&star, STRANGER, [192, 0, 2, 9]).await;
    let answer = connection.receive_to_end().await;
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{answer:?}");
    drop(held);
    assert_still_serves(&mut star).await;
    star.stop().await;
}
