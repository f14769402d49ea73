//! What somebody who made a slip may have meant.

/// The nearest of the known words, if it is near enough to be what was meant.
pub(super) fn nearest<'w>(found: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // Longer than any word we know and not worth a quadratic comparison.
    if found.len() > 64 {
        return None;
    }
    let found = found.to_lowercase();
    // A slip in three letters is one, in ten letters it may be three.
    let most = 1 + found.chars().count() / 5;
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&found, &word.to_lowercase()), word))
        .filter(|(slips, _)| *slips <= most)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_a_stranger_is_not() {
        let known = ["name", "link", "endpoints"];
        for (found, meant) in [
            ("linc", Some("link")),
            ("Link", Some("link")),
            ("nmae", Some("name")),
            ("endpoint", Some("endpoints")),
            ("address", None),
            ("x", None),
        ] {
            assert_eq!(nearest(found, known), meant, "{found}");
        }
    }
}
