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
    /// Of a job that ended longer ago than this only the latest event stays; 0
    /// keeps all.
    pub event_days: u32,
    /// The latest so many versions without a label of each catalog stay,
    /// however old.
    pub versions: usize,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl Keep {
    /// Says from when on everything stays, in milliseconds since 1970-01-01
    /// UTC.
    pub(crate) fn young_since_ms(self, now_ms: i64) -> i64 {
        days_ago_ms(now_ms, self.days)
    }

    /// Says since when a job must have ended whose events all stay.
    pub(crate) fn events_young_since_ms(self, now_ms: i64) -> i64 {
        days_ago_ms(now_ms, self.event_days)
    }

    /// Whether everything stays for ever.
    pub(crate) fn is_everything(self) -> bool {
        self.days == 0 && self.event_days == 0
    }
}

/// So many days ago; 0 is further back than anything.
fn days_ago_ms(now_ms: i64, days: u32) -> i64 {
    if days == 0 {
        return i64::MIN;
    }
    now_ms.saturating_sub(i64::from(days) * DAY_MS)
}
