//! Documents that have to say what the tree says.

use std::collections::BTreeSet;

use starpoint_tidy::{metadata, packages, read, without_tests};

const MAP_START: &str = "<!-- code-map:start -->";
const MAP_END: &str = "<!-- code-map:end -->";

/// The files that decide what goes over the wire.
const WIRE_FILES: [&str; 7] = [
    "event",
    "call",
    "call/args",
    "reply",
    "notice",
    "refusal",
    "stream",
];

const WIRE_DOCUMENT: &str = "spec/01-events.md";

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
fn the_wire_and_its_document_change_together() {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in WIRE_FILES {
        let text = read(&format!("crates/starpoint-wire/src/{file}.rs"));
        for byte in without_tests(&text).bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    let line = format!("wire-hash: {hash:016x}");
    assert!(
        read(WIRE_DOCUMENT).contains(&line),
        "the wire has changed: bring {WIRE_DOCUMENT} up to date, then set its line\n{line}\n"
    );
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
