//! Bodies of the fuzz targets `crypto_*`.

use crate::code::{Code, MAX_CODE_CHARS};

/// Reads the input as the text of a code, and as the bytes in one.
pub fn code(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(code) = text.parse::<Code>()
    {
        assert!(text.len() <= MAX_CODE_CHARS);
        check_code(&code);
    }
    // No fuzzer finds a checksum.
    if let Some(code) = Code::from_bytes(input) {
        check_code(&code);
    }
}

fn check_code(code: &Code) {
    assert!(code.stars().len() <= 4);
    let text = code.to_string();
    assert!(text.len() <= MAX_CODE_CHARS, "{} characters", text.len());
    assert_eq!(text.parse().as_ref(), Ok(code));
    assert_eq!(text.to_ascii_uppercase().parse().as_ref(), Ok(code));
    // Debug shows no secret.
    assert!(!format!("{code:?}").contains(&text[4..20]));
}

#[cfg(test)]
#[path = "../replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn codes_of_the_corpus_hold() {
        replay("crypto_code", super::code);
    }
}
