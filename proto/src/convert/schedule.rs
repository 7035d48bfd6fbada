//! When and where a job is to run.

use std::collections::BTreeSet;

use domain::{Invalid, Needs, QueueName, Schedule, Violations, WorkerLabel};

use crate::convert::name::{job_id, job_name, millis, timestamp};
use crate::pb;

impl TryFrom<pb::Schedule> for Schedule {
    type Error = Invalid;

    fn try_from(asked: pb::Schedule) -> Result<Self, Invalid> {
        let mut wrong = Violations::default();
        let mut schedule = Self {
            priority: asked.priority,
            ..Self::default()
        };
        if !asked.queue.is_empty() {
            let queue = QueueName::new(asked.queue);
            schedule.queue =
                wrong.or_default(queue.map_err(|no| no.under("queue")));
        }

        if let Some(time) = asked.start_after {
            schedule.start_after_ms = wrong.take(millis("start_after", time));
        }

        if let Some(time) = asked.deadline {
            schedule.deadline_ms = wrong.take(millis("deadline", time));
        }

        for (place, name) in asked.after.iter().enumerate() {
            let job = job_id(&format!("after[{place}]"), name);
            schedule.after.extend(wrong.take(job));
        }

        let needs = asked.needs.unwrap_or_default();
        schedule.needs = Needs {
            labels: wrong
                .or_default(worker_labels("needs.labels", needs.labels)),
            memory_gib: needs.memory_gib,
        };
        wrong.take(schedule.validate());
        wrong.check()?;
        Ok(schedule)
    }
}

/// Reads labels; the error names the one that is none.
pub fn worker_labels(
    field: &str,
    names: Vec<String>,
) -> Result<BTreeSet<WorkerLabel>, Invalid> {
    let mut wrong = Violations::default();
    let mut labels = BTreeSet::new();
    for (place, name) in names.into_iter().enumerate() {
        let label = WorkerLabel::new(name);
        labels.extend(
            wrong.take(
                label.map_err(|no| no.under(&format!("{field}[{place}]"))),
            ),
        );
    }

    wrong.check()?;
    Ok(labels)
}

impl From<&Schedule> for pb::Schedule {
    fn from(schedule: &Schedule) -> Self {
        let Needs { labels, memory_gib } = &schedule.needs;
        let needs = pb::Needs {
            labels: labels.iter().map(ToString::to_string).collect(),
            memory_gib: *memory_gib,
        };
        Self {
            priority: schedule.priority,
            queue: schedule.queue.to_string(),
            start_after: schedule.start_after_ms.map(timestamp),
            deadline: schedule.deadline_ms.map(timestamp),
            after: schedule.after.iter().map(job_name).collect(),
            needs: Some(needs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_comes_back_as_it_was_asked_for() {
        let asked = pb::Schedule {
            priority: -7,
            queue: "nightly".to_owned(),
            start_after: Some(timestamp(1_800_000_000_123)),
            deadline: Some(timestamp(1_900_000_000_000)),
            after: vec!["jobs/a".to_owned(), "jobs/b".to_owned()],
            needs: Some(pb::Needs {
                labels: vec!["gpu".to_owned()],
                memory_gib: 24,
            }),
        };
        let schedule = Schedule::try_from(asked.clone()).unwrap();
        assert_eq!(pb::Schedule::from(&schedule), asked);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let refused = |asked: pb::Schedule| {
            Schedule::try_from(asked).unwrap_err().to_string()
        };
        let after = vec!["jobs/a".to_owned(), "b".to_owned()];
        let message = refused(pb::Schedule {
            after,
            ..pb::Schedule::default()
        });
        assert!(message.starts_with("after[1]: `b` must be"), "{message}");
        let labels = vec!["GPU".to_owned()];
        let needs = Some(pb::Needs {
            labels,
            memory_gib: 0,
        });
        let message = refused(pb::Schedule {
            needs,
            ..pb::Schedule::default()
        });
        assert!(message.starts_with("needs.labels[0]: `GPU`"), "{message}");
        let many = pb::Schedule {
            priority: 1_000,
            queue: "A!".to_owned(),
            after: vec!["b".to_owned()],
            ..pb::Schedule::default()
        };
        let message = refused(many);
        for field in ["priority: ", "queue: ", "after[0]: "] {
            assert!(message.contains(field), "{message}");
        }
        let message = refused(pb::Schedule {
            priority: 1_000,
            ..pb::Schedule::default()
        });
        assert!(message.starts_with("priority: must be"), "{message}");
    }
}
