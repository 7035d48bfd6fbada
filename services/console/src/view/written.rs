//! Numbers, times and names as people read them.

use proto::pb::job::State;

/// Something that is not there.
pub(crate) const NONE: &str = "–";

/// A time to the minute, in UTC.
pub(crate) fn minute(time: Option<prost_types::Timestamp>) -> String {
    match time {
        None => NONE.to_owned(),
        Some(time) => {
            let text = time.to_string().replace('T', " ");
            let minute: String = text.chars().take(16).collect();
            format!("{minute} UTC")
        }
    }
}

/// A while in words that fit its length: `4.2 s`, `45 s`, `12 min 5 s`.
pub(crate) fn duration(seconds: f64) -> String {
    let all = seconds.max(0.0).round() as u64;
    let (hours, minutes, rest) = (all / 3_600, all / 60 % 60, all % 60);
    if all < 10 {
        format!("{:.1} s", seconds.max(0.0))
    } else if all < 60 {
        format!("{all} s")
    } else if hours == 0 {
        format!("{minutes} min {rest} s")
    } else {
        format!("{hours} h {minutes} min")
    }
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in the unit that fits.
pub(crate) fn bytes(n: u64) -> String {
    match n {
        0..1_000_000 => format!("{:.0} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

/// A share as a whole percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// What stands after the slash of a resource's name: `a` of `jobs/a`.
pub(crate) fn id(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, id)| id)
}

/// The first digits of an id, enough to tell it from others by eye.
pub(crate) fn short(name: &str) -> String {
    let id = id(name);
    // All jobs begin so.
    id.trim_start_matches("job-").chars().take(12).collect()
}

/// A text as a part of a path.
pub(crate) fn in_path(text: &str) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Fields and their values as the query of an address.
pub(crate) fn query(fields: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    query.finish()
}

/// A job's state in words.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Unspecified => "unknown",
        State::Queued => "queued",
        State::Running => "running",
        State::Cancelling => "cancelling",
        State::Succeeded => "succeeded",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_and_their_thousands_apart() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!((grouped(0), grouped(999)), ("0".into(), "999".into()));
        assert_eq!(bytes(1_500_000), "1.5 MB");
        assert_eq!(duration(75.0), "1 min 15 s");
        assert_eq!(minute(None), NONE);
        let time = prost_types::Timestamp {
            seconds: 86_460,
            nanos: 5,
        };
        assert_eq!(minute(Some(time)), "1970-01-02 00:01 UTC");
    }

    #[test]
    fn ids_with_any_letters_stand_in_paths_and_queries() {
        assert_eq!(in_path("a/b c"), "a%2Fb%20c");
        assert_eq!(query(&[("user", "a&b"), ("k", "")]), "user=a%26b");
        assert_eq!(short("jobs/0123456789abcdef"), "0123456789ab");
    }
}
