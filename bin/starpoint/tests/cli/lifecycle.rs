//! A star from its first line to its end.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
};

use crate::{
    folder::Folder,
    program::{Running, run, starpoint},
};

/// Takes the next `listening` line apart.
pub(crate) fn listening(star: &mut Running) -> (String, SocketAddr) {
    let line = star.stdout_line();
    let url = line.strip_prefix("listening ").expect("a listening line");
    let (scheme, addr) = url.split_once("://").expect("a URL");
    let addr: SocketAddr = addr.parse().expect("an address and nothing behind it");
    assert_ne!(addr.port(), 0);
    (scheme.to_owned(), addr)
}

/// Asks for a page over plain HTTP and returns the first line of the answer.
fn get(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).expect("the star listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .expect("the star reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("the star answers");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_listening_line_is_all_of_stdout() {
    let mut star = Running::start(starpoint().args(["serve", "--listen=127.0.0.1:0"]));
    let (scheme, addr) = listening(&mut star);
    assert_eq!(scheme, "http");
    assert_eq!(get(addr, "/healthz"), "HTTP/1.1 200 OK");
    star.signal("TERM");
    let ended = star.wait();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
}

#[test]
fn each_listener_has_a_line_in_the_order_asked_for() {
    let mut star = Running::start(starpoint().args([
        "serve",
        "--listen=127.0.0.1:0",
        "--listen=[::1]:0",
        "--listen=127.0.0.1:0",
    ]));
    let addrs: Vec<_> = (0..3).map(|_| listening(&mut star).1).collect();
    assert_eq!(
        addrs.iter().map(SocketAddr::is_ipv6).collect::<Vec<_>>(),
        [false, true, false]
    );
    for addr in addrs {
        assert_eq!(get(addr, "/healthz"), "HTTP/1.1 200 OK", "{addr}");
    }
    star.signal("TERM");
    let ended = star.wait();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
}

#[test]
fn certificate_and_key_make_it_https() {
    let folder = Folder::new();
    folder.write_certificate();
    let path = folder.write(
        "starpoint.toml",
        "listen = [\"127.0.0.1:0\"]\ntls-cert = \"cert.pem\"\ntls-key = \"key.pem\"\n",
    );
    let mut star = Running::start(starpoint().arg("serve").arg("--config").arg(path));
    assert_eq!(listening(&mut star).0, "https");
    star.signal("INT");
    assert_eq!(star.wait().code, Some(0));
}

#[test]
fn metrics_can_be_hidden() {
    for (flag, answer) in [
        ("--no-metrics=false", "HTTP/1.1 200 OK"),
        ("--no-metrics", "HTTP/1.1 404 Not Found"),
    ] {
        let mut star = Running::start(starpoint().args(["serve", "--listen=127.0.0.1:0", flag]));
        let (_, addr) = listening(&mut star);
        assert_eq!(get(addr, "/metrics"), answer, "{flag}");
    }
}

#[test]
fn sigterm_and_sigint_end_it_with_0() {
    for signal in ["TERM", "INT"] {
        let mut star = Running::start(starpoint().args(["serve", "--listen=127.0.0.1:0"]));
        listening(&mut star);
        star.signal(signal);
        let stopping = star.stderr_line_with("Stopping");
        assert!(stopping.contains(&format!("SIG{signal}")), "{stopping}");
        let ended = star.wait();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("Star stopped"), "{ended:?}");
    }
}

#[test]
fn the_key_is_made_at_the_first_start_and_kept() {
    let folder = Folder::new();
    let key = folder.join("keys/star");
    let named_at_start = || {
        let mut command = starpoint();
        command.args([
            "serve",
            "--listen=127.0.0.1:0",
            "--log-format=json",
            "--key",
        ]);
        let mut star = Running::start(command.arg(&key));
        let line = star.stderr_line_with("Star started");
        let line: serde_json::Value = serde_json::from_str(&line).expect("a line is JSON");
        line["star"].as_str().expect("the star is named").to_owned()
    };
    let first = named_at_start();
    assert!(first.starts_with("12D3Koo"), "{first}");
    assert_eq!(named_at_start(), first);
}

#[test]
fn a_key_file_that_cannot_be_used_stops_a_star_only_if_it_was_named() {
    let folder = Folder::new();
    let key = folder.write("starpoint/star.key", "no key");
    let mut permissions = std::fs::metadata(&key).expect("it is there").permissions();
    permissions.set_mode(0o600);
    std::fs::set_permissions(&key, permissions).expect("it is ours");
    let serve = || {
        let mut command = starpoint();
        command.args(["serve", "--listen=127.0.0.1:0"]);
        command.env("XDG_DATA_HOME", folder.path());
        command
    };
    let mut by_default = Running::start(&mut serve());
    by_default.stderr_line_with("Cannot use the default key file");
    listening(&mut by_default);

    let ended = run(serve().arg("--key").arg(&key));
    let (error, _) = ended.expect_failure(13);
    assert!(error.contains("star.key"), "{error}");
}

#[test]
fn the_port_is_free_again_afterwards() {
    let mut first = Running::start(starpoint().args(["serve", "--listen=127.0.0.1:0"]));
    let (_, addr) = listening(&mut first);
    assert_eq!(get(addr, "/healthz"), "HTTP/1.1 200 OK");
    first.signal("TERM");
    assert_eq!(first.wait().code, Some(0));

    let mut second = Running::start(starpoint().args(["serve", "--listen", &addr.to_string()]));
    assert_eq!(listening(&mut second).1, addr);
}
