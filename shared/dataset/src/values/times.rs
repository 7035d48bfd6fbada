//! Times as milliseconds since 1970-01-01 UTC, whatever a file has them in.

use chrono::DateTime;

use crate::table::Cell;
use crate::values::missing::says_nothing;
use crate::values::time_forms::{Form, Read, UNTOLD, told_forms};

pub use crate::values::time_forms::DateOrder;

/// Numbers beyond this many seconds (the year 5138) are milliseconds.
const LARGEST_SECONDS: f64 = 1e11;

/// Beyond this (the year 5138 in milliseconds) they are microseconds, and
/// beyond a thousand times that nanoseconds.
const LARGEST_MILLISECONDS: f64 = 1e14;

/// 1990-01-01: earlier times are positions or mistakes.
pub(crate) const EARLIEST_USUAL_MS: i64 = 631_152_000_000;

/// Reads the times of one column; most are written like the one before.
pub(crate) struct Times {
    order: DateOrder,
    /// The forms that need an order; they are tried first.
    told: Vec<Form>,
    /// The form of the last time that was read.
    last: usize,
    /// Numbers such as 20200913 are dates.
    are_compact: bool,
    /// How many said a time of day and no zone.
    pub(crate) n_without_zone: usize,
    /// A form that needs an order was used.
    pub(crate) used_order: bool,
}

impl Times {
    pub(crate) fn new(order: DateOrder) -> Self {
        Self {
            order,
            told: told_forms(order),
            last: 0,
            are_compact: false,
            n_without_zone: 0,
            used_order: false,
        }
    }

    /// Looks at a column's first cells: numbers that are all dates without
    /// separators are read as such.
    pub(crate) fn look_at<'a>(
        &mut self,
        cells: impl Iterator<Item = &'a Cell<'static>>,
    ) {
        let (mut n, mut n_compact) = (0, 0);
        for cell in cells.filter(|cell| !says_nothing(&cell.shown())) {
            n += 1;
            n_compact += usize::from(self.compact(&cell.shown()).is_some());
        }
        self.are_compact = n > 0 && n_compact == n;
    }

    /// The time that a cell holds; `None` where it holds nothing.
    pub(crate) fn read(
        &mut self,
        cell: &Cell<'_>,
    ) -> Result<Option<i64>, String> {
        match cell {
            Cell::Missing => Ok(None),
            Cell::Time(ms) => Ok(Some(*ms)),
            Cell::Integer(_) | Cell::Float(_) if self.are_compact => {
                self.of_text(&cell.shown())
            }
            Cell::Integer(number) => Ok(Some(of_integer(*number))),
            Cell::Float(number) if number.is_nan() => Ok(None),
            Cell::Float(number) if number.is_finite() => {
                Ok(Some(of_float(*number)))
            }
            Cell::Text(text) | Cell::Number(text) => self.of_text(text),
            Cell::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.of_text(text),
                Err(_) => Err("timestamp is bytes, no time".to_owned()),
            },
            Cell::Nested(value) if value.is_array() => {
                Err("timestamp is a list".to_owned())
            }
            Cell::Float(_) | Cell::Flag(_) | Cell::Nested(_) => {
                Err(format!("timestamp `{}` is no time", cell.shown()))
            }
        }
    }

    fn of_text(&mut self, text: &str) -> Result<Option<i64>, String> {
        let text = text.trim();
        if let Ok(number) = text.parse::<i64>()
            && !self.are_compact
        {
            return Ok(Some(of_integer(number)));
        }
        if says_nothing(text) {
            return Ok(None);
        }
        if self.are_compact
            && let Some(read) = self.compact(text)
        {
            return Ok(Some(read.at_ms));
        }
        if let Ok(number) = text.parse::<f64>()
            && number.is_finite()
        {
            return Ok(Some(of_float(number)));
        }
        let Some(read) = self.written(text) else {
            return Err(self.why_not(text));
        };
        self.used_order |= self.last < self.told.len();
        self.n_without_zone += usize::from(!read.has_zone);
        Ok(Some(read.at_ms))
    }

    /// A time as people write it.
    fn written(&mut self, text: &str) -> Option<Read> {
        if let Some(read) = self.form(self.last).read(text) {
            return Some(read);
        }
        let (plain, is_utc) = without_zone_name(text);
        let found = self.in_any_form(plain).or_else(|| {
            // `12:27:00,123` as logs write fractions.
            let (whole, fraction) = plain.rsplit_once(',')?;
            let is_fraction = fraction.bytes().all(|c| c.is_ascii_digit());
            let text = format!("{whole}.{fraction}");
            is_fraction.then(|| self.in_any_form(&text)).flatten()
        })?;
        Some(Read {
            has_zone: found.has_zone || is_utc,
            ..found
        })
    }

    fn form(&self, place: usize) -> &Form {
        let n_told = self.told.len();
        self.told
            .get(place)
            .unwrap_or_else(|| &UNTOLD[place - n_told])
    }

    fn in_any_form(&mut self, text: &str) -> Option<Read> {
        if let Some(read) = self.form(self.last).read(text) {
            return Some(read);
        }
        for place in 0..self.told.len() + UNTOLD.len() {
            if let Some(read) = self.form(place).read(text) {
                self.last = place;
                return Some(read);
            }
        }
        None
    }

    /// A date, or date and time, without separators.
    fn compact(&mut self, text: &str) -> Option<Read> {
        let text = text.trim();
        let text = text.strip_suffix(".0").unwrap_or(text);
        let is_compact = matches!(text.len(), 8 | 12 | 14)
            && text.bytes().all(|c| c.is_ascii_digit())
            && matches!(&text[..2], "19" | "20");
        if is_compact {
            self.in_any_form(text)
        } else {
            None
        }
    }

    fn why_not(&self, text: &str) -> String {
        let text: String = text.chars().take(60).collect();
        if self.order == DateOrder::NotTold && is_ambiguous(&text) {
            return format!(
                "timestamp `{text}` may begin with the day or with the month; say `--dates day-first` or `--dates month-first`"
            );
        }
        format!(
            "timestamp `{text}` is no time: neither a number since 1970 nor a date such as 2020-09-13T12:27:00Z"
        )
    }
}

