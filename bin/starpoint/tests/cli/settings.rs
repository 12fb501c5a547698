//! Where settings come from, and which one wins.

use std::{path::Path, process::Command};

use crate::{
    folder::Folder,
    program::{run, starpoint},
};

/// One setting at each of its sources: what is given, and how it is printed.
struct Setting {
    key: &'static str,
    default: &'static str,
    file: &'static str,
    variable: (&'static str, &'static str),
    flag: (&'static str, &'static str),
}

const SETTINGS: [Setting; 11] = [
    Setting {
        key: "listen",
        default: "[\"0.0.0.0:9090\"]",
        file: "[\"127.0.0.1:1\", \"[::1]:1\"]",
        variable: ("127.0.0.1:2,[::1]:2", "[\"127.0.0.1:2\", \"[::1]:2\"]"),
        flag: ("127.0.0.1:3", "[\"127.0.0.1:3\"]"),
    },
    Setting {
        key: "no-challenge",
        default: "false",
        file: "true",
        variable: ("false", "false"),
        flag: ("true", "true"),
    },
    Setting {
        key: "strict-multiaddr",
        default: "false",
        file: "true",
        variable: ("0", "false"),
        flag: ("yes", "true"),
    },
    Setting {
        key: "announce-interval",
        default: "\"10s\"",
        file: "\"1s\"",
        variable: ("500ms", "\"500ms\""),
        flag: ("90s", "\"1m 30s\""),
    },
    Setting {
        key: "grace",
        default: "\"15s\"",
        file: "\"0s\"",
        variable: ("1m", "\"1m\""),
        flag: ("90s", "\"1m 30s\""),
    },
    Setting {
        key: "max-peers",
        default: "10000",
        file: "1",
        variable: ("2", "2"),
        flag: ("3", "3"),
    },
    Setting {
        key: "max-message",
        default: "\"16MiB\"",
        file: "\"65537\"",
        variable: ("131072", "\"128KiB\""),
        flag: ("64MiB", "\"64MiB\""),
    },
    Setting {
        key: "max-buffered",
        default: "\"256MiB\"",
        file: "\"64MiB\"",
        variable: ("1048576", "\"1MiB\""),
        flag: ("128MiB", "\"128MiB\""),
    },
    Setting {
        key: "no-metrics",
        default: "false",
        file: "true",
        variable: ("off", "false"),
        flag: ("on", "true"),
    },
    Setting {
        key: "log",
        default: "\"info\"",
        file: "\"debug\"",
        variable: ("warn,hyper=off", "\"warn,hyper=off\""),
        flag: ("trace", "\"trace\""),
    },
    Setting {
        key: "log-format",
        default: "\"text\"",
        file: "\"json\"",
        variable: ("text", "\"text\""),
        flag: ("json", "\"json\""),
    },
];

impl Setting {
    fn in_file<'c>(&self, command: &'c mut Command, folder: &Folder) -> &'c mut Command {
        let path = folder.write("starpoint.toml", &format!("{} = {}\n", self.key, self.file));
        command.arg("--config").arg(path)
    }

    fn in_variable<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env(variable(self.key), self.variable.0)
    }

    fn in_flag<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.arg(format!("--{}={}", self.key, self.flag.0))
    }
}

fn variable(key: &str) -> String {
    format!("STARPOINT_{}", key.to_uppercase().replace('-', "_"))
}

fn print_config() -> Command {
    let mut command = starpoint();
    command.args(["serve", "--print-config"]);
    command
}

/// Asserts that the effective configuration has `value` for `key`.
fn assert_prints(command: &mut Command, key: &str, value: &str) {
    let ended = run(command);
    let line = format!("{key} = {value}");
    let found = ended.expect_output().lines().any(|printed| printed == line);
    assert!(found, "no `{line}` in {}", ended.stdout);
}

#[test]
fn every_setting_is_in_the_table() {
    let ended = run(&mut print_config());
    let printed: Vec<_> = ended
        .expect_output()
        .lines()
        .map(|line| line.split(" = ").next().unwrap())
        // Its default depends on the user.
        .filter(|key| *key != "key")
        .collect();
    assert_eq!(printed.len(), SETTINGS.len());
    for setting in SETTINGS {
        assert!(printed.contains(&setting.key), "{}", setting.key);
    }
}

