//! What somebody probably meant.

/// Returns the candidate nearest to `typed`, unless all are far from it.
///
/// Near is up to one edit in three letters, and three edits at most. Of several
/// equally near candidates the first wins.
pub(crate) fn closest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let allowed = (typed.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(typed, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["listen", "log", "log-format", "no-challenge"];

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        assert_eq!(closest("lisen", KEYS), Some("listen"));
        assert_eq!(closest("no_chalenge", KEYS), Some("no-challenge"));
        assert_eq!(closest("lgo", KEYS), Some("log"));
    }

    #[test]
    fn another_word_is_not() {
        assert_eq!(closest("port", KEYS), None);
        assert_eq!(closest("", KEYS), None);
    }

    #[test]
    fn the_nearest_wins() {
        assert_eq!(closest("log-forma", KEYS), Some("log-format"));
    }
}
