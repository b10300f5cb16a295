//! Owns "did you mean": the one known word that a mistyped one most likely was.

/// The candidate nearest to `word`, if one is near enough to be worth showing.
///
/// Words that differ only in case or in `-`, `_` and blanks always count as near;
/// else one typing mistake (a letter wrong, missing, extra or swapped) in 2 to 4 letters, two
/// in 5 to 7, and so on.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(word);
    let allowed = folded.chars().count().saturating_add(1) / 3;
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        let other = fold(candidate);
        let distance = strsim::damerau_levenshtein(&folded, &other);
        // A word of two letters is one letter away from a great many others.
        if distance > allowed || (distance > 0 && folded.chars().count() < 3) {
            continue;
        }
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// "did you mean `x`?", or a list of what is possible when nothing is near.
pub fn hint(word: &str, candidates: &[&str]) -> Option<String> {
    if let Some(near) = nearest(word, candidates.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    one_of(candidates).map(|list| format!("possible: {list}"))
}

/// "`a`, `b` or `c`"; `None` when the list is empty or too long to help.
pub fn one_of(candidates: &[&str]) -> Option<String> {
    const SHOWN_MAX: usize = 20;
    let (last, others) = candidates.split_last()?;
    if others.is_empty() {
        return Some(format!("`{last}`"));
    }
    if candidates.len() > SHOWN_MAX {
        return None;
    }
    let others: Vec<String> = others.iter().map(|word| format!("`{word}`")).collect();
    Some(format!("{} or `{last}`", others.join(", ")))
}

fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let keys = ["name", "topics", "format", "keyed_by", "explode"];
        assert_eq!(nearest("topic", keys), Some("topics"));
        assert_eq!(nearest("keyed-by", keys), Some("keyed_by"));
        assert_eq!(nearest("keyedBy", keys), Some("keyed_by"));
        assert_eq!(nearest("fromat", keys), Some("format"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("a", ["b", "c"]), None);
    }

    #[test]
    fn lists_read_like_a_sentence() {
        assert_eq!(one_of(&["a", "b", "c"]).as_deref(), Some("`a`, `b` or `c`"));
        assert_eq!(one_of(&["a"]).as_deref(), Some("`a`"));
        assert_eq!(one_of(&[]), None);
        assert_eq!(hint("zzzz", &["drop", "keep"]).as_deref(), Some("possible: `drop` or `keep`"));
    }
}