#[test]
fn flag_wins_over_variable_over_file_over_default() {
    let folder = Folder::new();
    for setting in SETTINGS {
        let key = setting.key;
        assert_prints(&mut print_config(), key, setting.default);

        let mut from_file = print_config();
        assert_prints(setting.in_file(&mut from_file, &folder), key, setting.file);
        assert_prints(setting.in_variable(&mut from_file), key, setting.variable.1);
        assert_prints(setting.in_flag(&mut from_file), key, setting.flag.1);

        let mut without_file = print_config();
        assert_prints(
            setting.in_variable(&mut without_file),
            key,
            setting.variable.1,
        );
        assert_prints(setting.in_flag(&mut without_file), key, setting.flag.1);

        let mut flag_over_file = print_config();
        setting.in_file(&mut flag_over_file, &folder);
        assert_prints(setting.in_flag(&mut flag_over_file), key, setting.flag.1);
    }
}

#[test]
fn a_pipe_rate_is_set_at_each_source_and_unlimited_without_one() {
    let folder = Folder::new();
    let ended = run(&mut print_config());
    assert!(!ended.expect_output().contains("pipe-rate"));
    let path = folder.write("rate.toml", "pipe-rate = 1024\n");
    let mut command = print_config();
    command.arg("--config").arg(path);
    assert_prints(&mut command, "pipe-rate", "\"1KiB\"");
    command.env("STARPOINT_PIPE_RATE", "2KiB");
    assert_prints(&mut command, "pipe-rate", "\"2KiB\"");
    command.arg("--pipe-rate=3MiB");
    assert_prints(&mut command, "pipe-rate", "\"3MiB\"");
}

#[test]
fn connections_of_an_address_are_set_at_each_source_and_follow_the_peers_without_one() {
    let folder = Folder::new();
    let key = "max-connections-per-ip";
    let ended = run(&mut print_config());
    assert!(!ended.expect_output().contains(key));
    let path = folder.write("ip.toml", "max-connections-per-ip = 1\n");
    let mut command = print_config();
    command.arg("--config").arg(path);
    assert_prints(&mut command, key, "1");
    command.env("STARPOINT_MAX_CONNECTIONS_PER_IP", "2");
    assert_prints(&mut command, key, "2");
    command.arg("--max-connections-per-ip=3");
    assert_prints(&mut command, key, "3");
}

#[test]
fn peers_of_an_address_are_set_at_each_source_and_follow_the_peers_without_one() {
    let folder = Folder::new();
    let key = "max-peers-per-ip";
    let ended = run(&mut print_config());
    assert!(!ended.expect_output().contains(key));
    let path = folder.write("ip.toml", "max-peers-per-ip = 1\n");
    let mut command = print_config();
    command.arg("--config").arg(path);
    assert_prints(&mut command, key, "1");
    command.env("STARPOINT_MAX_PEERS_PER_IP", "2");
    assert_prints(&mut command, key, "2");
    command.arg("--max-peers-per-ip=3");
    assert_prints(&mut command, key, "3");
}

#[test]
fn trusted_proxies_are_set_at_each_source_and_there_are_none_without_one() {
    let folder = Folder::new();
    let key = "trusted-proxy";
    let ended = run(&mut print_config());
    assert!(!ended.expect_output().contains("proxy"));
    let path = folder.write("p.toml", "trusted-proxy = [\"10.0.0.0/8\", \"::1\"]\n");
    let mut command = print_config();
    command.arg("--config").arg(path);
    assert_prints(&mut command, key, "[\"10.0.0.0/8\", \"::1\"]");
    command.env("STARPOINT_TRUSTED_PROXY", "192.0.2.1,192.0.2.2");
    assert_prints(&mut command, key, "[\"192.0.2.1\", \"192.0.2.2\"]");
    command.args(["--trusted-proxy=192.0.2.3", "--trusted-proxy=2001:db8::/32"]);
    assert_prints(&mut command, key, "[\"192.0.2.3\", \"2001:db8::/32\"]");
    command.env("STARPOINT_PROXY_PROTOCOL", "false");
    command.arg("--proxy-protocol");
    assert_prints(&mut command, "proxy-protocol", "true");
}

#[test]
fn nobody_may_speak_the_proxy_protocol_without_being_trusted() {
    let ended = run(print_config().arg("--proxy-protocol"));
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("no proxy is trusted"), "{ended:?}");
    assert!(ended.stderr.contains("--trusted-proxy"), "{ended:?}");
}

