//! A name that stands for another address than before, while a tunnel is open.
//!
//! Needs root and the programs of util-linux, for a file of hosts that only one
//! process sees; fails where it cannot have them.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    program::{Running, starpoint, starpoint_under},
    stage::Stage,
};

/// No name server knows it.
const NAME: &str = "service.test";
const HINT: &str = "hint: this test mounts a file of hosts; run it as root, with util-linux";

/// Becomes the rest of its arguments, with the first of them as file of hosts.
const WITH_HOSTS: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";

static N_REACHED: AtomicUsize = AtomicUsize::new(0);

/// Greets, and counts whom.
fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            N_REACHED.fetch_add(1, Ordering::SeqCst);
            // Who is greeted may have gone.
            let _ = socket.write_all(b"hello\n");
        }
    });
    address
}

fn greeting(address: SocketAddr) -> std::io::Result<String> {
    let mut text = String::new();
    TcpStream::connect(address)?.read_to_string(&mut text)?;
    Ok(text)
}

fn assert_mounts() {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", WITH_HOSTS, "/etc/hosts", "true"]);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{command:?}: {error}\n\n{HINT}"),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}\n{HINT}");
}

#[test]
fn a_name_is_checked_for_every_socket_anew() {
    assert_mounts();
    let stage = Stage::new();
    let path = stage.folder.write("hosts", "");
    // The file itself changes, not what has its name: that is what was mounted.
    let point_at = |address: &str| {
        fs::write(&path, format!("{address} {NAME}\n")).expect("a file can be written");
    };
    point_at("127.0.0.1");
    let port = service().port();
    let hosts = path.to_str().expect("it is UTF-8");
    let mut expose = Running::start(
        starpoint_under(&["unshare", "--mount", "sh", "-c", WITH_HOSTS, hosts])
            .args(["expose", "--accept-all", "--star", &stage.multiaddr()])
            .arg(format!("web={NAME}:{port}")),
    );
    let code = expose.stdout_line();
    let mut open = Running::start(starpoint().args(["open", &code, "--listen", "127.0.0.1:0"]));
    let line = open.stderr_line_with("listening");
    let address = line.split(' ').nth(1).expect("an address");
    let address = address.parse().expect("an address");
    assert_eq!(greeting(address).expect("it is allowed"), "hello\n");

    // Linux takes the first for this machine, too: the service would be reached.
    for elsewhere in ["0.0.0.0", "10.0.0.1", "192.0.2.1", "::ffff:192.0.2.1"] {
        point_at(elsewhere);
        greeting(address).expect_err("it is not allowed");
        open.stderr_line_with("host does not allow the address of the target");
        assert_eq!(N_REACHED.load(Ordering::SeqCst), 1, "{elsewhere}");
    }
    point_at("127.0.0.1");
    assert_eq!(greeting(address).expect("it is allowed again"), "hello\n");
    open.signal("TERM");
    assert_eq!(open.wait().code, Some(0));
}
