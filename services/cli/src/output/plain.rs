//! Text that somebody else wrote, made safe for a terminal: a title may hold
//! characters that move the cursor, colour what follows or hide it.

use dataset::date_of;

/// A text of several lines with every character that a terminal would act on
/// written out, line ends and tabs aside.
pub(crate) fn lines(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == '\n' || letter == '\t' {
            plain.push(letter);
        } else {
            push(&mut plain, letter);
        }
    }
    plain
}

/// The same on one line: an id or a title cannot begin another one.
pub(crate) fn one_line(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        push(&mut plain, letter);
    }
    plain
}

/// A time to the minute, in UTC.
pub(crate) fn minute(at_ms: i64) -> String {
    date_of(at_ms).chars().take(16).collect()
}

fn push(plain: &mut String, letter: char) {
    if letter.is_control() || turns_text(letter) {
        plain.extend(letter.escape_default());
    } else {
        plain.push(letter);
    }
}

/// Whether a letter changes the direction or the lines of what follows.
fn turns_text(letter: char) -> bool {
    matches!(
        letter,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_written_out() {
        let title = "\u{1b}[31mred\u{1b}[0m\r\n\u{9b}2J\u{7}\u{202e}x\u{2028}";
        let plain = lines(title);
        assert_eq!(
            plain,
            "\\u{1b}[31mred\\u{1b}[0m\\r\n\\u{9b}2J\\u{7}\\u{202e}x\\u{2028}"
        );
        assert!(!one_line(title).contains('\n'));
        let usual = "Tee für zwei – 猫 🦀 \"'\\";
        assert_eq!(one_line(usual), usual);
    }
}
