//! Words that stand for nothing, as databases and Python write them.

/// The words, in small letters.
const WORDS: [&str; 12] = [
    "nan",
    "none",
    "null",
    "na",
    "n/a",
    "\\n",
    "nat",
    "<na>",
    "nil",
    "#n/a",
    "undefined",
    "-",
];

/// True for blank text and for a word that stands for nothing. Not asked of
/// ids: `NA` may be one.
pub(crate) fn says_nothing(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || is_suspicious(text) || text == "-"
}

/// True for an id that says `nan`, `None`, `NULL` and the like.
pub(crate) fn is_suspicious(id: &str) -> bool {
    let begins = matches!(
        id.as_bytes().first(),
        Some(b'n' | b'N' | b'\\' | b'<' | b'#' | b'u' | b'U')
    );
    begins
        && id.len() <= 9
        && WORDS.iter().any(|word| word.eq_ignore_ascii_case(id))
}
