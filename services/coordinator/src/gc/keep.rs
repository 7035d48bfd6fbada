//! How much is kept of what nothing needs.

use serde::Deserialize;

/// The section `[keep]` of the coordinator's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Whatever is younger than this stays; 0 keeps everything.
    pub days: u32,
    /// The latest so many jobs that have ended stay, however old.
    pub jobs: usize,
    /// The latest so many versions without a label of each catalog stay,
    /// however old.
    pub versions: usize,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl Keep {
    /// Says from when on everything stays, in milliseconds since 1970-01-01
    /// UTC.
    pub(crate) fn young_since_ms(self, now_ms: i64) -> i64 {
        if self.days == 0 {
            return i64::MIN;
        }
        now_ms.saturating_sub(i64::from(self.days) * DAY_MS)
    }
}
