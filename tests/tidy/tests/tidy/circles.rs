//! Which file of the program may use which.

use std::collections::{BTreeMap, BTreeSet};

use starpoint_tidy::{comment_free, files, without_tests};

const ROOT: &str = "bin/starpoint/src/";

/// Modules below `commands` that several commands share.
const SHARED: [&str; 2] = ["commands::pipe", "commands::tunnel"];

/// Files by their module, `ui::error`, with the modules that they name.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let tree = files();
    let sources = tree.iter().filter_map(|file| {
        let path = file.path.strip_prefix(ROOT)?.strip_suffix(".rs")?;
        let is_module = !path.ends_with("/tests") && path != "main";
        is_module.then(|| (path.replace('/', "::"), &file.text))
    });
    let sources: BTreeMap<_, _> = sources.collect();
    assert!(sources.len() > 30, "the program is there");
    let named = sources.iter().map(|(module, text)| {
        let lines = comment_free(without_tests(text));
        let code: Vec<_> = lines.map(|(_, line)| line).collect();
        let paths = paths_of(&code.join(" "));
        let paths = paths.iter().filter_map(|path| absolute(module, path));
        let modules = paths.filter_map(|path| file_of(&sources, &path));
        let others = modules.filter(|other| other != module);
        (module.clone(), others.collect())
    });
    named.collect()
}

/// Returns every path that begins with `crate::` or `super::`, trees of `use` expanded.
fn paths_of(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            // `pub(in crate::…)` is a visibility.
            if !code[..at].ends_with("in ") {
                expand(String::new(), &code[at..], &mut paths);
            }
        }
    }
    paths
}

/// Reads one path or tree at the beginning of `code`; returns what follows it.
fn expand<'a>(mut prefix: String, code: &'a str, paths: &mut Vec<String>) -> &'a str {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let code = code.trim_start();
    let end = code.find(|c| !is_word(c)).unwrap_or(code.len());
    let (word, mut rest) = code.split_at(end);
    prefix.push_str(word);
    if !prefix.ends_with("::") || !rest.starts_with('{') {
        paths.push(prefix);
        return rest;
    }
    rest = &rest[1..];
    loop {
        rest = expand(prefix.clone(), rest, paths).trim_start();
        match rest.chars().next() {
            Some(',') => rest = rest[1..].trim_start(),
            Some('}') => return &rest[1..],
            Some(_) | None => return rest,
        }
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
    }
}

/// Returns the path from the root of the program.
fn absolute(module: &str, path: &str) -> Option<String> {
    if let Some(path) = path.strip_prefix("crate::") {
        return Some(path.to_owned());
    }
    let mut place: Vec<_> = module.split("::").collect();
    let mut rest = path;
    while let Some(after) = rest.strip_prefix("super::") {
        place.pop()?;
        rest = after;
    }
    place.push(rest);
    Some(place.join("::"))
}

/// Returns the file that a path leads to: its longest part that is one.
fn file_of<T>(sources: &BTreeMap<String, T>, path: &str) -> Option<String> {
    let parts: Vec<_> = path.split("::").collect();
    let prefixes = (1..=parts.len()).rev().map(|n| parts[..n].join("::"));
    let mut found = prefixes.filter(|prefix| sources.contains_key(prefix));
    found.next()
}

fn is_in(module: &str, folder: &str) -> bool {
    module
        .strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn paths_are_expanded() {
    let code = "use crate::{a::{self, B}, c::d}; fn f() { super::x::y(); }";
    let paths = paths_of(code);
    assert_eq!(
        paths,
        [
            "crate::a::self",
            "crate::a::B",
            "crate::c::d",
            "super::x::y"
        ]
    );
}

#[test]
fn layers_of_the_program_are_kept() {
    for (module, others) in uses() {
        for other in others {
            let is_allowed = if is_in(&module, "ui") {
                is_in(&other, "ui")
            } else if is_in(&module, "setup") {
                is_in(&other, "ui") || is_in(&other, "setup")
            } else if is_in(&module, "commands") {
                let command: Vec<_> = module.split("::").take(2).collect();
                let is_own = is_in(&other, &command.join("::"));
                let is_shared = SHARED.iter().any(|shared| is_in(&other, shared));
                is_own || is_shared || !is_in(&other, "commands")
            } else {
                true
            };
            assert!(is_allowed, "{module} may not use {other}");
        }
    }
}

#[test]
fn no_file_of_the_program_uses_itself_by_way_of_others() {
    let uses = uses();
    for start in uses.keys() {
        let mut seen = BTreeSet::new();
        let mut open: Vec<_> = uses[start].iter().collect();
        while let Some(module) = open.pop() {
            assert_ne!(module, start, "{start} uses itself by way of others");
            if seen.insert(module) {
                open.extend(&uses[module]);
            }
        }
    }
}