/// `UTC`, `GMT` and `Z` behind a time, and a zone's name in brackets, taken
/// off.
fn without_zone_name(text: &str) -> (&str, bool) {
    let text = match text.split_once('[') {
        Some((before, _)) if text.ends_with(']') => before.trim_end(),
        Some(_) | None => text,
    };
    for name in ["UTC", "GMT", "Z", "z"] {
        let Some(before) = text.strip_suffix(name) else {
            continue;
        };
        let before = before.trim_end();
        if before.ends_with(|c: char| c.is_ascii_digit()) {
            return (before, true);
        }
    }
    (text, false)
}

/// `03/04/2020`, whatever stands between.
fn is_ambiguous(text: &str) -> bool {
    let date = text.split([' ', 'T', ',']).next().unwrap_or(text);
    let parts: Vec<&str> = date.split(['/', '.', '-']).collect();
    parts.len() == 3
        && parts[0].len() <= 2
        && parts.iter().all(|part| part.parse::<u16>().is_ok())
}

fn of_integer(number: i64) -> i64 {
    let size = number.unsigned_abs();
    match size {
        0..100_000_000_000 => number * 1_000,
        100_000_000_000..100_000_000_000_000 => number,
        100_000_000_000_000..100_000_000_000_000_000 => number / 1_000,
        _ => number / 1_000_000,
    }
}

fn of_float(number: f64) -> i64 {
    let ms = match number.abs() {
        size if size < LARGEST_SECONDS => number * 1_000.0,
        size if size < LARGEST_MILLISECONDS => number,
        size if size < LARGEST_MILLISECONDS * 1_000.0 => number / 1e3,
        _ => number / 1e6,
    };
    ms as i64
}

/// A time as people read it, in UTC; a number where no calendar has it.
pub fn date_of(at_ms: i64) -> String {
    match DateTime::from_timestamp_millis(at_ms) {
        Some(at) => at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        None => format!("{at_ms} ms since 1970"),
    }
}

