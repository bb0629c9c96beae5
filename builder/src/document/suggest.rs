//! "Did you mean …?"

/// The candidate that `word` most probably stands for: small case, dashes for underscores, and at most
/// a third of its characters (at least one) wrong.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = normal(word);
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &normal(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether two words differ in case and in dashes and underscores at most.
pub(crate) fn same(a: &str, b: &str) -> bool {
    normal(a) == normal(b)
}

/// ``did you mean `…`?`` when a candidate is close, else the list of them.
pub(crate) fn did_you_mean(word: &str, kind: &str, candidates: &[impl AsRef<str>]) -> String {
    match closest(word, candidates.iter().map(AsRef::as_ref)) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if candidates.is_empty() => format!("there are no {kind}"),
        None => format!("{kind}: {}", list(candidates)),
    }
}

/// `a`, `b`, `c`
pub(crate) fn list(words: &[impl AsRef<str>]) -> String {
    words.iter().map(|word| format!("`{}`", word.as_ref())).collect::<Vec<_>>().join(", ")
}

fn normal(word: &str) -> String {
    word.trim().to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_what_was_meant_and_other_words_do_not() {
        let keys = ["memory", "machine", "cpu", "extra-args"];
        assert_eq!(closest("memroy", keys), Some("memory"));
        assert_eq!(closest("Extra_Args", keys), Some("extra-args"));
        assert_eq!(closest("cpus", keys), Some("cpu"));
        assert_eq!(closest("q", keys), None);
        assert_eq!(closest("xyz", keys), None);
        assert_eq!(did_you_mean("zzzz", "keys", &["a", "b"]), "keys: `a`, `b`");
        assert_eq!(did_you_mean("zzzz", "recipes", &[""; 0]), "there are no recipes");
    }
}
