//! How long a caller waits for an answer.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// The deadline of a call (`grpc-timeout`: up to eight digits and a unit);
/// `None` where the caller names none.
pub fn deadline(metadata: &MetadataMap) -> Option<Duration> {
    of_text(metadata.get(HEADER)?.to_str().ok()?)
}

/// The header that names the deadline.
pub(crate) const HEADER: &str = "grpc-timeout";

/// The deadline that the header's text says.
pub(crate) fn of_text(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let n: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(n.saturating_mul(3_600))),
        "M" => Some(Duration::from_secs(n.saturating_mul(60))),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_number_and_a_unit() {
        let of = |text: &'static str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            deadline(&metadata)
        };
        assert_eq!(of("250m"), Some(Duration::from_millis(250)));
        assert_eq!(of("2S"), Some(Duration::from_secs(2)));
        assert_eq!(of("99999999H"), Some(Duration::from_hours(99_999_999)));
        assert_eq!(
            (of("m"), of("12"), of("1x"), of("-1S"), of("100000000n")),
            (None, None, None, None, None)
        );
        assert_eq!(deadline(&MetadataMap::new()), None);
    }
}
