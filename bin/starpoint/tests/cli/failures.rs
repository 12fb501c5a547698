//! What the program says when it cannot do what it is asked, and its codes.

use std::net::TcpListener;

use crate::{
    folder::Folder,
    program::{run, starpoint},
};

const USAGE: i32 = 2;
const CONFIG: i32 = 3;
const LISTEN: i32 = 4;
const TLS: i32 = 5;

/// Starts a star with two files of a folder and returns its error and hint.
fn refused_tls(folder: &Folder, cert: &str, key: &str) -> (String, String) {
    let ended = run(starpoint()
        .args(["serve", "--listen", "127.0.0.1:0", "--tls-cert"])
        .arg(folder.join(cert))
        .arg("--tls-key")
        .arg(folder.join(key)));
    let (error, hint) = ended.expect_failure(TLS);
    (error.to_owned(), hint.to_owned())
}

#[test]
fn a_misspelled_flag_is_met_with_the_right_one() {
    let ended = run(starpoint().args(["serve", "--lisen", "127.0.0.1:0"]));
    assert_eq!(
        ended.expect_failure(USAGE),
        (
            "unexpected argument '--lisen' found",
            "a similar argument exists: '--listen'"
        )
    );
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let ended = run(starpoint().arg("dance"));
    let (error, hint) = ended.expect_failure(USAGE);
    assert_eq!(error, "unrecognized subcommand 'dance'");
    assert_eq!(hint, "see `starpoint --help`");
}

#[test]
fn a_bad_value_names_flag_and_reason() {
    for (args, expected) in [
        (
            ["--listen", "localhost:1"],
            "invalid value 'localhost:1' for '--listen <IP:PORT>': not an IP address and port, \
             such as 127.0.0.1:9090 or [::1]:9090",
        ),
        (
            ["--announce-interval", "2h"],
            "invalid value '2h' for '--announce-interval <DURATION>': not between 100ms and 1h",
        ),
        (
            ["--max-message", "1GiB"],
            "invalid value '1GiB' for '--max-message <BYTES>': not a size: bytes, or a whole \
             number of KiB or MiB",
        ),
        (
            ["--max-peers", "0"],
            "invalid value '0' for '--max-peers <N>': not a whole number above 0",
        ),
        (
            ["--log", "inof"],
            "invalid value 'inof' for '--log <FILTER>': no level `inof`, did you mean `info`?",
        ),
        (
            ["--log-format", "yaml"],
            "invalid value 'yaml' for '--log-format <FORMAT>' [possible values: text, json]",
        ),
    ] {
        let ended = run(starpoint().arg("serve").args(args));
        let (error, hint) = ended.expect_failure(USAGE);
        assert_eq!(error, expected);
        assert_eq!(hint, "see `starpoint serve --help`");
    }
}

#[test]
fn a_bad_variable_is_named() {
    for (name, value, reason) in [
        ("STARPOINT_LISTEN", "127.0.0.1:1,here", "'here'"),
        ("STARPOINT_NO_CHALLENGE", "maybe", "not a boolean"),
        ("STARPOINT_ANNOUNCE_INTERVAL", "10", "not a duration"),
        ("STARPOINT_MAX_MESSAGE", "16MB", "not a size"),
        ("STARPOINT_LOG_FORMAT", "xml", "text, json"),
        ("STARPOINT_PRINT_CONFIG", "perhaps", "not a boolean"),
    ] {
        let ended = run(starpoint().arg("serve").env(name, value));
        let (error, hint) = ended.expect_failure(USAGE);
        assert!(error.contains(&format!("for variable {name}")), "{error}");
        assert!(error.contains(reason), "{error}");
        assert!(
            hint.starts_with(&format!("correct or unset {name}")),
            "{hint}"
        );
    }
}

#[test]
fn a_bad_flag_is_not_blamed_on_its_variable() {
    let ended = run(starpoint()
        .args(["serve", "--max-peers", "0"])
        .env("STARPOINT_MAX_PEERS", "7"));
    let (error, _) = ended.expect_failure(USAGE);
    assert!(error.contains("for '--max-peers <N>'"), "{error}");
}

#[test]
fn a_bad_variable_does_not_matter_when_its_flag_is_given() {
    let ended = run(starpoint()
        .args(["serve", "--print-config", "--max-peers", "3"])
        .env("STARPOINT_MAX_PEERS", "many"));
    assert!(ended.expect_output().contains("max-peers = 3\n"));
}

