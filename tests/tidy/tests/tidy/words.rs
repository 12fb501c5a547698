//! What no file of the tree says.

use starpoint_tidy::files;

/// Written in pieces, so that this file does not say them either.
const BANNED: [(&str, &str); 7] = [
    (concat!("TO", "DO"), "unfinished work"),
    (concat!("FIX", "ME"), "unfinished work"),
    (concat!("XX", "X:"), "unfinished work"),
    (concat!("to", "do!("), "unfinished work"),
    (concat!("unimple", "mented!"), "unfinished work"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
];

#[test]
fn nothing_is_unfinished_or_bound_to_one_machine() {
    let mut found = Vec::new();
    for file in files() {
        for (number, line) in file.text.lines().enumerate() {
            for (word, why) in BANNED.iter().filter(|(word, _)| line.contains(word)) {
                found.push(format!("{}:{}: {word}, {why}", file.path, number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn lock_files_point_to_the_public_registries() {
    for file in files() {
        let (mark, registry) = match file.path.rsplit('/').next() {
            Some("package-lock.json") => ("\"resolved\":", "https://registry.npmjs.org/"),
            Some("Cargo.lock") => (
                "source =",
                "registry+https://github.com/rust-lang/crates.io-index",
            ),
            _ => continue,
        };
        for line in file
            .text
            .lines()
            .filter(|line| line.trim_start().starts_with(mark))
        {
            assert!(line.contains(registry), "{}: {}", file.path, line.trim());
        }
    }
}
