//! `starpoint id`, and the file with the key.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::{
    folder::Folder,
    program::{run, starpoint},
    stage::json_lines,
};

const STAR: &str = "/dns4/star.example/tcp/443/wss/p2p-websocket-star";
const KEY: i32 = 13;

#[test]
fn the_key_is_made_once_in_the_data_folder_for_its_owner_alone() {
    let folder = Folder::new();
    let id = || {
        run(starpoint().arg("id").env("XDG_DATA_HOME", folder.path()))
            .expect_output()
            .to_owned()
    };
    let first = id();
    assert!(first.starts_with("12D3Koo"), "{first}");
    assert_eq!(id(), first);

    let mode = |name: &str| {
        let metadata = std::fs::metadata(folder.join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("starpoint/key"), 0o600);
    assert_eq!(mode("starpoint"), 0o700);
}

#[test]
fn without_a_data_folder_the_key_is_in_the_home() {
    let folder = Folder::new();
    for unset in ["", "relative/is/ignored"] {
        run(starpoint()
            .arg("id")
            .env("HOME", folder.path())
            .env("XDG_DATA_HOME", unset))
        .expect_output();
    }
    assert!(folder.join(".local/share/starpoint/key").exists());
    assert!(!folder.join("relative").exists());
}

#[test]
fn without_any_place_a_file_has_to_be_named() {
    let ended = run(starpoint()
        .arg("id")
        .env_remove("HOME")
        .env_remove("XDG_DATA_HOME"));
    let (error, hint) = ended.expect_failure(KEY);
    assert!(error.contains("no place for a key"), "{error}");
    assert_eq!(hint, "name a file with --key");
}

#[test]
fn addresses_at_stars_are_one_a_line() {
    let folder = Folder::new();
    let key = folder.join("key");
    let id = || {
        let mut command = starpoint();
        command.arg("id").arg("--key").arg(&key);
        command
    };
    let peer = run(&mut id()).expect_output().trim().to_owned();
    let second = "/ip4/192.0.2.1/tcp/9090/ws/p2p-websocket-star";
    let ended = run(id().args(["--star", STAR, "--star", second]));
    assert_eq!(
        ended.expect_output(),
        format!("{STAR}/p2p/{peer}\n{second}/p2p/{peer}\n")
    );

    let ended = run(id().args(["--json", "--star", STAR]));
    let expected = json!({ "peer": peer, "address": format!("{STAR}/p2p/{peer}") });
    assert_eq!(json_lines(ended.expect_output()), [expected]);
    let ended = run(id().arg("--json"));
    assert_eq!(json_lines(ended.expect_output()), [json!({ "peer": peer })]);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = Folder::new();
    let key = folder.join("key");
    run(starpoint().arg("id").arg("--key").arg(&key)).expect_output();
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
        let ended = run(starpoint().arg("id").arg("--key").arg(&key));
        let (error, hint) = ended.expect_failure(KEY);
        assert!(error.contains("others can access the key file"), "{error}");
        assert!(error.contains(&format!("{mode:04o}")), "{error}");
        assert!(hint.contains("chmod 600"), "{hint}");
    }
}

#[test]
fn what_is_no_key_is_refused_and_kept() {
    let folder = Folder::new();
    let key = folder.write("key", "my diary");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let ended = run(starpoint().arg("id").arg("--key").arg(&key));
    let (error, _) = ended.expect_failure(KEY);
    assert!(error.starts_with("no private key in "), "{error}");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), "my diary");
}

#[test]
fn what_is_no_star_is_a_usage_error() {
    for text in ["star.example", "/ip4/127.0.0.1/tcp/9090"] {
        let ended = run(starpoint().args(["id", "--star", text]));
        let (error, _) = ended.expect_failure(2);
        assert!(error.contains("not a star, such as /dns4/"), "{error}");
    }
}
