//! What is in a Rust file, as far as the rules need to know. No parser: the
//! sources are formatted, so lines are enough.

/// Returns the file without the tests at its end.
///
/// The tail starts at the first `#[cfg(test)]` that is followed by an inline
/// `mod`; a `mod tests;` whose tests are elsewhere is no tail.
pub fn without_tests(text: &str) -> &str {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let rest = &text[start + line.len()..];
        let next = rest.lines().next().unwrap_or_default();
        if line.trim_end() == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            return &text[..start];
        }
        start += line.len();
    }
    text
}

/// Returns the lines that are neither blank nor only a comment, with their
/// numbers from 1.
pub fn comment_free(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate();
    numbered
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
}

/// Counts the lines of code, tests at the end not included.
pub fn code_lines(text: &str) -> usize {
    comment_free(without_tests(text)).count()
}

/// Returns the names of the functions that a test attribute marks.
pub fn test_names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for (_, line) in comment_free(text) {
        if line.starts_with("#[") {
            is_test |= ["#[test]", "#[tokio::test"]
                .iter()
                .any(|mark| line.starts_with(mark));
            continue;
        }
        let function = line
            .strip_prefix("async ")
            .unwrap_or(line)
            .strip_prefix("fn ");
        if let Some(function) = function.filter(|_| is_test) {
            let end = function.find(['(', '<']).unwrap_or(function.len());
            names.push(&function[..end]);
        }
        is_test = false;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "//! Docs\n\nfn a() {\n    // why\n    b()\n}\n\n#[cfg(test)]\nmod tests {\n\
        \x20   #[test]\n    fn r_a_1_works() {}\n\n    fn helper() {}\n\n\
        \x20   /// Docs\n    #[tokio::test]\n    #[should_panic]\n    async fn r_b_2_works() {}\n}\n";

    #[test]
    fn comments_blanks_and_tests_are_no_code() {
        assert_eq!(code_lines(FILE), 3);
        assert_eq!(
            without_tests("#[cfg(test)]\nmod tests;\n\nfn a() {}\n")
                .lines()
                .count(),
            4
        );
    }

    #[test]
    fn only_functions_with_a_test_attribute_are_tests() {
        assert_eq!(test_names(FILE), ["r_a_1_works", "r_b_2_works"]);
    }
}
