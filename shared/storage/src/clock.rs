//! The two clocks of a process: one for what is written down, one for how long
//! something takes.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 UTC, for people: the wall clock may jump, and
/// other machines' differ. No decision is made by it.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds that this process has run, and one: never 0, and never less
/// than before, whatever happens to the wall clock.
pub(crate) fn stopwatch_ms() -> i64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    i64::try_from(START.elapsed().as_millis()).map_or(i64::MAX, |ms| ms + 1)
}