/// True where nearly all cells are times of our days: written ones, or numbers
/// that count from 1970.
pub(crate) fn look_like_times<'a>(
    cells: impl Iterator<Item = &'a Cell<'static>> + Clone,
) -> bool {
    let mut times = Times::new(DateOrder::NotTold);
    times.look_at(cells.clone());
    let (mut n, mut n_times) = (0, 0);
    for cell in cells.filter(|cell| !says_nothing(&cell.shown())) {
        n += 1;
        let is_time = match times.read(cell) {
            Ok(Some(ms)) => {
                (EARLIEST_USUAL_MS..4_102_444_800_000).contains(&ms)
            }
            Ok(None) => false,
            // Which of day and month is first is not known, that it is a date
            // is.
            Err(reason) => reason.contains("--dates"),
        };
        n_times += usize::from(is_time);
    }
    n > 0 && n_times * 10 >= n * 9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, order: DateOrder) -> Result<Option<i64>, String> {
        Times::new(order).read(&Cell::Text(text.into()))
    }

    fn untold(text: &str) -> Result<Option<i64>, String> {
        read(text, DateOrder::NotTold)
    }

    #[test]
    fn seconds_to_nanoseconds_are_told_apart() {
        assert_eq!(untold("1393545600"), Ok(Some(1_393_545_600_000)));
        assert_eq!(untold("1393545600123"), Ok(Some(1_393_545_600_123)));
        assert_eq!(untold("1393545600123456"), Ok(Some(1_393_545_600_123)));
        assert_eq!(untold("1393545600123456789"), Ok(Some(1_393_545_600_123)));
        assert_eq!(untold("1393545600.5"), Ok(Some(1_393_545_600_500)));
        assert_eq!(untold("1.3935456e9"), Ok(Some(1_393_545_600_000)));
        assert_eq!(untold("7"), Ok(Some(7_000)));
        assert!(untold("yesterday").is_err());
    }

    #[test]
    fn times_are_read_as_people_and_programs_write_them() {
        let noon = Ok(Some(1_600_000_020_000));
        for text in [
            "2020-09-13T12:27:00Z",
            "2020-09-13 12:27:00",
            "2020-09-13T12:27:00.000+00:00",
            "2020-09-13 14:27:00+02",
            "2020-09-13 14:27:00 +0200",
            "2020-09-13 12:27:00 UTC",
            "2020-09-13 12:27:00.000000 UTC",
            "2020-09-13T12:27",
            "2020/09/13 12:27:00",
            "20200913T122700Z",
            "Sun, 13 Sep 2020 12:27:00 GMT",
            "Sun Sep 13 12:27:00 +0000 2020",
            "Sun Sep 13 12:27:00 2020",
            "13/Sep/2020:12:27:00 +0000",
            "Sep 13, 2020 12:27:00 PM",
            "September 13, 2020, 12:27 PM",
            "2020-09-13 12:27:00,000",
            "2020-09-13T12:27:00+00:00[Europe/Lisbon]",
        ] {
            assert_eq!(untold(text), noon, "{text}");
        }
        let day = Ok(Some(1_599_955_200_000));
        for text in ["2020-09-13", "2020/9/13", "13 Sep 2020", "Sep 13, 2020"] {
            assert_eq!(untold(text), day, "{text}");
        }
    }

    #[test]
    fn day_and_month_are_told_or_refused() {
        let day = Ok(Some(1_599_955_200_000));
        assert_eq!(read("13.09.2020", DateOrder::DayFirst), day);
        assert_eq!(read("13/9/20", DateOrder::DayFirst), day);
        assert_eq!(read("9/13/2020", DateOrder::MonthFirst), day);
        assert_eq!(read("09 13, 2020", DateOrder::MonthFirst), day);
        let refused = untold("13.09.2020").unwrap_err();
        assert!(refused.contains("--dates day-first"), "{refused}");
    }

    #[test]
    fn dates_without_separators_are_dates_where_all_are() {
        let mut times = Times::new(DateOrder::NotTold);
        let cells = [Cell::Integer(20_200_913), Cell::Text("20200914".into())];
        times.look_at(cells.iter());
        assert_eq!(times.read(&cells[0]), Ok(Some(1_599_955_200_000)));
        let mixed = [Cell::Integer(20_200_913), Cell::Integer(7)];
        times.look_at(mixed.iter());
        assert_eq!(times.read(&mixed[0]), Ok(Some(20_200_913_000)));
    }
}
