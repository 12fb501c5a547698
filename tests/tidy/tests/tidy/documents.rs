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

/// Most words of the README, apart from its code map.
const README_WORDS: usize = 1000;

#[test]
fn the_readme_is_short() {
    let text = read("README.md");
    let (before, rest) = text.split_once(MAP_START).expect("a code map");
    let (_, after) = rest.split_once(MAP_END).expect("an end of the code map");
    let n_words = before.split_whitespace().count() + after.split_whitespace().count();
    assert!(
        n_words <= README_WORDS,
        "{n_words} words; details belong to spec/guide/"
    );
}

#[test]
fn links_of_documents_lead_somewhere() {
    let tree = files();
    let documents = tree.iter().filter(|file| file.path.ends_with(".md"));
    let mut n_links = 0;
    let mut broken = Vec::new();
    for document in documents {
        for link in links(&document.text) {
            n_links += 1;
            if !leads_somewhere(&tree, &document.path, link) {
                broken.push(format!("{}: {link}", document.path));
            }
        }
    }
    assert!(n_links > 50, "only {n_links} links were found");
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

/// Returns the targets of links to the tree, `](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| {
        let is_path = target.contains('/') || target.contains(".md") || target.starts_with('#');
        is_path && !target.contains("://") && !target.contains(' ')
    })
}

fn leads_somewhere(tree: &[SourceFile], document: &str, link: &str) -> bool {
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (link, None),
    };
    let target = resolve(document, path);
    if !starpoint_tidy::root().join(&target).exists() {
        return false;
    }
    let Some(anchor) = anchor else {
        return true;
    };
    let text = tree.iter().find(|file| file.path == target);
    text.is_some_and(|file| headings(&file.text).any(|heading| heading == anchor))
}

/// Returns the path from the root of a link in a document.
fn resolve(document: &str, path: &str) -> String {
    if path.is_empty() {
        return document.to_owned();
    }
    let mut parts: Vec<_> = document.split('/').collect();
    parts.pop();
    for part in path.trim_end_matches('/').split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Returns the anchors of the headings.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let mut is_in_code = false;
    let headings = text.lines().filter(move |line| {
        is_in_code ^= line.starts_with("```");
        !is_in_code && line.starts_with('#')
    });
    headings.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        });
        kept.collect()
    })
}

#[test]
fn comments_in_code_are_no_headings() {
    let text = "# One title\n```sh\n# a comment\n```\n## Two: more";
    let found: Vec<_> = headings(text).collect();
    assert_eq!(found, ["one-title", "two-more"]);
}
