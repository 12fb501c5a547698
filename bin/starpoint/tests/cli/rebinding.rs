//! A name that stands for another address than before, while a tunnel is open.
//!
//! Needs root and the programs of util-linux, for a file of hosts that only one
//! process sees; fails where it cannot have them.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
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

/// Greets, and counts whom.
struct Service {
    port: u16,
    n_reached: Arc<AtomicUsize>,
}

impl Service {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let n_reached = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&n_reached);
        thread::spawn(move || {
            for mut socket in listener.incoming().map_while(Result::ok) {
                counter.fetch_add(1, Ordering::SeqCst);
                // Who is greeted may have gone.
                let _ = socket.write_all(b"hello\n");
            }
        });
        Self { port, n_reached }
    }

    fn n_reached(&self) -> usize {
        self.n_reached.load(Ordering::SeqCst)
    }
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

/// A host that offers `web` under [`NAME`], and a client of it.
struct Renamed {
    path: PathBuf,
    address: SocketAddr,
    open: Running,
    _expose: Running,
    _stage: Stage,
}

impl Renamed {
    fn new(port: u16, args: &[&str]) -> Self {
        assert_mounts();
        let stage = Stage::new();
        let path = stage.folder.write("hosts", &format!("127.0.0.1 {NAME}\n"));
        let hosts = path.to_str().expect("it is UTF-8");
        let mut expose = Running::start(
            starpoint_under(&["unshare", "--mount", "sh", "-c", WITH_HOSTS, hosts])
                .args(["expose", "--accept-all", "--star", &stage.multiaddr()])
                .arg(format!("web={NAME}:{port}"))
                .args(args),
        );
        let code = expose.stdout_line();
        let mut open = Running::start(starpoint().args(["open", &code, "--listen", "127.0.0.1:0"]));
        let line = open.stderr_line_with("listening");
        let address = line.split(' ').nth(1).expect("an address");
        Self {
            address: address.parse().expect("an address"),
            path,
            open,
            _expose: expose,
            _stage: stage,
        }
    }

    /// The file itself changes, not what has its name: that is what was mounted.
    fn point_at(&self, address: &str) {
        fs::write(&self.path, format!("{address} {NAME}\n")).expect("a file can be written");
    }

    fn assert_greets(&self) {
        assert_eq!(greeting(self.address).expect("it is allowed"), "hello\n");
    }

    fn assert_forbidden(&mut self, address: &str) {
        self.point_at(address);
        greeting(self.address).expect_err(address);
        let line = self.open.stderr_line_with("no socket for");
        let reason = "host does not allow the address of the target";
        assert!(line.ends_with(reason), "{address}: {line}");
    }
}

#[test]
fn a_name_is_checked_for_every_socket_anew() {
    let service = Service::new();
    let mut renamed = Renamed::new(service.port, &[]);
    renamed.assert_greets();
    // Linux takes the first for this machine, too: the service would be reached.
    for elsewhere in ["0.0.0.0", "10.0.0.1", "192.0.2.1", "::ffff:192.0.2.1"] {
        renamed.assert_forbidden(elsewhere);
        assert_eq!(service.n_reached(), 1, "{elsewhere}");
    }
    renamed.point_at("127.0.0.1");
    renamed.assert_greets();
    renamed.open.signal("TERM");
    assert_eq!(renamed.open.wait().code, Some(0));
}

#[test]
fn a_name_never_comes_to_stand_for_a_link_local_address() {
    let service = Service::new();
    let mut renamed = Renamed::new(service.port, &["--allow-lan"]);
    renamed.assert_greets();
    for address in [
        "169.254.169.254",
        "169.254.1.1",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "0.0.0.0",
        "::",
        "255.255.255.255",
        "224.0.0.1",
        "ff02::1",
        // This machine by way of a translator or a tunnel.
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "::127.0.0.1",
    ] {
        renamed.assert_forbidden(address);
        assert_eq!(service.n_reached(), 1, "{address}");
    }
    renamed.point_at("::ffff:127.0.0.1");
    renamed.assert_greets();
}
