//! Where packages lie and what their manifests may say.

use std::{collections::BTreeSet, fs};

use starpoint_tidy::{metadata, packages, read, root};
use toml::{Table, Value};

const FOLDERS: [&str; 3] = ["crates", "bin", "tests"];

#[test]
fn every_child_of_the_three_folders_is_a_package() {
    let metadata = metadata();
    let packages = packages(&metadata);
    let mut children = BTreeSet::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            children.insert(format!(
                "{folder}/{}",
                entry.unwrap().file_name().to_string_lossy()
            ));
        }
    }
    let folders: BTreeSet<_> = packages.keys().cloned().collect();
    assert_eq!(children, folders, "left: what lies there, right: packages");
}

/// `crates/` and `bin/`: the folder's name. `tests/`: `starpoint-`, the folder's
/// name, and one of the words `test` and `tests` or none of them.
#[test]
fn packages_are_named_after_their_folders() {
    let metadata = metadata();
    for (path, package) in packages(&metadata) {
        let (parent, folder) = path.split_once('/').expect("packages lie one level down");
        let name = package.name.as_str();
        if parent != "tests" {
            assert_eq!(name, folder, "{path}");
            continue;
        }
        let words = name.strip_prefix("starpoint-").unwrap_or_default();
        let core = words.strip_prefix("test-").or(words.strip_suffix("-tests"));
        assert_eq!(
            core.unwrap_or(words),
            folder,
            "{path} has the package {name}"
        );
    }
}

#[test]
fn versions_are_only_in_the_root_manifest() {
    let metadata = metadata();
    for path in packages(&metadata).keys() {
        let manifest: Table = read(&format!("{path}/Cargo.toml")).parse().unwrap();
        for (name, value) in dependencies(&manifest) {
            assert!(
                is_inherited(&value),
                "{path}: {name} is not `workspace = true`"
            );
        }
        for field in ["version", "edition", "rust-version", "license", "publish"] {
            assert!(
                is_inherited(&manifest["package"][field]),
                "{path}: package.{field}"
            );
        }
        let lints = manifest
            .get("lints")
            .unwrap_or_else(|| panic!("{path} has no lints"));
        assert!(is_inherited(lints), "{path}: lints");
    }
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// Returns the dependencies of all kinds, those of single targets too.
fn dependencies(manifest: &Table) -> Vec<(String, Value)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let of_targets = targets
        .into_iter()
        .flatten()
        .filter_map(|(_, table)| table.as_table());
    let mut found = Vec::new();
    for table in std::iter::once(manifest).chain(of_targets) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let entries = table
                .get(kind)
                .and_then(Value::as_table)
                .into_iter()
                .flatten();
            found.extend(entries.map(|(name, value)| (name.clone(), value.clone())));
        }
    }
    found
}

/// The first command of the README names no program.
#[test]
fn cargo_run_runs_the_program() {
    let metadata = metadata();
    let by_default = metadata.workspace_default_packages();
    let names: Vec<_> = by_default
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(names, ["starpoint"]);
}
