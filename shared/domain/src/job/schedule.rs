//! When and where a job is to run, as whoever submits it asks for it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::field::{Invalid, Violation, at_most};
use crate::ids::{JobId, QueueName, WorkerLabel};

/// Largest priority, and smallest with a minus.
const MOST_PRIORITY: i32 = 100;
/// Most jobs that one job follows.
const MOST_AFTER: usize = 100;
/// Most labels that a job needs or a worker has.
const MOST_LABELS: usize = 32;
/// Most memory that a job needs, in GiB.
const MOST_MEMORY_GIB: usize = 100_000;

/// When and where a job is to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// Of the jobs in a queue, those with a larger priority are given out
    /// first; -100 to 100.
    pub priority: i32,
    /// The queue that it waits in.
    pub queue: QueueName,
    /// No worker takes it before this moment, in milliseconds since 1970-01-01
    /// UTC.
    pub start_after_ms: Option<i64>,
    /// It fails when it has not ended by this moment, in milliseconds since
    /// 1970-01-01 UTC.
    pub deadline_ms: Option<i64>,
    /// Jobs that must succeed before it begins.
    pub after: Vec<JobId>,
    /// What a worker must have to take it.
    pub needs: Needs,
}

/// What a worker must have to take a job.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
)]
#[serde(default)]
pub struct Needs {
    /// All of these labels.
    pub labels: BTreeSet<WorkerLabel>,
    /// At least so much memory where it computes, in GiB; 0: any.
    pub memory_gib: u32,
}

/// What a worker has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Equipment {
    /// What it was set up to say of itself.
    pub labels: BTreeSet<WorkerLabel>,
    /// Memory of the device that computes, in GiB; 0 when unknown.
    pub memory_gib: u32,
}

impl Schedule {
    /// True for what a job has that says nothing about when and where.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses what cannot be meant; every wrong field is named.
    pub fn validate(&self) -> Result<(), Invalid> {
        let mut wrong = Vec::new();
        if !(-MOST_PRIORITY..=MOST_PRIORITY).contains(&self.priority) {
            let reason = format!(
                "must be -{MOST_PRIORITY} to {MOST_PRIORITY}, is {}",
                self.priority
            );
            wrong.push(Violation::new("priority", reason));
        }

        if let (Some(start), Some(deadline)) =
            (self.start_after_ms, self.deadline_ms)
            && deadline <= start
        {
            let reason = "must be later than start_after";
            wrong.push(Violation::new("deadline", reason));
        }

        if self.after.len() > MOST_AFTER {
            let reason = format!(
                "must name at most {MOST_AFTER} jobs, names {}",
                self.after.len()
            );
            wrong.push(Violation::new("after", reason));
        }

        // Of too many only the first are compared with each other.
        let few = self.after.iter().take(MOST_AFTER);
        for (place, id) in few.enumerate() {
            if self.after[..place].contains(id) {
                let reason = format!("jobs/{id} is named twice");
                let field = format!("after[{place}]");
                wrong.push(Violation::new(field, reason));
            }
        }

        let Needs { labels, memory_gib } = &self.needs;
        at_most(&mut wrong, "needs.labels", labels.len(), MOST_LABELS);
        let memory_gib = *memory_gib as usize;
        at_most(&mut wrong, "needs.memory_gib", memory_gib, MOST_MEMORY_GIB);
        Invalid::check(wrong)
    }
}

impl Needs {
    /// Whether a worker has all of it. One whose memory is unknown has none.
    pub fn are_met_by(&self, equipment: &Equipment) -> bool {
        self.labels.is_subset(&equipment.labels)
            && self.memory_gib <= equipment.memory_gib
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<JobId> {
        names
            .iter()
            .map(|name| JobId::new(*name).unwrap())
            .collect()
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let wrong = Schedule {
            priority: 101,
            start_after_ms: Some(2),
            deadline_ms: Some(2),
            after: ids(&["a", "b", "a"]),
            needs: Needs {
                memory_gib: 100_001,
                ..Needs::default()
            },
            ..Schedule::default()
        };
        let Invalid(violations) = wrong.validate().unwrap_err();
        let fields: Vec<&str> =
            violations.iter().map(|wrong| &*wrong.field).collect();
        let expected = ["priority", "deadline", "after[2]", "needs.memory_gib"];
        assert_eq!(fields, expected);
        let right = Schedule {
            priority: -100,
            start_after_ms: Some(1),
            deadline_ms: Some(2),
            after: ids(&["a", "b"]),
            ..Schedule::default()
        };
        right.validate().unwrap();
    }

    #[test]
    fn a_worker_meets_needs_with_all_labels_and_enough_memory() {
        let labels = |names: &[&str]| -> BTreeSet<WorkerLabel> {
            let label = |name: &&str| WorkerLabel::new(*name).unwrap();
            names.iter().map(label).collect()
        };
        let needs = Needs {
            labels: labels(&["gpu", "zone-a"]),
            memory_gib: 24,
        };
        let mut worker = Equipment {
            labels: labels(&["gpu", "zone-a", "fast"]),
            memory_gib: 24,
        };
        assert!(needs.are_met_by(&worker));
        worker.memory_gib = 23;
        assert!(!needs.are_met_by(&worker));
        worker.memory_gib = 80;
        worker.labels = labels(&["gpu", "fast"]);
        assert!(!needs.are_met_by(&worker));
        assert!(Needs::default().are_met_by(&Equipment::default()));
    }
}
