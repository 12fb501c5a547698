//! How long a module may be.

use starpoint_tidy::{code_lines, comment_free, files};

/// No module has more code lines, tests at its end not counted.
const MAX_CODE_LINES: usize = 600;

/// Nine of ten modules have at most as many.
const P90_CODE_LINES: usize = 350;

#[test]
fn modules_are_short() {
    let mut sizes = Vec::new();
    for file in files() {
        let is_ours = file.path.starts_with("crates/") || file.path.starts_with("bin/");
        if !is_ours || !file.path.ends_with(".rs") {
            continue;
        }
        let is_test = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
        if is_test {
            let lines = comment_free(&file.text).count();
            assert!(
                lines <= MAX_CODE_LINES,
                "{} has {lines} code lines",
                file.path
            );
        } else {
            sizes.push((code_lines(&file.text), file.path));
        }
    }
    sizes.sort();
    let (longest, path) = sizes.last().expect("there are modules");
    assert!(
        *longest <= MAX_CODE_LINES,
        "{path} has {longest} code lines"
    );
    let (p90, path) = &sizes[(sizes.len() * 9).div_ceil(10) - 1];
    assert!(
        *p90 <= P90_CODE_LINES,
        "nine of ten modules reach {p90} code lines, with {path}"
    );
}
