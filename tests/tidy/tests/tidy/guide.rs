//! Tables of the guides that have to list what the code has.

use std::collections::BTreeSet;

use starpoint_tidy::{files, read, without_tests};

const SETTINGS: &str = "spec/guide/settings.md";
const METRICS: &str = "spec/guide/metrics.md";

#[test]
fn the_guide_lists_every_setting_of_a_star() {
    let code = code_of("bin/starpoint/src/", "serve/args.rs");
    let variables = || words(&code).filter(|word| word.starts_with("STARPOINT_"));
    let guide = read(SETTINGS);
    let listed = words(&guide).filter(|word| word.starts_with("STARPOINT_"));
    assert_eq!(
        variables().collect::<BTreeSet<_>>(),
        listed.collect(),
        "left: the arguments of `serve`, right: {SETTINGS}"
    );
    for variable in variables() {
        let flag = variable.trim_start_matches("STARPOINT_").to_lowercase();
        let flag = format!("`--{}", flag.replace('_', "-"));
        let row = guide.lines().find(|line| line.contains(variable));
        assert!(row.is_some_and(|row| row.contains(&flag)), "{flag}");
    }
}

#[test]
fn the_guide_lists_every_exit_code() {
    let code = code_of("bin/starpoint/src/", "exit.rs");
    let constants: BTreeSet<u8> = code
        .lines()
        .filter_map(|line| line.split_once("= Self(")?.1.strip_suffix(");"))
        .map(|number| number.parse().expect("a number"))
        .collect();
    let guide = read(SETTINGS);
    let listed = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok());
    assert!(!constants.is_empty(), "no exit codes were found");
    assert_eq!(
        constants,
        listed.collect(),
        "left: the constants, right: {SETTINGS}"
    );
}

#[test]
fn the_guide_lists_every_metric() {
    let is_metric = |word: &&str| word.starts_with("starpoint_") || word.starts_with("rendezvous_");
    let code = code_of("crates/starpoint-server/src/", "http/metrics.rs");
    // Only string literals: paths of modules begin alike.
    let literals = code.split('"').skip(1).step_by(2);
    let metrics: BTreeSet<_> = literals.filter(is_metric).collect();
    let guide = read(METRICS);
    let listed = words(&guide).filter(is_metric);
    let listed = listed.map(|word| word.trim_end_matches("_total"));
    assert!(metrics.len() > 20, "only {} metrics", metrics.len());
    assert_eq!(
        metrics,
        listed.collect(),
        "left: the metrics, right: {METRICS}"
    );
}

/// Returns the code of the one file in `folder` with this end of its path.
fn code_of(folder: &str, end: &str) -> String {
    let tree = files();
    let mut found = tree
        .iter()
        .filter(|file| file.path.starts_with(folder) && file.path.ends_with(&format!("/{end}")));
    let file = found
        .next()
        .unwrap_or_else(|| panic!("no {end} in {folder}"));
    assert!(found.next().is_none(), "several {end} in {folder}");
    without_tests(&file.text).to_owned()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}
