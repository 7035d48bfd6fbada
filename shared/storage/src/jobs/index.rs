//! What jobs are found by: places in indexes, kept in the same commit as the
//! job's record.

use domain::{DatasetId, Job, JobId, Label, State};

use crate::store::{Commit, Place};

/// All jobs, by id: oldest first.
pub(super) const ALL: &str = "job-index";
/// Jobs that a worker may take now, in the order in which they are given out.
pub(super) const READY: &str = "job-queue";
/// Queued jobs that wait a while after a failed attempt.
pub(super) const PAUSED: &str = "job-queue-paused";

/// In front of a job's id in the queue: smaller ones are given out first.
/// There is one rank so far.
const RANK: &str = "500";

/// The index of the jobs in a state.
pub(super) fn in_state(state: State) -> String {
    let name = match state {
        State::Queued => "queued",
        State::Running => "running",
        State::Cancelling => "cancelling",
        State::Succeeded => "succeeded",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    };
    format!("job-index:state:{name}")
}

/// The index of the jobs on a data set.
pub(super) fn on_dataset(dataset: &DatasetId) -> String {
    format!("job-index:dataset:{dataset}")
}

/// The index of the jobs whose model gets a label.
pub(super) fn with_label(label: &Label) -> String {
    format!("job-index:label:{label}")
}

/// A job's key in the queue.
pub(super) fn queue_key(id: &JobId) -> String {
    format!("{RANK}:{id}")
}

/// The job that a key of the queue is of; `None` for a key that nobody wrote.
pub(super) fn queued_id(key: &str) -> Option<JobId> {
    let (_, id) = key.split_once(':')?;
    JobId::new(id).ok()
}

/// Every place that a job has in an index.
pub(super) fn places(job: &Job) -> Vec<Place> {
    let id = job.id.to_string();
    let mut places = Vec::new();
    let mut enter = |index: String, key: &str| {
        places.push(Place {
            index,
            key: key.to_owned(),
        });
    };
    enter(ALL.to_owned(), &id);
    enter(in_state(job.state), &id);
    enter(on_dataset(&job.spec.dataset), &id);
    for label in &job.spec.labels {
        enter(with_label(label), &id);
    }

    if job.state == State::Queued {
        let queue = if job.pause().is_zero() { READY } else { PAUSED };
        enter(queue.to_owned(), &queue_key(&job.id));
    }

    places
}

/// Moves a job from the places it had to those it has now.
pub(super) fn moved(commit: &mut Commit, before: &[Place], job: &Job) {
    let now = places(job);
    for place in before {
        if !now.contains(place) {
            commit.left.push(place.clone());
        }
    }

    for place in now {
        if !before.contains(&place) {
            commit.entered.push(place);
        }
    }
}

/// Every place that a job may have that depends on where it stands.
pub(super) fn passing_places(id: &JobId) -> Vec<Place> {
    let mut places = Vec::new();
    for state in [
        State::Queued,
        State::Running,
        State::Cancelling,
        State::Succeeded,
        State::Failed,
        State::Cancelled,
    ] {
        places.push(Place {
            index: in_state(state),
            key: id.to_string(),
        });
    }

    for queue in [READY, PAUSED] {
        places.push(Place {
            index: queue.to_owned(),
            key: queue_key(id),
        });
    }

    places
}
