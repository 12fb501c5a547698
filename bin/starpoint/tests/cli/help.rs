//! Help and version.

use crate::program::{Ended, run, starpoint};

fn starpoint_with(args: &[&str]) -> Ended {
    run(starpoint().args(args))
}

#[test]
fn help_of_the_program() {
    insta::assert_snapshot!(starpoint_with(&["--help"]).expect_output());
}

#[test]
fn short_help_of_serve() {
    insta::assert_snapshot!(starpoint_with(&["serve", "-h"]).expect_output());
}

#[test]
fn long_help_of_serve() {
    insta::assert_snapshot!(starpoint_with(&["serve", "--help"]).expect_output());
}

#[test]
fn help_of_id() {
    insta::assert_snapshot!(starpoint_with(&["id", "--help"]).expect_output());
}

#[test]
fn help_of_peers() {
    insta::assert_snapshot!(starpoint_with(&["peers", "--help"]).expect_output());
}

#[test]
fn help_of_ping() {
    insta::assert_snapshot!(starpoint_with(&["ping", "--help"]).expect_output());
}

#[test]
fn help_of_listen() {
    insta::assert_snapshot!(starpoint_with(&["listen", "--help"]).expect_output());
}

#[test]
fn help_of_connect() {
    insta::assert_snapshot!(starpoint_with(&["connect", "--help"]).expect_output());
}

#[test]
fn help_of_expose() {
    insta::assert_snapshot!(starpoint_with(&["expose", "--help"]).expect_output());
}

#[test]
fn help_of_open() {
    insta::assert_snapshot!(starpoint_with(&["open", "--help"]).expect_output());
}

#[test]
fn help_does_not_depend_on_variables() {
    let ended = run(starpoint()
        .args(["serve", "--help"])
        .env("STARPOINT_LISTEN", "127.0.0.1:1")
        .env("STARPOINT_MAX_PEERS", "nonsense"));
    assert_eq!(
        ended.expect_output(),
        starpoint_with(&["serve", "--help"]).expect_output()
    );
}

#[test]
fn version_names_program_and_version() {
    assert_eq!(
        starpoint_with(&["--version"]).expect_output(),
        concat!("starpoint ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn no_command_is_answered_with_help_and_the_usage_code() {
    let ended = starpoint_with(&[]);
    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("Usage: starpoint <COMMAND>"));
}

#[test]
fn defaults_in_the_help_are_those_in_use() {
    let help = starpoint_with(&["serve", "--help"]);
    let help: Vec<_> = help.expect_output().lines().map(str::trim).collect();
    let printed = starpoint_with(&["serve", "--print-config"]);
    let defaults: toml::Table = toml::from_str(printed.expect_output()).unwrap();
    assert!(defaults.len() >= 9, "{defaults}");

    for (key, value) in defaults {
        if key == "key" {
            // The folder is the user's.
            continue;
        }
        let value = value.get(0).unwrap_or(&value);
        let value = value.as_str().map_or(value.to_string(), str::to_owned);
        let is_flag = |line: &&str| line.split([' ', '[']).next() == Some(&format!("--{key}"));
        let flag = help.iter().position(is_flag).unwrap();
        let summary = help[flag + 1];
        assert!(
            summary.ends_with(&format!("[default: {value}]")),
            "--{key}: {summary}"
        );
    }
}
