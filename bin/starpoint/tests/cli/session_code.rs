//! How `starpoint open` gets its session code.

use std::{
    fs::{self, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use crate::{
    folder::Folder,
    program::{Running, run, starpoint},
    stage::Stage,
    tunnel::{OK, assert_serves, listening, port_of, service},
};

/// Starts `open` without the code among its arguments, and returns it once it
/// listens.
fn assert_opens(command: &mut Command, code: &str) {
    let is_code = |arg: &std::ffi::OsStr| arg.to_string_lossy().contains(code);
    assert!(!command.get_args().any(is_code));
    command.args(["--listen", "127.0.0.1:0"]);
    let mut open = Running::start(command);
    assert_serves(listening(&mut open));
    open.signal("TERM");
    assert_eq!(open.wait().code, OK);
}

#[test]
fn a_code_need_not_be_in_the_list_of_processes() {
    let stage = Stage::new();
    let port = port_of(service());
    let host = stage.expose(&[&port, "--accept-all", "--code-uses=9", "--max-clients=9"]);
    let code = &host.code;
    for text in [code.clone(), format!("{code}\n"), format!("{code}\r\n")] {
        let file = stage.folder.write("code", &text);
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
        assert_opens(starpoint().args(["open", "--code-file"]).arg(file), code);
    }
    assert_opens(starpoint().arg("open").env("STARPOINT_CODE", code), code);
    // What is typed wins over the variable.
    let file = stage.folder.join("code");
    let mut command = starpoint();
    command.env("STARPOINT_CODE", "nonsense").arg("open");
    assert_opens(command.arg("--code-file").arg(&file), code);

    let mut command = starpoint();
    command.args(["open", "--code-file", "-", "--listen=127.0.0.1:0"]);
    let mut open = Running::start(command.stdin(Stdio::piped()));
    let mut stdin = open.take_stdin().expect("it is piped");
    writeln!(stdin, "{code}").expect("it is read");
    assert_serves(listening(&mut open));

    let ended = run(starpoint()
        .args(["open", "--stdio", "--code-file"])
        .arg(file));
    assert_eq!(
        (ended.code, &ended.stdout[..]),
        (OK, "hello\n"),
        "{ended:?}"
    );
    assert!(!ended.stderr.contains("warning"), "{ended:?}");
}

#[test]
fn a_file_with_a_code_that_others_can_read_is_warned_of() {
    let folder = Folder::new();
    let file = folder.write("code", "nonsense");
    for (mode, is_warned) in [(0o600, false), (0o640, true), (0o604, true)] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).expect("it is ours");
        let ended = run(starpoint()
            .args(["open", "--stdio", "--code-file"])
            .arg(&file));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("not a session code"), "{ended:?}");
        let warning = "warning: others can read the session code";
        assert_eq!(ended.stderr.contains(warning), is_warned, "{ended:?}");
    }
}

#[test]
fn what_is_no_file_with_a_code_is_refused() {
    let folder = Folder::new();
    let long = folder.write("long", &format!("spt1{}", "a".repeat(10_000_000)));
    let binary = folder.join("binary");
    fs::write(&binary, [0xff; 9]).expect("a file can be written");
    for file in [&long, &binary] {
        fs::set_permissions(file, Permissions::from_mode(0o600)).expect("it is ours");
    }
    let pipe = folder.join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    for (file, expected) in [
        (&pipe, "it is a FIFO"),
        (&folder.join(""), "it is a folder"),
        (&"/dev/zero".into(), "it is a device"),
        (&folder.join("missing"), "cannot read"),
        (&binary, "cannot read"),
        (&long, "it is larger than"),
    ] {
        let ended = run(starpoint()
            .args(["open", "--stdio", "--code-file"])
            .arg(file));
        let (error, _) = ended.expect_failure(2);
        assert!(error.contains(expected), "{error}");
    }
    let both = run(starpoint().args(["open", "spt1", "--stdio", "--code-file", "code"]));
    assert_eq!(both.code, Some(2), "{both:?}");
    for (args, expected) in [
        (&["open", "--stdio"][..], "no session code"),
        (&["open", "--stdio", "-"], "both the code and the data"),
        (
            &["open", "--stdio", "--code-file=-"],
            "both the code and the data",
        ),
    ] {
        let ended = run(starpoint().args(args));
        let (error, _) = ended.expect_failure(2);
        assert!(error.contains(expected), "{error}");
    }
}
