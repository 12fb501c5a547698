//! The pages of a star: for people, for probes, for Prometheus.

use starpoint_server::{Config, Metrics, Server, Shutdown};
use starpoint_test_support::{
    client::{Client, Engine, Identity},
    http::{HttpConnection, get},
};

/// Starts a star that runs until the test ends, and returns its port.
async fn start(config: Config) -> u16 {
    let config = Config {
        listen: vec![([127, 0, 0, 1], 0).into()],
        ..config
    };
    let server = Server::bind(config).await.expect("works in a test");
    let port = server.listening()[0].addr.port();
    tokio::spawn(server.run(Shutdown::new()));
    port
}

/// Returns the value of a metric that is there exactly once.
fn value(metrics: &str, name: &str) -> u64 {
    let mut lines = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = lines
        .next()
        .unwrap_or_else(|| panic!("no {name} in\n{metrics}"));
    assert_eq!(lines.next(), None, "{name} twice");
    value.parse().expect("works in a test")
}

#[tokio::test]
async fn the_page_says_how_many_are_here() {
    let port = start(Config::default()).await;
    assert!(get(port, "/").await.text().contains("Nobody is here now."));
    let mut client = Client::connect(port, Engine::V4).await;
    let identity = Identity::new(1);
    client.join(&identity, &identity.address(port)).await;
    let page = get(port, "/").await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.text().contains("One peer is here now."));
    assert_eq!(get(port, "/healthz").await.text(), "ok\n");
}

#[tokio::test]
async fn metrics_have_the_historic_names_and_count() {
    let port = start(Config::default()).await;
    let mut clients = Vec::new();
    for number in [1, 2] {
        let identity = Identity::new(number);
        let mut client = Client::connect(port, Engine::V3).await;
        client.join(&identity, &identity.address(port)).await;
        clients.push(client);
    }
    let dial = ["/ip4/127.0.0.1", "/ip4/127.0.0.1", "x"];
    clients[0].call("ss-dial", dial).await;
    clients[1].call("ss-leave", ["nonsense"]).await;

    let page = get(port, "/metrics").await;
    let kind = page.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let metrics = page.text();
    assert!(metrics.ends_with("# EOF\n"));
    assert_eq!(value(&metrics, "rendezvous_peers"), 2);
    assert_eq!(value(&metrics, "rendezvous_joins_total"), 2);
    assert_eq!(value(&metrics, "rendezvous_joins_total_success"), 2);
    assert_eq!(value(&metrics, "rendezvous_joins_total_failure"), 0);
    assert_eq!(value(&metrics, "rendezvous_dials_total"), 1);
    assert_eq!(value(&metrics, "rendezvous_dials_total_success"), 0);
    assert_eq!(value(&metrics, "rendezvous_dials_total_failure"), 1);
    for (labeled, count) in [
        (r#"starpoint_refusals_total{code="not-authorized"}"#, 1),
        (r#"starpoint_refusals_total{code="invalid-address"}"#, 1),
        (r#"starpoint_dials_total{outcome="refused"}"#, 1),
        (r#"starpoint_build_info{version="0.1.0"}"#, 1),
    ] {
        assert_eq!(value(&metrics, labeled), count);
    }
    for name in [
        "starpoint_relayed_bytes_total",
        "starpoint_streams_open",
        "starpoint_queued_bytes",
    ] {
        assert_eq!(value(&metrics, name), 0);
    }
}

#[tokio::test]
async fn hidden_metrics_are_not_found() {
    let port = start(Config {
        metrics: Metrics::Hidden,
        ..Config::default()
    })
    .await;
    assert_eq!(get(port, "/metrics").await.status, 404);
}

#[tokio::test]
async fn r_http_2_scripts_of_other_sites_reach_socket_io_only() {
    let port = start(Config::default()).await;
    let origin = "origin: https://elsewhere.example\r\n";
    let preflight = format!("{origin}access-control-request-method: POST\r\n");
    let mut connection = HttpConnection::connect(port).await;
    for (method, headers) in [("GET", origin), ("OPTIONS", preflight.as_str())] {
        for (target, is_open) in [
            ("/socket.io/?EIO=4&transport=polling", true),
            ("/socket.io?EIO=3&transport=polling", true),
            ("/", false),
            ("/healthz", false),
            ("/metrics", false),
            ("/star/pipe/00", false),
            ("/nothing", false),
        ] {
            connection.send(method, target, headers, b"").await.unwrap();
            let response = connection.receive().await.unwrap();
            let allowed = response.header("access-control-allow-origin");
            let expected = is_open.then_some("https://elsewhere.example");
            assert_eq!(allowed, expected, "{method} {target}");
            let credentials = response.header("access-control-allow-credentials");
            assert_eq!(credentials, is_open.then_some("true"), "{method} {target}");
        }
    }
}
