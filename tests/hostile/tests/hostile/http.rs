//! Requests that are no peer's.

use starpoint_hostile_tests::{assert_still_serves, connected_pair};
use starpoint_test_support::{Star, http, http::HttpConnection};

#[tokio::test]
async fn r_http_1_unknown_paths_are_not_found() {
    let mut star = Star::with_args([]);
    for target in [
        "/nothing",
        "/socket.io.js",
        "/../../etc/passwd",
        "/%2e%2e/",
        "/metrics/",
        "/a?b=c",
    ] {
        let response = http::get(star.port(), target).await;
        assert_eq!(response.status, 404, "{target}");
    }
    for target in ["/", "/healthz", "/metrics"] {
        let response = http::get(star.port(), target).await;
        assert_eq!(response.status, 200, "{target}");
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn handshakes_that_ask_for_the_impossible_are_refused() {
    let mut star = Star::with_args([]);
    for query in [
        "",
        "?EIO=3",
        "?transport=polling",
        "?EIO=2&transport=polling",
        "?EIO=99&transport=polling",
        "?EIO=3&transport=pigeon",
        "?EIO=3&transport=polling&sid=nobody",
        "?EIO=4&transport=polling&sid=__proto__",
        "?EIO=4&transport=polling&sid=%00",
        "?EIO=3&transport=websocket",
    ] {
        let response = http::get(star.port(), &format!("/socket.io/{query}")).await;
        assert!(
            (400..500).contains(&response.status),
            "{query}: {}",
            response.status
        );
    }
    let mut connection = HttpConnection::connect(star.port()).await;
    for method in ["PUT", "DELETE", "PATCH", "BREW"] {
        let target = "/socket.io/?EIO=4&transport=polling";
        connection.send(method, target, "", b"").await.unwrap();
        let response = connection.receive().await.unwrap();
        assert!(
            (400..500).contains(&response.status),
            "{method}: {}",
            response.status
        );
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

#[tokio::test]
async fn what_is_no_http_ends_the_connection() {
    let mut star = Star::with_args([]);
    let long_header = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n",
        "a".repeat(1 << 20)
    );
    let many_headers = format!(
        "GET / HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "a: b\r\n".repeat(100_000)
    );
    let long_target = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(1 << 20));
    let garbage = [0_u8, 255, 254, 13, 10, 0, 0].repeat(10_000);
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".as_slice(),
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
        long_header.as_bytes(),
        many_headers.as_bytes(),
        long_target.as_bytes(),
        &garbage,
    ] {
        let mut connection = HttpConnection::connect(star.port()).await;
        // The star may end the connection before it has read everything.
        let _ = connection.send_raw(bytes).await;
        let answer = connection.receive_to_end().await;
        let start = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
        assert!(
            start.is_empty() || start.starts_with("HTTP/1.1 4"),
            "{start:?}"
        );
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}

/// A body that claims to be long, and one that never ends.
#[tokio::test]
async fn posts_that_are_longer_than_allowed_are_refused() {
    let mut star = Star::with_args(["--max-message", "65536"]);
    let (dialer, callee) = connected_pair(&star).await;
    let baseline = star.rss_bytes();
    for engine in [3, 4] {
        let target = format!("/socket.io/?EIO={engine}&transport=polling");
        let mut connection = HttpConnection::connect(star.port()).await;
        let sid = connection.open_session(&target).await;
        let target = format!("{target}&sid={sid}");
        // The star may answer before it has read everything.
        let _ = connection
            .send("POST", &target, "", &vec![b'1'; 8 << 20])
            .await;
        let answer = connection.receive_or_end().await;
        assert!(answer.is_none_or(|response| (400..500).contains(&response.status)));
    }
    starpoint_hostile_tests::assert_memory_returns(&star, baseline).await;
    drop((dialer, callee));
    assert_still_serves(&mut star).await;
    star.stop().await;
}

/// What the library behind the star would read in another way.
#[tokio::test]
async fn r_http_6_queries_that_have_two_readings_are_refused() {
    let mut star = Star::with_args([]);
    let mut connection = HttpConnection::connect(star.port()).await;
    let upgrade = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let target = "/socket.io/?EIO=4&transport=polling";
    let sid = connection.open_session(target).await;
    for query in [
        "EIO=4&transport=websocket=",
        "EIO=4&transport=websocket=1",
        "EIO=4&transport=polling&transport=websocket=&sid=%31",
        "EIO=3=&transport=polling",
        &format!("EIO=4&transport=websocket=&sid={sid}"),
    ] {
        let target = format!("/socket.io/?{query}");
        connection.send("GET", &target, upgrade, b"").await.unwrap();
        let response = connection.receive().await.unwrap();
        assert_eq!(response.status, 400, "{query}");
    }
    // The first of two counts, for everybody.
    let target = format!("{target}&transport=websocket&sid={sid}");
    connection
        .send("POST", &target, upgrade, b"3")
        .await
        .unwrap();
    assert_eq!(connection.receive().await.unwrap().status, 200);
    assert_still_serves(&mut star).await;
    star.stop().await;
}

/// Many small packets in one body, in every spelling of the content type.
#[tokio::test]
async fn r_http_8_a_body_of_many_packets_is_read_in_time() {
    let mut star = Star::with_args([]);
    let text = b"1:2".repeat(5000);
    let binary = b"\x00\x01\xff2".repeat(4000);
    let text4 = b"2\x1e".repeat(8000);
    for (engine, kind, body) in [
        (3, "text/plain", &text),
        (3, "application/octet-stream", &binary),
        (3, "application/octet-stream;x", &binary),
        (4, "application/octet-stream", &text4),
    ] {
        let mut connection = HttpConnection::connect(star.port()).await;
        let target = format!("/socket.io/?EIO={engine}&transport=polling");
        let sid = connection.open_session(&target).await;
        let target = format!("{target}&sid={sid}");
        let kind = format!("content-type: {kind}\r\n");
        let body = &body[..body.len().min(16_000)];
        connection.send("POST", &target, &kind, body).await.unwrap();
        let response = connection.receive().await.unwrap();
        assert_eq!(
            (response.status, response.text()),
            (200, "ok".to_owned()),
            "{kind}"
        );
    }
    assert_still_serves(&mut star).await;
    star.stop().await;
}
