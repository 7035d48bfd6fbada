//! Printed Python as JSON: Amazon's 2014 metadata is of this form.

use std::str::CharIndices;

use serde_json::Value;

/// A printed Python dictionary as JSON: strings in double quotes, `True`,
/// `False` and `None` by their names in JSON.
pub(crate) fn json_of_python(line: &str) -> String {
    let mut json = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(['\'', '"']) {
        json.push_str(&constants(&rest[..start]));
        let quote = rest[start..].chars().next().unwrap_or('"');
        let (text, after) = python_string(&rest[start + 1..], quote);
        json.push_str(&Value::String(text).to_string());
        rest = after;
    }
    json.push_str(&constants(rest));
    json
}

/// Code outside of strings, with JSON's names of the constants.
fn constants(code: &str) -> String {
    code.replace("True", "true")
        .replace("False", "false")
        .replace("None", "null")
}

/// The text up to the closing quote, escapes resolved, and what follows.
fn python_string(code: &str, quote: char) -> (String, &str) {
    let mut text = String::new();
    let mut chars = code.char_indices();
    while let Some((place, c)) = chars.next() {
        if c == quote {
            return (text, &code[place + 1..]);
        }
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next().map(|(_, escaped)| escaped) {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('x') => text.extend(code_point(&mut chars, 2)),
            Some('u') => text.extend(code_point(&mut chars, 4)),
            Some(other) => text.push(other),
            None => {}
        }
    }
    (text, "")
}

/// The character that so many hexadecimal digits name; `None` where they name
/// none.
fn code_point(chars: &mut CharIndices<'_>, n_digits: usize) -> Option<char> {
    let digits: String = chars.take(n_digits).map(|(_, digit)| digit).collect();
    let number = u32::from_str_radix(&digits, 16).ok()?;
    char::from_u32(number)
}