#[test]
fn a_file_with_a_flaw_is_refused_with_its_line() {
    let folder = Folder::new();
    for (text, place, error_end, hint_part) in [
        (
            "listen = [\"127.0.0.1:0\"]\nno-chalenge = true\n",
            ":2: ",
            "unknown key `no-chalenge`",
            "did you mean `no-challenge`?",
        ),
        (
            "\n\nwhatever = 1\n",
            ":3: ",
            "unknown key `whatever`",
            "known keys: listen, ",
        ),
        (
            "max-peers = 0\n",
            ":1: ",
            "expected a nonzero usize",
            "--max-peers",
        ),
        (
            "# intervals\nannounce-interval = \"9s 9\"\n",
            ":2: ",
            "`9s 9` is not a duration, such as 500ms or 10s",
            "--announce-interval",
        ),
        ("log = info\n", ":1: ", "", "text in quotes"),
    ] {
        let path = folder.write("starpoint.toml", text);
        let ended = run(starpoint().arg("serve").arg("--config").arg(&path));
        let (error, hint) = ended.expect_failure(CONFIG);
        assert!(
            error.starts_with(&format!("{}{place}", path.display())),
            "{error}"
        );
        assert!(error.ends_with(error_end), "{error}");
        assert!(hint.contains(hint_part), "{hint}");
    }
}

#[test]
fn a_missing_file_is_a_configuration_error() {
    let ended = run(starpoint().args(["serve", "--config", "/does/not/exist.toml"]));
    let (error, hint) = ended.expect_failure(CONFIG);
    assert!(
        error.starts_with("cannot read /does/not/exist.toml: "),
        "{error}"
    );
    assert!(hint.contains("STARPOINT_CONFIG"), "{hint}");
}

#[test]
fn no_listener_at_all_is_a_configuration_error() {
    let folder = Folder::new();
    let path = folder.write("starpoint.toml", "listen = []");
    let ended = run(starpoint().arg("serve").arg("--config").arg(&path));
    let (error, hint) = ended.expect_failure(CONFIG);
    assert_eq!(error, "no address to listen on");
    assert!(hint.contains("listen = [\"0.0.0.0:9090\"]"), "{hint}");
}

#[test]
fn a_certificate_needs_its_key_and_a_key_its_certificate() {
    for (given, missing) in [("tls-cert", "tls-key"), ("tls-key", "tls-cert")] {
        let flag = format!("--{given}");
        let ended = run(starpoint().args(["serve", &flag, "/some.pem"]));
        let (error, hint) = ended.expect_failure(CONFIG);
        assert_eq!(error, format!("{given} is given without {missing}"));
        assert!(hint.contains(&format!("give {missing} too")), "{hint}");
    }
}

#[test]
fn a_port_in_use_is_told_with_its_address() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap().to_string();
    let ended = run(starpoint().args(["serve", "--listen", "127.0.0.1:0", "--listen", &addr]));
    let (error, hint) = ended.expect_failure(LISTEN);
    assert!(
        error.starts_with(&format!("cannot listen on {addr}: ")),
        "{error}"
    );
    assert!(hint.contains("something listens there already"), "{hint}");
}

#[test]
fn an_address_of_another_machine_cannot_be_listened_on() {
    // TEST-NET-1, which no machine has.
    let ended = run(starpoint().args(["serve", "--listen", "192.0.2.1:0"]));
    let (error, hint) = ended.expect_failure(LISTEN);
    assert!(
        error.starts_with("cannot listen on 192.0.2.1:0: "),
        "{error}"
    );
    assert!(hint.contains("0.0.0.0"), "{hint}");
}

#[test]
fn a_certificate_that_is_not_there_is_named() {
    let folder = Folder::new();
    folder.write_certificate();
    let (error, hint) = refused_tls(&folder, "nowhere.pem", "key.pem");
    let path = folder.join("nowhere.pem");
    assert!(
        error.starts_with(&format!("cannot read {}: ", path.display())),
        "{error}"
    );
    assert!(hint.contains("--tls-cert"), "{hint}");

    let (error, _) = refused_tls(&folder, "cert.pem", "nowhere.pem");
    assert!(
        error.starts_with(&format!("cannot read {}: ", path.display())),
        "{error}"
    );
}

#[test]
fn files_without_certificate_or_key_are_refused() {
    let folder = Folder::new();
    folder.write_certificate();
    folder.write("empty.pem", "");
    for (cert, key, at_fault) in [
        ("empty.pem", "key.pem", "empty.pem"),
        ("cert.pem", "empty.pem", "empty.pem"),
        ("key.pem", "key.pem", "key.pem"),
        ("cert.pem", "cert.pem", "cert.pem"),
    ] {
        let (error, hint) = refused_tls(&folder, cert, key);
        let path = folder.join(at_fault);
        assert!(error.starts_with(&path.display().to_string()), "{error}");
        assert!(error.contains("is no usable certificate or key"), "{error}");
        assert!(hint.contains("PEM"), "{hint}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let folder = Folder::new();
    folder.write_certificate();
    let other = rcgen::KeyPair::generate().unwrap();
    folder.write("other.pem", &other.serialize_pem());
    let (error, hint) = refused_tls(&folder, "cert.pem", "other.pem");
    assert!(error.contains("is no usable certificate or key"), "{error}");
    assert!(hint.contains("that belongs to it"), "{hint}");
}
