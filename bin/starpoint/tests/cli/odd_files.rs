//! Files that are no files, and private keys that everybody can read.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    folder::Folder,
    lifecycle::listening,
    program::{Running, run, starpoint},
};

const USAGE: i32 = 2;
const CONFIG: i32 = 3;
const TLS: i32 = 5;
const KEY: i32 = 13;

const STAR: &str = "/ip4/127.0.0.1/tcp/9/ws/p2p-websocket-star";

/// Every way to name a file, and the exit code when it cannot be used.
const NAMED: [(&[&str], i32); 7] = [
    (&["open", "--stdio", "--code-file"], USAGE),
    (&["serve", "--listen=127.0.0.1:0", "--config"], CONFIG),
    (&["serve", "--listen=127.0.0.1:0", "--key"], KEY),
    (&["id", "--key"], KEY),
    (&["peers", "--star", STAR, "--ca"], TLS),
    (
        &[
            "serve",
            "--listen=127.0.0.1:0",
            "--tls-key=KEY",
            "--tls-cert",
        ],
        TLS,
    ),
    (
        &[
            "serve",
            "--listen=127.0.0.1:0",
            "--tls-cert=CERT",
            "--tls-key",
        ],
        TLS,
    ),
];

fn refused(folder: &Folder, args: &[&str], path: &Path, code: i32) -> String {
    let good = |name: &str| folder.join(name).display().to_string();
    let args = args.iter().map(|arg| {
        arg.replace("CERT", &good("cert.pem"))
            .replace("KEY", &good("key.pem"))
    });
    let ended = run(starpoint().args(args).arg(path));
    let (error, hint) = ended.expect_failure(code);
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert!(hint.contains("--"), "no flag in the hint: {hint}");
    error.to_owned()
}

fn fifo(folder: &Folder) -> PathBuf {
    let path = folder.join("fifo");
    let made = Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(&path)
        .status();
    assert!(made.expect("mkfifo runs").success());
    path
}

/// Each of these runs would wait for ever: nobody writes into the FIFO.
#[test]
fn a_fifo_is_refused_wherever_a_file_is_named() {
    let folder = Folder::new();
    folder.write_certificate();
    let path = fifo(&folder);
    for (args, code) in NAMED {
        let error = refused(&folder, args, &path, code);
        assert!(
            error.ends_with("it is a FIFO, and only regular files are read"),
            "{error}"
        );
    }
}

#[test]
fn folders_and_devices_are_refused_wherever_a_file_is_named() {
    let folder = Folder::new();
    folder.write_certificate();
    for (args, code) in NAMED {
        let error = refused(&folder, args, folder.path(), code);
        assert!(
            error.ends_with("it is a folder, and only regular files are read"),
            "{error}"
        );
        let error = refused(&folder, args, Path::new("/dev/zero"), code);
        assert!(
            error.ends_with("it is a device, and only regular files are read"),
            "{error}"
        );
    }
}

#[test]
fn a_file_without_end_is_refused_wherever_a_file_is_named() {
    let folder = Folder::new();
    folder.write_certificate();
    let path = folder.write("large", "");
    let large = fs::File::options().write(true).open(&path).unwrap();
    // Sparse: it takes no room on the disk.
    large.set_len(1 << 40).unwrap();
    large
        .set_permissions(PermissionsExt::from_mode(0o600))
        .unwrap();
    for (args, code) in NAMED {
        let error = refused(&folder, args, &path, code);
        assert!(error.contains("it is larger than "), "{error}");
    }
}

/// What a shell's `<(command)` gives, and a redirection to `/dev/stdin`.
#[test]
fn settings_and_codes_can_come_through_a_pipe() {
    let pipe = |text: &str| {
        let mut feed = Command::new("printf")
            .args(["%s", text])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("printf runs");
        let stdout = feed.stdout.take().expect("it is piped");
        assert!(feed.wait().expect("printf ends").success());
        stdout
    };
    let mut config = starpoint();
    config.args(["serve", "--print-config", "--config=/dev/stdin"]);
    let ended = run(config.stdin(pipe("listen = [\"127.0.0.1:4\"]\n")));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("127.0.0.1:4"), "{ended:?}");

    let mut open = starpoint();
    open.args(["open", "--listen=127.0.0.1:0", "--code-file=/dev/stdin"]);
    let ended = run(open.stdin(pipe("nonsense\n")));
    let (error, _) = ended.expect_failure(USAGE);
    assert!(error.contains("not a session code"), "{error}");
}

#[test]
fn a_tls_key_that_every_user_can_read_is_used_with_a_warning() {
    const WARNING: &str = "Every user of this machine can access the private key";
    let folder = Folder::new();
    folder.write_certificate();
    let key = folder.join("key.pem");
    let set = |mode| fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
    let serve = || {
        let mut command = starpoint();
        command.args(["serve", "--listen=127.0.0.1:0", "--tls-cert"]);
        command
            .arg(folder.join("cert.pem"))
            .arg("--tls-key")
            .arg(&key);
        Running::start(&mut command)
    };
    set(0o644);
    let mut star = serve();
    let line = star.stderr_line_with(WARNING);
    assert!(
        line.contains("WARN") && line.contains("mode=0644"),
        "{line}"
    );
    assert!(
        line.contains("key.pem") && line.contains("chmod 600"),
        "{line}"
    );
    assert_eq!(listening(&mut star).0, "https");
    drop(star);

    // A group is how operators share a key: mentioned, in other words.
    for (mode, is_mentioned) in [(0o600, false), (0o640, true)] {
        set(mode);
        let mut star = serve();
        assert_eq!(listening(&mut star).0, "https");
        star.signal("TERM");
        let stderr = star.wait().stderr;
        assert!(!stderr.contains(WARNING), "{mode:o}: {stderr}");
        let mentioned = stderr.contains("A group of users can access the private key");
        assert_eq!(mentioned, is_mentioned, "{mode:o}: {stderr}");
    }

    // Also when it becomes so while the star runs.
    let mut star = serve();
    listening(&mut star);
    star.stderr_line_with("Star started");
    set(0o604);
    star.stderr_line_with(WARNING);
    star.stderr_line_with("Certificate reloaded");
}
