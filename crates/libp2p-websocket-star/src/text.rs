//! Texts that come from strangers.

use starpoint_wire::limits::MAX_ERROR_TEXT_BYTES;

/// Returns a text without control characters, cut to
/// [`MAX_ERROR_TEXT_BYTES`] at a character border.
pub(crate) fn printable(text: &str) -> String {
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > MAX_ERROR_TEXT_BYTES {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_are_cut_and_cleaned() {
        assert_eq!(printable("a\u{1b}[31m\nb"), "a[31mb");
        let long = printable(&"ü".repeat(10_000));
        assert_eq!(long.len(), MAX_ERROR_TEXT_BYTES);
    }
}
