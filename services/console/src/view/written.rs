//! Numbers, times and names as people read them.

use proto::pb::job::State;

/// Something that is not there.
pub(crate) const NONE: &str = "–";

/// A time to the minute, in UTC.
pub(crate) fn minute(time: Option<prost_types::Timestamp>) -> String {
    cut(time, "2024-05-01 09:30".len())
}

/// A time to the second, in UTC.
pub(crate) fn second(time: Option<prost_types::Timestamp>) -> String {
    cut(time, "2024-05-01 09:30:15".len())
}

fn cut(time: Option<prost_types::Timestamp>, n_letters: usize) -> String {
    let Some(time) = time else {
        return NONE.to_owned();
    };
    let text = time.to_string().replace('T', " ");
    let text: String = text.chars().take(n_letters).collect();
    format!("{text} UTC")
}

/// A share as a whole percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// What stands after the slash of a resource's name: `a` of `jobs/a`.
pub(crate) fn id(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, id)| id)
}

/// A version's name in the API.
pub(crate) fn version_name(id: &str) -> String {
    format!("modelVersions/{id}")
}

/// A data set's name in the API.
pub(crate) fn dataset_name(id: &str) -> String {
    format!("datasets/{id}")
}

/// A title, or the id of what has none.
pub(crate) fn shown(title: &str, id: &str) -> String {
    if title.is_empty() { id } else { title }.to_owned()
}

/// The value of an attribute.
pub(crate) fn value_of(value: &prost_types::Value) -> String {
    use prost_types::value::Kind;
    match &value.kind {
        None | Some(Kind::NullValue(_)) => NONE.to_owned(),
        Some(Kind::NumberValue(number)) => number.to_string(),
        Some(Kind::StringValue(text)) => text.clone(),
        Some(Kind::BoolValue(is_so)) => is_so.to_string(),
        Some(Kind::ListValue(list)) => {
            let values: Vec<_> = list.values.iter().map(value_of).collect();
            values.join(", ")
        }
        Some(Kind::StructValue(fields)) => {
            let fields = fields.fields.iter();
            let fields: Vec<_> = fields
                .map(|(name, value)| format!("{name}: {}", value_of(value)))
                .collect();
            fields.join(", ")
        }
    }
}

/// The first digits of an id, enough to tell it from others by eye.
pub(crate) fn short(name: &str) -> String {
    // All jobs begin so.
    wording::short(id(name).trim_start_matches("job-"))
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
    fn a_time_is_said_to_the_minute() {
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
