//! A star from its first line to its end.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use crate::{
    folder::Folder,
    program::{Running, starpoint},
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
fn the_port_is_free_again_afterwards() {
    let mut first = Running::start(starpoint().args(["serve", "--listen=127.0.0.1:0"]));
    let (_, addr) = listening(&mut first);
    assert_eq!(get(addr, "/healthz"), "HTTP/1.1 200 OK");
    first.signal("TERM");
    assert_eq!(first.wait().code, Some(0));

    let mut second = Running::start(starpoint().args(["serve", "--listen", &addr.to_string()]));
    assert_eq!(listening(&mut second).1, addr);
}
