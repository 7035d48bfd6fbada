//! When and where a job is to run, as it is typed.

use anyhow::{Context, bail};
use domain::Schedule;
use proto::pb;

use crate::jobs::client::TrainingClient;
use crate::lookup;
use crate::names;

/// When and where a job is to run.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ScheduleArguments {
    /// Jobs with a larger one are taken first within their queue; -100 to 100.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,

    /// The queue that it waits in; the coordinator's settings name them.
    #[arg(long, default_value = "")]
    queue: String,

    /// Begin no sooner: a time (2026-12-01T22:00:00Z), or a while from now
    /// (90s, 20m, 8h, 2d).
    #[arg(long, value_name = "WHEN")]
    start_after: Option<String>,

    /// Fail when it has not ended by then: a time, or a while from now.
    #[arg(long, value_name = "WHEN")]
    deadline: Option<String>,

    /// Begin when this job has succeeded, fail when it ends otherwise; may be
    /// repeated.
    #[arg(long, value_name = "JOB")]
    after: Vec<String>,

    /// A label that the worker must have; may be repeated.
    #[arg(long, value_name = "LABEL")]
    need_label: Vec<String>,

    /// Memory that the worker's device must have, in GiB.
    #[arg(long, value_name = "GIB", default_value_t = 0)]
    need_memory_gib: u32,
}

impl ScheduleArguments {
    /// [`ScheduleArguments::schedule`], with the ids of the jobs to follow
    /// looked up.
    pub(crate) async fn found(
        &self,
        client: &mut TrainingClient,
        now_ms: i64,
    ) -> anyhow::Result<Option<pb::Schedule>> {
        let mut after = Vec::new();
        for job in &self.after {
            after.push(lookup::job(client, job).await?);
        }
        let arguments = Self {
            after,
            ..self.clone()
        };
        arguments.schedule(now_ms)
    }

    /// Makes a schedule of what was typed at a time, in milliseconds since
    /// 1970-01-01 UTC; `None` where nothing was typed.
    pub(crate) fn schedule(
        &self,
        now_ms: i64,
    ) -> anyhow::Result<Option<pb::Schedule>> {
        let needs = pb::Needs {
            labels: self.need_label.clone(),
            memory_gib: self.need_memory_gib,
        };
        let schedule = pb::Schedule {
            priority: self.priority,
            queue: self.queue.clone(),
            start_after: moment("--start-after", &self.start_after, now_ms)?,
            deadline: moment("--deadline", &self.deadline, now_ms)?,
            after: self.after.iter().map(|job| names::job(job)).collect(),
            needs: Some(needs),
        };
        // What is wrong is said before anything is sent.
        let checked = Schedule::try_from(schedule)?;
        Ok((!checked.is_default()).then(|| (&checked).into()))
    }
}

type Moment = Option<prost_types::Timestamp>;

fn moment(
    option: &str,
    typed: &Option<String>,
    now_ms: i64,
) -> anyhow::Result<Moment> {
    let Some(typed) = typed else { return Ok(None) };
    if let Some(while_ms) = while_ms(typed) {
        return Ok(Some(proto::timestamp(now_ms.saturating_add(while_ms))));
    }

    let parsed: Result<prost_types::Timestamp, _> = typed.parse();
    let Ok(time) = parsed else {
        bail!(
            "{option} {typed}: give a time like 2026-12-01T22:00:00Z, or a while from now like 90s, 20m, 8h or 2d"
        );
    };
    Ok(Some(time))
}

/// A while like `90s`, in milliseconds; `None` for what is none.
fn while_ms(typed: &str) -> Option<i64> {
    let unit = typed.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let number: u32 = typed[..typed.len() - 1].parse().ok()?;
    Some(i64::from(number) * seconds * 1_000)
}

/// The time now, in milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> anyhow::Result<i64> {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .context("the clock is before 1970")?;
    Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn starting(typed: &str) -> anyhow::Result<Option<pb::Schedule>> {
        let arguments = ScheduleArguments {
            start_after: Some(typed.to_owned()),
            ..ScheduleArguments::default()
        };
        arguments.schedule(NOW_MS)
    }

    #[test]
    fn a_moment_is_a_time_or_a_while_from_now() {
        for (typed, seconds) in [
            ("90s", 1_800_000_090),
            ("20m", 1_800_001_200),
            ("2d", 1_800_172_800),
            ("2027-01-15T08:00:01Z", 1_800_000_001),
            ("2027-01-15T10:00:01+02:00", 1_800_000_001),
        ] {
            let schedule = starting(typed).unwrap().unwrap();
            let start = schedule.start_after.unwrap();
            assert_eq!(start.seconds, seconds, "{typed}");
        }
        for typed in ["", "tomorrow", "5", "h", "-5m", "1.5h"] {
            let refused = starting(typed).unwrap_err().to_string();
            assert!(refused.contains("--start-after"), "{refused}");
        }
    }

    #[test]
    fn nothing_typed_is_no_schedule() {
        let nothing = ScheduleArguments::default().schedule(NOW_MS);
        assert_eq!(nothing.unwrap(), None);
        let wrong = ScheduleArguments {
            priority: 101,
            ..ScheduleArguments::default()
        };
        let refused = wrong.schedule(NOW_MS).unwrap_err().to_string();
        assert!(refused.contains("priority"), "{refused}");
    }
}
