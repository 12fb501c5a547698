//! The file that remembers which star is where.

use std::{fs, path::Path, process::Command};

use starpoint_test_support::{Star, StarOptions};

use crate::{
    folder::Folder,
    program::{Ended, run, starpoint},
    stage::star_at,
};

const WRONG_STAR: i32 = 10;

/// A star with a key of its own.
fn star(folder: &Folder, name: &str, port: Option<u16>) -> Star {
    let key = folder.join(name);
    let mut options = StarOptions::args(["--key", key.to_str().expect("it is UTF-8")]);
    options.port = port;
    Star::start(&options)
}

/// Returns a command that looks at the star of this port and remembers it.
fn look(port: u16, known: &Path) -> Command {
    let mut command = starpoint();
    command.args(["peers", "--wait", "0s", "--star", &star_at(port)]);
    command.env("STARPOINT_KNOWN_STARS", known);
    command
}

fn id_in(line: &str) -> &str {
    line.trim().rsplit(' ').next().expect("a line has an id")
}

#[test]
fn r_trans_31_another_star_in_the_place_of_a_known_one_is_an_error_that_names_the_line() {
    let folder = Folder::new();
    let known = folder.write("known_stars", "# mine\n");
    let first = star(&folder, "first.key", None);
    let port = first.port();
    run(&mut look(port, &known)).expect_output();
    let text = fs::read_to_string(&known).unwrap();
    let line = text.strip_prefix("# mine\n").expect("it is kept");
    assert!(
        line.starts_with(&format!("127.0.0.1:{port} 12D3KooW")),
        "{text}"
    );
    // Once is enough.
    run(&mut look(port, &known)).expect_output();
    assert_eq!(fs::read_to_string(&known).unwrap(), text);
    first.stop_blocking();

    let second = star(&folder, "second.key", Some(port));
    let other = folder.join("others");
    run(&mut look(port, &other)).expect_output();
    let others = fs::read_to_string(&other).unwrap();
    let tell = |ended: &Ended| {
        let (error, hint) = ended.expect_failure(WRONG_STAR);
        let text = format!("{error}\n{hint}")
            .replace(&port.to_string(), "PORT")
            .replace(id_in(line), "FIRST")
            .replace(id_in(&others), "SECOND");
        text.replace(&known.display().to_string(), "FILE")
    };
    let expected = "cannot use the star /ip4/127.0.0.1/tcp/PORT/ws/p2p-websocket-star: \
        the star at 127.0.0.1:PORT was FIRST and is SECOND\n\
        somebody may be in its place: ask its operator; if the star has a new key, \
        remove line 2 of FILE";
    assert_eq!(tell(&run(&mut look(port, &known))), expected);
    // It is not forgotten by that, and by no other command.
    let peer = format!("{}/p2p/{}", star_at(port), id_in(line));
    let key = folder.join("peer.key");
    for args in [
        &["ping", "-c1", &peer][..],
        &["connect", &peer],
        &["connect", "--raw", &peer],
        &["listen", "--star", &star_at(port)],
        &["listen", "--raw", "--star", &star_at(port)],
    ] {
        let mut command = starpoint();
        command.args(args).env("STARPOINT_KNOWN_STARS", &known);
        let ended = run(command.arg("--key").arg(&key));
        let (error, hint) = ended.expect_failure(WRONG_STAR);
        assert!(error.contains(" and is 12D3KooW"), "{args:?}: {error}");
        assert!(hint.contains("remove line 2 of "), "{args:?}: {hint}");
    }
    fs::write(&known, "# mine\n").unwrap();
    run(&mut look(port, &known)).expect_output();
    second.stop_blocking();
}

#[test]
fn a_file_that_cannot_be_written_is_a_warning() {
    let folder = Folder::new();
    let star = star(&folder, "star.key", None);
    let known = Path::new("/proc/self/known_stars");
    let ended = run(&mut look(star.port(), known));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let begin = "warning: cannot write the known stars";
    assert!(ended.stderr.starts_with(begin), "{ended:?}");
    star.stop_blocking();
}

#[test]
fn known_stars_are_in_the_data_folder_unless_said_otherwise() {
    let folder = Folder::new();
    let star = star(&folder, "star.key", None);
    let mut command = look(star.port(), Path::new(""));
    command.env("XDG_DATA_HOME", folder.path());
    run(&mut command).expect_output();
    assert!(folder.join("starpoint/known_stars").is_file());
    star.stop_blocking();
}

#[test]
fn r_native_14_a_host_that_the_operator_has_not_named_has_its_hint() {
    let star = Star::with_args(["--host", "star.example"]);
    let folder = Folder::new();
    let ended = run(&mut look(star.port(), &folder.join("known_stars")));
    let (error, hint) = ended.expect_failure(WRONG_STAR);
    assert!(error.ends_with(" it says"), "{error}");
    assert!(hint.contains("--host"), "{hint}");
    star.stop_blocking();
}

#[test]
fn r_trans_31_a_file_that_cannot_say_which_star_is_known_is_an_error() {
    const CONFIG: i32 = 3;
    let folder = Folder::new();
    let star = star(&folder, "star.key", None);
    let damaged = folder.write("damaged", &format!("127.0.0.1:{} garbage\n", star.port()));
    let no_text = folder.write("no_text", "\u{0}\u{1}\n127.0.0.1:1 nobody\n");
    let folded = folder.join("folder");
    fs::create_dir(&folded).unwrap();
    let pipe = folder.join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("the system has mkfifo").success());
    for (known, cause) in [
        (&damaged, "no star in line 1"),
        (&no_text, "no star in line 1"),
        (&folded, "cannot read"),
        (&pipe, "cannot read"),
        (&damaged.join("below"), "cannot read"),
    ] {
        let ended = run(&mut look(star.port(), known));
        let (error, hint) = ended.expect_failure(CONFIG);
        assert!(error.contains(cause), "{error}");
        assert!(hint.contains("--known-stars"), "{hint}");
    }
    let text = fs::read_to_string(&damaged).unwrap();
    assert!(text.ends_with("garbage\n"), "nothing is trusted: {text}");
    star.stop_blocking();
}
