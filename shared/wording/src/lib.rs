//! Numbers and names as people read them, in the terminal and on the console's
//! pages.

/// A while in words that fit its length: `4.2 s`, `45 s`, `12 min 5 s`,
/// `3 h 20 min`.
pub fn duration(seconds: f64) -> String {
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

/// A number with its thousands apart: `1,234,567`.
pub fn grouped(number: u64) -> String {
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

/// Numbers from one to another: `5 to 8`, or `5` where both are the same.
pub fn range(from: u64, to: u64) -> String {
    if from == to {
        grouped(from)
    } else {
        format!("{} to {}", grouped(from), grouped(to))
    }
}

/// Bytes in the unit that fits: `12 kB`, `1.5 MB`, `2.01 GB`.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000_000 => format!("{:.0} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

/// A change in percent, `+1.2 %`; what rounds to nothing has no minus sign.
pub fn change(ratio: f64) -> String {
    let percent = 100.0 * (ratio - 1.0);
    if percent.abs() < 0.05 {
        return "+0.0 %".to_owned();
    }
    format!("{percent:+.1} %")
}

/// How much better something is than something else: `+5.4 % over EASE`, or
/// `6.7 % below EASE`.
pub fn beside(ratio: f64, other: &str) -> String {
    let change = change(ratio);
    match change.strip_prefix('-') {
        Some(less) => format!("{less} below {other}"),
        None => format!("{change} over {other}"),
    }
}

/// The first digits of an id, enough to tell it from others by eye.
pub fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_while_is_said_as_long_as_it_is() {
        for (seconds, said) in [
            (0.44, "0.4 s"),
            (45.2, "45 s"),
            (725.0, "12 min 5 s"),
            (12_000.0, "3 h 20 min"),
        ] {
            assert_eq!(duration(seconds), said);
        }
    }

    #[test]
    fn what_is_worse_is_below() {
        assert_eq!(beside(1.054, "EASE"), "+5.4 % over EASE");
        assert_eq!(beside(0.933, "EASE"), "6.7 % below EASE");
        assert_eq!(beside(0.99999, "EASE"), "+0.0 % over EASE");
    }

    #[test]
    fn numbers_have_units_and_their_thousands_apart() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!((grouped(0), grouped(999)), ("0".into(), "999".into()));
        assert_eq!(bytes(1_500_000), "1.5 MB");
        assert_eq!(
            (change(0.9999), change(1.054)),
            ("+0.0 %".into(), "+5.4 %".into())
        );
    }
}