#[test]
fn the_key_file_is_set_at_each_source_and_in_the_data_folder_without_one() {
    let folder = Folder::new();
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    let mut command = print_config();
    command.env("XDG_DATA_HOME", folder.path());
    let default = folder.path().join("starpoint/star.key");
    assert_prints(&mut command, "key", &quoted(&default));
    // Nothing is made.
    assert!(!folder.path().join("starpoint").exists());
    let path = folder.write("key.toml", "key = \"keys/star\"\n");
    command.arg("--config").arg(path);
    assert_prints(
        &mut command,
        "key",
        &quoted(&folder.path().join("keys/star")),
    );
    command.env("STARPOINT_KEY", "/from/variable");
    assert_prints(&mut command, "key", "\"/from/variable\"");
    command.arg("--key=/from/flag");
    assert_prints(&mut command, "key", "\"/from/flag\"");
}

#[test]
fn a_switch_needs_no_value_and_can_be_turned_off_again() {
    let folder = Folder::new();
    for key in ["no-challenge", "strict-multiaddr", "no-metrics"] {
        let flag = format!("--{key}");
        assert_prints(print_config().arg(&flag), key, "true");

        let path = folder.write("on.toml", &format!("{key} = true"));
        let off = format!("{flag}=false");
        let mut turned_off = print_config();
        turned_off.arg("--config").arg(&path).arg(&off);
        assert_prints(&mut turned_off, key, "false");
        let variable = variable(key);
        assert_prints(
            print_config().env(&variable, "true").arg(&off),
            key,
            "false",
        );
    }
}

#[test]
fn repeated_listen_adds_up() {
    let mut command = print_config();
    command.args(["--listen", "127.0.0.1:0", "--listen", "[::1]:0"]);
    assert_prints(&mut command, "listen", "[\"127.0.0.1:0\", \"[::1]:0\"]");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let mut command = print_config();
    for setting in SETTINGS {
        command.env(variable(setting.key), "");
    }
    let ended = run(&mut command);
    assert_eq!(
        ended.expect_output(),
        run(&mut print_config()).expect_output()
    );
}

#[test]
fn file_and_printing_can_be_asked_for_by_variable() {
    let folder = Folder::new();
    let path = folder.write("starpoint.toml", "max-peers = 5");
    let mut command = starpoint();
    command
        .arg("serve")
        .env("STARPOINT_CONFIG", &path)
        .env("STARPOINT_PRINT_CONFIG", "1");
    assert_prints(&mut command, "max-peers", "5");
}

#[test]
fn what_is_printed_can_be_read_again() {
    let folder = Folder::new();
    let mut command = print_config();
    command.current_dir(folder.path());
    for setting in SETTINGS {
        setting.in_flag(&mut command);
    }
    command.args(["--tls-cert", "c\"ert.pem", "--tls-key", "../key.pem"]);
    command.args(["--key", "star.key", "--pipe-rate", "1MiB"]);
    command.args(["--max-connections-per-ip=7", "--trusted-proxy=10.0.0.0/8"]);
    command.args(["--proxy-protocol", "--max-peers-per-ip=5"]);
    let first = run(&mut command);
    let printed = first.expect_output();
    assert_eq!(printed.lines().count(), SETTINGS.len() + 8);

    let elsewhere = Folder::new();
    let path = elsewhere.write("printed.toml", printed);
    let second = run(print_config().arg("--config").arg(&path));
    assert_eq!(second.expect_output(), printed);
}

#[test]
fn a_path_in_the_file_starts_at_its_folder() {
    let folder = Folder::new();
    folder.write(
        "etc/starpoint.toml",
        "tls-cert = \"cert.pem\"\ntls-key = \"/key.pem\"\n",
    );
    let mut command = print_config();
    command.current_dir(folder.path());
    command.args(["--config", "etc/starpoint.toml"]);
    let ended = run(&mut command);
    let printed: toml::Table = toml::from_str(ended.expect_output()).unwrap();
    let cert = Path::new(printed["tls-cert"].as_str().unwrap());
    assert!(cert.is_absolute());
    assert!(cert.ends_with("etc/cert.pem"), "{}", cert.display());
    assert_eq!(printed["tls-key"].as_str(), Some("/key.pem"));
}

#[test]
fn certificate_and_key_may_come_from_different_sources() {
    let folder = Folder::new();
    let path = folder.write("starpoint.toml", "tls-cert = \"/cert.pem\"");
    let mut command = print_config();
    command
        .arg("--config")
        .arg(&path)
        .env("STARPOINT_TLS_KEY", "/key.pem");
    assert_prints(&mut command, "tls-cert", "\"/cert.pem\"");
    assert_prints(&mut command, "tls-key", "\"/key.pem\"");
}
