//! Lanes of the queue: the queued jobs of one of the coordinator's queues that
//! need the same of a worker stand in one lane, in their order. What a lease
//! costs follows from how many lanes there are, not from how many jobs.

use std::collections::BTreeSet;

use domain::{Job, Needs, QueueName, WorkerLabel};

use crate::error::Error;
use crate::jobs::{Jobs, index};
use crate::store::{Commit, Place, Range};

/// Most lanes that are looked at.
const MOST_LANES: usize = 1_000;

/// Queued jobs among which only their order decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Lane {
    /// The queue that they wait in.
    pub queue: QueueName,
    /// What a worker must have to take one.
    pub needs: Needs,
}

impl Lane {
    pub(super) fn of(job: &Job) -> Self {
        Self {
            queue: job.schedule.queue.clone(),
            needs: job.schedule.needs.clone(),
        }
    }

    /// The lane in the list of lanes: `queue:memory:label,label`.
    pub(super) fn key(&self) -> String {
        let Self { queue, needs } = self;
        let labels: Vec<&str> =
            needs.labels.iter().map(WorkerLabel::as_str).collect();
        format!("{queue}:{}:{}", needs.memory_gib, labels.join(","))
    }

    /// Reads a key of the list of lanes; `None` for one that nobody wrote.
    fn from_key(key: &str) -> Option<Self> {
        let (queue, rest) = key.split_once(':')?;
        let (memory_gib, names) = rest.split_once(':')?;
        let mut labels = BTreeSet::new();
        for name in names.split(',').filter(|name| !name.is_empty()) {
            labels.insert(WorkerLabel::new(name).ok()?);
        }

        let memory_gib = memory_gib.parse().ok()?;
        Some(Self {
            queue: QueueName::new(queue).ok()?,
            needs: Needs { labels, memory_gib },
        })
    }

    /// The index of its jobs; of the default queue's without needs it is the
    /// one that earlier programs know.
    pub(super) fn index(&self) -> String {
        if *self == Self::default() {
            return index::READY.to_owned();
        }

        format!("{}:{}", index::READY, self.key())
    }

    pub(super) fn place(&self) -> Place {
        Place {
            index: index::LANES.to_owned(),
            key: self.key(),
        }
    }
}

impl Jobs {
    /// Lists the lanes that may have jobs; the default one is always among
    /// them.
    pub async fn lanes(&self) -> Result<Vec<Lane>, Error> {
        let range = Range::first(MOST_LANES);
        let mut lanes = vec![Lane::default()];
        for key in self.store.range(index::LANES, range).await? {
            lanes.extend(Lane::from_key(&key));
        }

        Ok(lanes)
    }

    /// Takes lanes without jobs off the list.
    pub async fn drop_empty_lanes(&self) -> Result<(), Error> {
        for lane in self.lanes().await? {
            if lane == Lane::default() || self.has_jobs(&lane).await? {
                continue;
            }

            let mut commit = Commit::default();
            commit.left.push(lane.place());
            self.store.commit(commit).await?;
            // A job may have come in between.
            if self.has_jobs(&lane).await? {
                let mut commit = Commit::default();
                commit.entered.push(lane.place());
                self.store.commit(commit).await?;
            }
        }

        Ok(())
    }

    async fn has_jobs(&self, lane: &Lane) -> Result<bool, Error> {
        let first = self.store.range(&lane.index(), Range::first(1)).await?;
        Ok(!first.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_read_from_its_key() {
        let label = |name: &str| WorkerLabel::new(name).unwrap();
        let lane = Lane {
            queue: QueueName::new("nightly").unwrap(),
            needs: Needs {
                labels: [label("gpu"), label("zone-a")].into(),
                memory_gib: 24,
            },
        };
        assert_eq!(lane.key(), "nightly:24:gpu,zone-a");
        assert_eq!(Lane::from_key(&lane.key()), Some(lane));
        let plain = Lane::default();
        assert_eq!(Lane::from_key(&plain.key()), Some(plain.clone()));
        assert_eq!(plain.index(), "job-queue");
        assert_eq!(Lane::from_key("nightly"), None);
    }
}
