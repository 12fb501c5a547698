//! Peers that reach their star through a reverse proxy.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use starpoint_test_support::Star;

use crate::{
    folder::Folder,
    pipe::{exchange, payload, sha256},
    program::{Running, starpoint},
    stage::closed_port,
    tls::write_certificates,
};

/// A proxy of ours: reads the head of a request, adds a field as proxies do, and
/// passes everything else in small pieces.
fn small_proxy(star: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    // Ends with the process.
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || pass(client, star));
        }
    });
    port
}

fn pass(mut client: TcpStream, star: u16) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    head.truncate(head.len() - 2);
    head.extend_from_slice(b"X-Forwarded-For: 192.0.2.1\r\n\r\n");
    let mut server = TcpStream::connect(("127.0.0.1", star))?;
    server.write_all(&head)?;
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || copy(from, to));
    copy(server, client)?;
    up.join().unwrap_or(Ok(()))
}

fn copy(mut from: TcpStream, mut to: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer)? {
            0 => return to.shutdown(Shutdown::Write),
            n => to.write_all(&buffer[..n])?,
        }
    }
}

/// nginx in front of a star, with TLS. Killed when dropped.
struct Nginx {
    child: Child,
    port: u16,
    folder: Folder,
}

impl Nginx {
    /// Starts it; `None` on a machine without nginx.
    fn start(star: u16) -> Option<Self> {
        let folder = Folder::new();
        write_certificates(&folder);
        let port = closed_port();
        let dir = folder.path().display();
        let config = format!(
            "daemon off; master_process off; pid {dir}/pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n\
               access_log off;\n\
               client_body_temp_path {dir}/1; proxy_temp_path {dir}/2; fastcgi_temp_path {dir}/3;\n\
               uwsgi_temp_path {dir}/4; scgi_temp_path {dir}/5;\n\
               server {{\n\
                 listen 127.0.0.1:{port} ssl;\n\
                 ssl_certificate {dir}/chain.pem; ssl_certificate_key {dir}/key.pem;\n\
                 location / {{\n\
                   proxy_pass http://127.0.0.1:{star};\n\
                   proxy_http_version 1.1;\n\
                   proxy_set_header Upgrade $http_upgrade;\n\
                   proxy_set_header Connection \"upgrade\";\n\
                   proxy_read_timeout 60s;\n\
                 }}\n\
               }}\n\
             }}\n"
        );
        let config = folder.write("nginx.conf", &config);
        let child = Command::new("nginx")
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .spawn()
            .ok()?;
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "nginx listens");
            thread::sleep(Duration::from_millis(10));
        }
        Some(Self {
            child,
            port,
            folder,
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Fails only if it has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends 8 MiB there and back through `home`, and returns what the pipes of the
/// star have carried.
fn echo_through(star: &Star, home: &str, ca: Option<&str>) -> u64 {
    let folder = Folder::new();
    let key = folder.join("key");
    let with_ca = |mut command: Command| {
        command.envs(ca.map(|file| ("STARPOINT_CA", file)));
        command
    };
    let mut listen = starpoint();
    listen
        .args(["listen", "--echo", "--star", home, "--key"])
        .arg(&key);
    let mut listen = Running::start(&mut with_ca(listen));
    let line = listen.stdout_line();
    let address = line.strip_prefix("listening ").expect("an address");
    let mut connect = starpoint();
    connect.args(["connect", address]);
    let sent = payload(5, 8 * 1024 * 1024);
    let done = exchange(&mut with_ca(connect), sent.clone());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(sha256(&done.received), sha256(&sent));
    piped_bytes(star.port())
}

fn piped_bytes(star: u16) -> u64 {
    let mut stream = TcpStream::connect(("127.0.0.1", star)).expect("the star listens");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: star\r\nconnection: close\r\n\r\n")
        .expect("the star reads");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("the page is text");
    page.lines()
        .find_map(|line| line.strip_prefix("starpoint_piped_bytes_total "))
        .and_then(|number| number.trim().parse().ok())
        .expect("the star counts")
}

#[test]
fn pipes_pass_a_proxy() {
    let star = Star::with_args([]);
    let port = small_proxy(star.port());
    let home = format!("/ip4/127.0.0.1/tcp/{port}/ws/p2p-websocket-star");
    assert!(echo_through(&star, &home, None) > 16 * 1024 * 1024);
}

/// Where nginx is not installed, the proxy of ours has to do.
#[test]
fn pipes_pass_nginx_that_does_tls() {
    let star = Star::with_args([]);
    let Some(nginx) = Nginx::start(star.port()) else {
        return pipes_pass_a_proxy();
    };
    let home = format!("/dns4/localhost/tcp/{}/wss/p2p-websocket-star", nginx.port);
    let ca = nginx.folder.join("ca.pem").display().to_string();
    assert!(echo_through(&star, &home, Some(&ca)) > 16 * 1024 * 1024);
}
