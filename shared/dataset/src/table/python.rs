//! Printed Python, and JSON as Python writes it with `NaN`, as JSON: Amazon's
//! 2014 metadata and Steam's reviews are of this form.

use std::iter::Peekable;
use std::str::CharIndices;

use serde_json::Value;

/// Rewrites a printed dictionary: strings in double quotes, constants by their
/// names in JSON, tuples as lists, `datetime(…)` as text.
pub(crate) fn json_of_python(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        rest = match c {
            '\'' | '"' => {
                let (string, after) = python_string(behind, c);
                json.push_str(&Value::String(string).to_string());
                after
            }
            '(' => push(&mut json, '[', behind),
            ')' => close(&mut json, ']', behind),
            ']' | '}' => close(&mut json, c, behind),
            '-' if behind.starts_with(char::is_alphabetic) => behind,
            c if c.is_alphabetic() || c == '_' => word(&mut json, rest),
            c if c.is_ascii_digit() => number(&mut json, rest),
            c => push(&mut json, c, behind),
        };
    }
    json
}

fn push<'a>(json: &mut String, c: char, behind: &'a str) -> &'a str {
    json.push(c);
    behind
}

/// Closes a list or an object; a comma before it goes.
fn close<'a>(json: &mut String, c: char, behind: &'a str) -> &'a str {
    let trimmed = json.trim_end();
    if trimmed.ends_with(',') {
        json.truncate(trimmed.len() - 1);
    }
    json.push(c);
    behind
}

/// A number, without Python 2's `L`.
fn number<'a>(json: &mut String, rest: &'a str) -> &'a str {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let mut end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let is_exponent = rest[..end].ends_with(['e', 'E']);
    if is_exponent && rest[end..].starts_with(['+', '-']) {
        let digits = &rest[end + 1..];
        end += 1 + digits.find(|c| !is_part(c)).unwrap_or(digits.len());
    }
    json.push_str(rest[..end].trim_end_matches(['L', 'l']));
    &rest[end..]
}

/// A word outside of strings: a prefix of a string, a call, a key without
/// quotes, or a constant.
fn word<'a>(json: &mut String, rest: &'a str) -> &'a str {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let (word, behind) = rest.split_at(end);
    if behind.starts_with(['\'', '"']) && word.len() <= 2 {
        return behind;
    }
    if let Some(arguments) = behind.strip_prefix('(') {
        let (arguments, after) = until_closed(arguments);
        json.push_str(&call(word, arguments));
        return after;
    }
    if behind.trim_start().starts_with(':') {
        json.push_str(&Value::String(word.to_owned()).to_string());
        return behind;
    }
    json.push_str(match word {
        "True" | "true" => "true",
        "False" | "false" => "false",
        "None" | "null" | "NaN" | "nan" | "Infinity" | "inf" | "NaT"
        | "undefined" => "null",
        // No constant: the text is no Python, and no JSON either.
        _ => word,
    });
    behind
}

/// The arguments of a call, and what follows it.
fn until_closed(text: &str) -> (&str, &str) {
    let mut quote = None;
    for (place, c) in text.char_indices() {
        match (quote, c) {
            (None, ')') => return (&text[..place], &text[place + 1..]),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None | Some(_), _) => {}
        }
    }
    (text, "")
}

/// What a call stands for: a time as text, or its first argument.
fn call(name: &str, arguments: &str) -> String {
    let mut parts: Vec<&str> = arguments.split(',').map(str::trim).collect();
    let is_time = name.ends_with("datetime") || name.ends_with("date");
    let numbers: Option<Vec<u32>> =
        parts.iter().map(|part| part.parse().ok()).collect();
    if let Some(numbers) = numbers.filter(|n| is_time && n.len() >= 3) {
        let at = |place: usize| numbers.get(place).copied().unwrap_or(0);
        let (date, time) = numbers.split_at(3);
        let date = format!("{:04}-{:02}-{:02}", date[0], date[1], date[2]);
        if time.is_empty() {
            return format!("\"{date}\"");
        }
        return format!("\"{date}T{:02}:{:02}:{:02}\"", at(3), at(4), at(5));
    }
    parts.retain(|part| !part.is_empty());
    match parts.first() {
        Some(_) if name.ends_with("UUID") || parts.len() == 1 => {
            json_of_python(parts[0])
        }
        Some(_) => json_of_python(arguments),
        None => "null".to_owned(),
    }
}

/// The text up to the closing quote, escapes resolved, and what follows.
fn python_string(code: &str, quote: char) -> (String, &str) {
    let mut text = String::new();
    let mut chars = code.char_indices().peekable();
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
            Some('U') => text.extend(code_point(&mut chars, 8)),
            Some(other) => text.push(other),
            None => {}
        }
    }
    (text, "")
}

/// The character that so many hexadecimal digits name; `None` where they name
/// none.
fn code_point(
    chars: &mut Peekable<CharIndices<'_>>,
    n_digits: usize,
) -> Option<char> {
    let digits: String = chars.take(n_digits).map(|(_, digit)| digit).collect();
    let number = u32::from_str_radix(&digits, 16).ok()?;
    char::from_u32(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_python_is_rewritten() {
        for (python, json) in [
            (
                "{u'a': u'it\\u2019s', 'b': (1, 2L,)}",
                r#"{"a": "it’s", "b": [1, 2]}"#,
            ),
            (
                "{'a': nan, 'b': None, 'c': -inf}",
                r#"{"a": null, "b": null, "c": null}"#,
            ),
            ("{'a': True, 'b': \"x's\",}", r#"{"a": true, "b": "x's"}"#),
            ("{a: 1.5e-3}", r#"{"a": 1.5e-3}"#),
            (
                "{'t': datetime.datetime(2020, 9, 13, 12, 27)}",
                r#"{"t": "2020-09-13T12:27:00"}"#,
            ),
            (
                "{'_id': ObjectId('5f'), 'n': Decimal('4.5')}",
                r#"{"_id": "5f", "n": "4.5"}"#,
            ),
            (r#"{"a": NaN}"#, r#"{"a": null}"#),
        ] {
            assert_eq!(json_of_python(python), json);
        }
    }
}
