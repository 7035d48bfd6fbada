//! The events of a job that has ended, as one compressed record: they say much
//! the same, one after the other.

use domain::Job;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::jobs::event::{self, Counts, StoredEvent};
use crate::jobs::{Jobs, MOST_EVENTS};
use crate::record::{self, EVENTS_FORMAT, decode, encode_as};
use crate::store::Commit;

/// Packed events, by the job's id.
pub(super) const PACKED: &str = "job-events-packed";
/// Fewer events are left as they are.
const FEWEST: u64 = 6;

/// What is compressed.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Events {
    /// All that counts up counts from the event before, which makes events much
    /// the same.
    #[serde(default)]
    changes: Vec<StoredEvent>,
    /// An earlier program wrote so: number and time alone count from the event
    /// before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    events: Vec<StoredEvent>,
}

impl Jobs {
    /// Packs the events of a job that has ended, which saves space: those that
    /// are not packed are read from where they are.
    pub async fn pack_events(&self, job: &Job) -> Result<(), Error> {
        if job.n_events < FEWEST {
            return Ok(());
        }

        let id = job.id.as_str();
        let before = self.store.get(PACKED, id).await?;
        let mut events = unpacked(id, before.as_deref())?;
        let next = events.last().map_or(1, |latest| latest.number + 1);
        let space = event::space(&job.id);
        let first = next.max(oldest_kept(job.n_events));
        let keys: Vec<String> =
            (first..=job.n_events).map(event::key).collect();
        let mut commit = Commit::default();
        for pair in self.store.get_pairs(&space, keys).await? {
            // One that cannot be read stays where it is.
            if let Ok(stored) = decode::<StoredEvent>("event", &pair.value) {
                events.push(stored);
                commit.remove(&space, &pair.key);
            }
        }

        events.retain(|event| event.number >= oldest_kept(job.n_events));
        events.sort_by_key(|event| event.number);
        commit.check(PACKED, id, before);
        commit.set(PACKED, id, packed(events));
        // Whoever packs at the same time has done it.
        self.store.commit(commit).await?;
        Ok(())
    }

    /// The events of a job that were packed, from number `from` on.
    pub(super) async fn packed_events(
        &self,
        job: &Job,
        from: u64,
    ) -> Result<Vec<StoredEvent>, Error> {
        let id = job.id.as_str();
        let bytes = self.store.get(PACKED, id).await?;
        let mut events = unpacked(id, bytes.as_deref())?;
        events.retain(|event| event.number >= from);
        Ok(events)
    }
}

/// The number of the oldest event that is kept of so many.
pub(super) fn oldest_kept(n_events: u64) -> u64 {
    n_events.saturating_sub(MOST_EVENTS) + 1
}

fn packed(mut events: Vec<StoredEvent>) -> Vec<u8> {
    let mut before = Counts::default();
    for event in &mut events {
        let counts = event.counts();
        event.set_counts(counts.minus(before));
        before = counts;
    }

    let events = Events {
        changes: events,
        events: Vec::new(),
    };
    record::packed(&encode_as(EVENTS_FORMAT, &events))
}

fn unpacked(id: &str, bytes: Option<&[u8]>) -> Result<Vec<StoredEvent>, Error> {
    let Some(bytes) = bytes else {
        return Ok(Vec::new());
    };
    let what = format!("the packed events of job {id}");
    let Events {
        mut changes,
        mut events,
    } = decode(&what, bytes)?;
    let mut before = Counts::default();
    for event in &mut changes {
        event.set_counts(event.counts().plus(before));
        before = event.counts();
    }

    let mut before = Counts::default();
    for event in &mut events {
        before = Counts {
            number: before.number.saturating_add(event.number),
            at_ms: before.at_ms.saturating_add(event.at_ms),
            ..event.counts()
        };
        event.set_counts(before);
    }

    events.append(&mut changes);
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{DatasetId, Event, JobId, Progress, TrainSpec};
    use std::time::Duration;

    /// Applies an event and writes it down.
    async fn happens(jobs: &Jobs, id: &JobId, event: Event) -> Job {
        let change = |job: &mut Job| {
            // Between 9 and 10 s an epoch.
            let n = job.n_events as i64;
            let at_ms = 1_750_000_000_000 + 9_000 * n + n * n * 37 % 1_000;
            job.apply(event.clone(), at_ms).unwrap();
            let progress = &job.progress;
            let Progress { stage, epoch, .. } = progress;
            Ok::<_, Error>(Some(format!("{stage} epoch {epoch} of 360")))
        };
        jobs.update(id, change).await.unwrap()
    }

    /// A mean of many steps: all of its digits tell something.
    fn measured(epoch: usize) -> f64 {
        2.0 + std::f64::consts::PI / (epoch as f64).sqrt()
    }

    fn beat(epoch: usize) -> Event {
        let report = |epoch| domain::EpochReport {
            stage: "finetuning".to_owned(),
            epoch,
            loss: measured(epoch),
            valid_ndcg_100: (epoch % 5 == 0).then(|| 0.1 / measured(epoch)),
        };
        Event::Heartbeat {
            epoch: 1,
            progress: Progress {
                stage: "finetuning".to_owned(),
                epoch,
                n_epochs: 360,
                done: epoch as f64 / 360.0,
                epochs: (1..=epoch).map(report).collect(),
                ..Progress::default()
            },
            term: Duration::from_secs(1),
        }
    }

    #[tokio::test]
    async fn the_events_of_an_ended_job_take_little_space_and_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let settings = crate::settings::embedded(folder.path());
        let store = crate::store::Store::open(&settings).await.unwrap();
        let jobs = Jobs::new(store.clone());
        let id = JobId::new("j").unwrap();
        let spec = TrainSpec::new(DatasetId::new("d").unwrap());
        let job = Job::queued(id.clone(), spec, 1);
        jobs.create(job, None).await.unwrap();
        let leased = Event::Leased {
            worker: "w".to_owned(),
            term: Duration::from_secs(1),
        };
        happens(&jobs, &id, leased).await;
        for epoch in 1..=360 {
            happens(&jobs, &id, beat(epoch)).await;
        }
        let job = happens(&jobs, &id, Event::Stopped { epoch: 1 }).await;
        let mut before = Vec::new();
        while before.len() < 363 {
            let from = before.len() as u64 + 1;
            before.extend(jobs.events_of(&job, from).await.unwrap().records);
        }
        jobs.pack_events(&job).await.unwrap();
        let after = jobs.events_of(&job, 1).await.unwrap().records;
        assert_eq!(after, before);
        let late = jobs.events_of(&job, 200).await.unwrap().records;
        assert_eq!(late, before[199..]);
        assert!(store.keys("job-events:j").await.unwrap().is_empty());
        let packed = store.get(PACKED, "j").await.unwrap().unwrap();
        assert!(packed.len() < 3_500, "{}", packed.len());
        let record = store.get("jobs", "j").await.unwrap().unwrap();
        let n_bytes = packed.len() + record.len();
        assert!(n_bytes < 8_000, "{n_bytes}, {}", record.len());
        assert_eq!(jobs.get(&id).await.unwrap(), job);

        // Packing again changes nothing.
        jobs.pack_events(&job).await.unwrap();
        let again = jobs.events_of(&job, 1).await.unwrap().records;
        assert_eq!(again, before);
    }
}
