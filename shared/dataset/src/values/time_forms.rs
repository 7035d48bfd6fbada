//! How people write times, for `chrono` to read.

use std::sync::LazyLock;

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, NaiveTime, Utc};

/// Which of day and month stands first in `03/04/2020`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DateOrder {
    /// Nobody has said; such dates are refused.
    #[default]
    NotTold,
    /// 3 April.
    DayFirst,
    /// March 4.
    MonthFirst,
}

/// One way to write a time.
pub(crate) struct Form {
    items: Vec<Item<'static>>,
    has_time: bool,
    has_zone: bool,
}

/// A time as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) at_ms: i64,
    /// The text says how far from UTC it is, or needs not: it is a date.
    pub(crate) has_zone: bool,
}

/// Dates that mean one day only.
const DATES: [&str; 14] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d %B %Y",
    "%d-%B-%Y",
    "%d/%B/%Y",
    "%B %d, %Y",
    "%B %d %Y",
    "%A, %d %B %Y",
    "%A %d %B %Y",
    "%A, %B %d, %Y",
    "%Y %B %d",
    "%d. %B %Y",
];

/// Times of day behind a date, with what stands between.
const TIMES: [&str; 12] = [
    " %H:%M:%S%.f",
    "T%H:%M:%S%.f",
    " %H:%M",
    "T%H:%M",
    " %I:%M:%S %p",
    " %I:%M %p",
    ", %I:%M:%S %p",
    ", %I:%M %p",
    ", %H:%M:%S",
    ":%H:%M:%S",
    "T%H%M%S%.f",
    " %H",
];

/// Times whose parts stand in an order of their own.
const WHOLE: [&str; 3] = ["%a %b %d %H:%M:%S %Y", "%Y%m%d%H%M%S", "%Y%m%d%H%M"];

/// The forms that mean one time only, the usual ones first.
pub(crate) static UNTOLD: LazyLock<Vec<Form>> = LazyLock::new(untold_forms);

fn untold_forms() -> Vec<Form> {
    let mut forms = forms_of(&DATES.map(str::to_owned));
    for whole in WHOLE {
        forms.extend(Form::new(whole, true, false));
    }
    forms.extend(Form::new("%a %b %d %H:%M:%S %#z %Y", true, true));
    forms
}

/// The forms whose dates begin with the day, or with the month.
pub(crate) fn told_forms(order: DateOrder) -> Vec<Form> {
    forms_of(&told_dates(order))
}

fn forms_of(dates: &[String]) -> Vec<Form> {
    let mut forms = Vec::new();
    for date in dates {
        for time in TIMES {
            forms.extend(Form::new(&format!("{date}{time}"), true, false));
            let zoned = format!("{date}{time} %#z");
            forms.extend(Form::new(&zoned, true, true));
        }
        forms.extend(Form::new(date, false, false));
    }
    forms
}

fn told_dates(order: DateOrder) -> Vec<String> {
    let (first, second) = match order {
        DateOrder::NotTold => return Vec::new(),
        DateOrder::DayFirst => ("%d", "%m"),
        DateOrder::MonthFirst => ("%m", "%d"),
    };
    let mut dates = Vec::new();
    for between in ["/", ".", "-", " "] {
        for year in ["%Y", "%y"] {
            dates.push(format!("{first}{between}{second}{between}{year}"));
        }
    }
    // Amazon's `09 13, 2014`.
    dates.push(format!("{first} {second}, %Y"));
    dates
}

impl Form {
    fn new(pattern: &str, has_time: bool, has_zone: bool) -> Option<Self> {
        let items = StrftimeItems::new(pattern).parse_to_owned().ok()?;
        Some(Self {
            items,
            has_time,
            has_zone,
        })
    }

    /// Reads a time that is written in this form.
    pub(crate) fn read(&self, text: &str) -> Option<Read> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.items.iter()).ok()?;
        let at: DateTime<Utc> = if self.has_zone {
            let at: DateTime<FixedOffset> = parsed.to_datetime().ok()?;
            at.to_utc()
        } else if self.has_time {
            let date = parsed.to_naive_date().ok()?;
            if parsed.minute().is_none() {
                parsed.set_minute(0).ok()?;
            }
            date.and_time(parsed.to_naive_time().ok()?).and_utc()
        } else {
            let date = parsed.to_naive_date().ok()?;
            NaiveDateTime::new(date, NaiveTime::MIN).and_utc()
        };
        // `20-09-13` is no year 20.
        if !(1_000..10_000).contains(&at.year()) {
            return None;
        }
        Some(Read {
            at_ms: at.timestamp_millis(),
            has_zone: self.has_zone || !self.has_time,
        })
    }
}
