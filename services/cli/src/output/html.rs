//! Text that somebody else wrote, made safe for a page.

/// The text with the characters that HTML reads as markup replaced.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
