//! Documents that have to say what the tree says.

use std::collections::BTreeSet;

use starpoint_tidy::{SourceFile, files, metadata, packages, read, without_tests};

const MAP_START: &str = "<!-- code-map:start -->";
const MAP_END: &str = "<!-- code-map:end -->";

/// Documents of the wire, each with the files that decide what it specifies. A name that
/// ends in `/` stands for every file of the folder.
const WIRE_DOCUMENTS: [(&str, &[&str]); 8] = [
    (
        "spec/01-events.md",
        &[
            "crates/starpoint-wire/src/names.rs",
            "crates/starpoint-wire/src/call.rs",
            "crates/starpoint-wire/src/legacy/",
            "crates/starpoint-wire/src/stream.rs",
        ],
    ),
    (
        "spec/03-refusals.md",
        &["crates/starpoint-wire/src/refusal.rs"],
    ),
    (
        "spec/05-challenge.md",
        &["crates/starpoint-wire/src/challenge/"],
    ),
    (
        "spec/13-native.md",
        &[
            "crates/starpoint-wire/src/native.rs",
            "crates/starpoint-wire/src/native/",
            "crates/starpoint-wire/src/proof.rs",
        ],
    ),
    ("spec/18-domains.md", &["crates/starpoint-crypto/src/"]),
    ("spec/14-pipe.md", &["crates/starpoint-wire/src/pipe/"]),
    (
        "spec/15-tunnel.md",
        &[
            "crates/starpoint-tunnel/src/wire.rs",
            "crates/starpoint-tunnel/src/refusal.rs",
        ],
    ),
    (
        "spec/16-bridge.md",
        &["crates/starpoint-bridge/src/codec.rs"],
    ),
];

#[test]
fn the_code_map_of_the_readme_matches_the_tree() {
    assert_map_matches("README.md");
}

#[test]
fn the_code_map_of_the_specification_matches_the_tree() {
    assert_map_matches("spec/00-overview.md");
}

/// A wire file changes its document's `wire-hash` line, so that nobody changes
/// one without having the other open.
#[test]
fn the_wire_and_its_documents_change_together() {
    let tree = files();
    let mut stale = Vec::new();
    for (document, sources) in WIRE_DOCUMENTS {
        let line = format!("wire-hash: {:016x}", hash_of(&tree, sources));
        if !read(document).lines().any(|each| each == line) {
            stale.push(format!("{document}: {line}"));
        }
    }
    assert!(
        stale.is_empty(),
        "the wire has changed: bring these documents up to date, then set their lines\n{}\n",
        stale.join("\n")
    );
}

/// Hashes the sources without their tests (FNV-1a).
fn hash_of(tree: &[SourceFile], sources: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for source in sources {
        let files: Vec<_> = tree
            .iter()
            .filter(|file| is_in(&file.path, source))
            .collect();
        assert!(!files.is_empty(), "{source} is not there");
        for byte in files
            .iter()
            .flat_map(|file| without_tests(&file.text).bytes())
        {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    hash
}

fn is_in(path: &str, source: &str) -> bool {
    if !source.ends_with('/') {
        return path == source;
    }
    let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
    path.starts_with(source) && path.ends_with(".rs") && !is_test
}

/// A map names each package by its folder, `crates/starpoint-wire`.
fn assert_map_matches(document: &str) {
    let text = read(document);
    let (_, rest) = text
        .split_once(MAP_START)
        .unwrap_or_else(|| panic!("{document} has no line {MAP_START}"));
    let (map, _) = rest
        .split_once(MAP_END)
        .unwrap_or_else(|| panic!("{document} has no line {MAP_END}"));
    let words = map.split(|c: char| !(c.is_ascii_alphanumeric() || "-_/".contains(c)));
    let mapped: BTreeSet<_> = words
        .map(|word| word.trim_end_matches('/'))
        .filter(|word| {
            let parent = word.split_once('/').map(|(parent, _)| parent);
            parent.is_some_and(|parent| ["crates", "bin", "tests"].contains(&parent))
        })
        .map(str::to_owned)
        .collect();
    let existing: BTreeSet<_> = packages(&metadata()).into_keys().collect();
    assert_eq!(
        mapped, existing,
        "left: the map in {document}, right: the tree"
    );
}
