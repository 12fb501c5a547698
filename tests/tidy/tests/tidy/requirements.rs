//! Every requirement has a test, and every test that names one names a real one.
//!
//! A requirement is defined in `spec/*.md` by its id in bold, `**R-JOIN-4**`; its
//! tests are the functions whose names start with `r_join_4_`.

use std::collections::{BTreeMap, BTreeSet};

use starpoint_tidy::{SourceFile, files, test_names};

#[test]
fn every_requirement_has_a_test_that_names_it() {
    let files = files();
    let tested: BTreeSet<_> = tests(&files).into_iter().map(|(id, _)| id).collect();
    let untested: Vec<_> = requirements(&files)
        .into_keys()
        .filter(|id| !tested.contains(id))
        .collect();
    assert!(
        untested.is_empty(),
        "requirements without a test: {untested:#?}"
    );
}

#[test]
fn every_test_that_names_a_requirement_names_a_real_one() {
    let files = files();
    let requirements = requirements(&files);
    let stray: Vec<_> = tests(&files)
        .into_iter()
        .filter(|(id, _)| !requirements.contains_key(id))
        .collect();
    assert!(
        stray.is_empty(),
        "tests of requirements that are not in spec/: {stray:#?}"
    );
}

#[test]
fn requirement_ids_are_unique() {
    for (id, places) in requirements(&files()) {
        assert_eq!(
            places.len(),
            1,
            "{id} is defined more than once: {places:?}"
        );
    }
}

#[test]
fn every_requirement_that_the_code_cites_is_defined() {
    let files = files();
    let requirements = requirements(&files);
    let mut unknown = BTreeSet::new();
    for file in files
        .iter()
        .filter(|file| is_code(file) || file.path.starts_with("spec/"))
    {
        for id in cited(&file.text).filter(|id| !requirements.contains_key(id)) {
            unknown.insert(format!("{}: {id}", file.path));
        }
    }
    assert!(
        unknown.is_empty(),
        "cited and not defined in spec/: {unknown:#?}"
    );
}

/// Returns the requirements that are defined, with the files that do so.
fn requirements(files: &[SourceFile]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files
        .iter()
        .filter(|f| f.path.starts_with("spec/") && f.path.ends_with(".md"))
    {
        for piece in file
            .text
            .split("**")
            .skip(1)
            .step_by(2)
            .filter(|piece| is_id(piece))
        {
            found
                .entry(piece.to_owned())
                .or_default()
                .push(file.path.clone());
        }
    }
    assert!(!found.is_empty(), "spec/ defines no requirement");
    found
}

/// Returns the tests that name a requirement: its id, and file and function.
fn tests(files: &[SourceFile]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        for name in test_names(&file.text) {
            if let Some(id) = named_id(name) {
                found.push((id, format!("{}: {name}", file.path)));
            }
        }
    }
    found
}

/// `r_join_4_wrong_key` names `R-JOIN-4`.
fn named_id(test: &str) -> Option<String> {
    let words: Vec<_> = test.split('_').collect();
    let number = words.iter().position(|word| is_number(word))?;
    let id = words[..=number].join("-").to_ascii_uppercase();
    (words[0] == "r" && number >= 2 && words.len() > number + 1).then_some(id)
}

/// Returns the ids that a text mentions, wherever it does.
fn cited(text: &str) -> impl Iterator<Item = String> {
    let pieces = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    pieces.filter(|piece| is_id(piece)).map(str::to_owned)
}

/// `R`, words in capitals, a number; joined by dashes.
fn is_id(text: &str) -> bool {
    let words: Vec<_> = text.split('-').collect();
    let [first, middle @ .., number] = words.as_slice() else {
        return false;
    };
    let are_capitals = middle
        .iter()
        .all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase()));
    *first == "R" && !middle.is_empty() && are_capitals && is_number(number)
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_digit())
}

fn is_code(file: &SourceFile) -> bool {
    let folders = ["crates/", "bin/", "tests/", "fuzz/"];
    let is_ours = folders.iter().any(|folder| file.path.starts_with(folder));
    // The rules themselves speak of ids that are examples.
    is_ours && file.path.ends_with(".rs") && !file.path.starts_with("tests/tidy/")
}

#[test]
fn ids_and_test_names_are_told_from_other_words() {
    assert_eq!(named_id("r_join_4_wrong_key").as_deref(), Some("R-JOIN-4"));
    for no_id in ["r_join_4", "r_4_x", "join_4_x", "r_join_x"] {
        assert_eq!(named_id(no_id), None, "{no_id}");
    }
    let text = "see `R-JOIN-4`, (R-A-B-12). Not: R-join-4, R-4, XR-A-1, R-A-, R-XXX-n.";
    assert_eq!(cited(text).collect::<Vec<_>>(), ["R-JOIN-4", "R-A-B-12"]);
}
