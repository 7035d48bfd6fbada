//! What jobs are found by: places in indexes, kept in the same commit as the
//! job's record.

use domain::{DatasetId, Job, JobId, Label, QueueName, State};

use crate::jobs::lane::Lane;
use crate::jobs::waiting::Timed;
use crate::store::{Commit, Place};

/// All jobs, by id: oldest first.
pub(super) const ALL: &str = "job-index";
/// Jobs that a worker may take now, in the order in which they are given out:
/// one such index for each lane.
pub(super) const READY: &str = "job-queue";
/// The lanes that may have jobs.
pub(super) const LANES: &str = "job-lanes";
/// Queued jobs that wait a while after a failed attempt.
pub(super) const PAUSED: &str = "job-queue-paused";
/// Queued jobs that wait for a moment, by that moment.
pub(super) const STARTS: &str = "job-queue-starts";
/// Queued jobs that wait for other jobs, by those.
pub(super) const AWAITED: &str = "job-queue-awaited";
/// Jobs that have not ended and have a deadline, by that.
pub(super) const DEADLINES: &str = "job-deadlines";

/// In front of a job's id in the queue: smaller ones are given out first. A job
/// without a priority has this one.
const MIDDLE_RANK: i32 = 500;

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

/// The index of the jobs of a queue that a worker has.
pub(super) fn held_in(queue: &QueueName) -> String {
    format!("job-index:held:{queue}")
}

/// The index of the jobs of a queue that wait for a worker or for something
/// else.
pub(super) fn queued_in(queue: &QueueName) -> String {
    format!("job-index:waiting:{queue}")
}

/// A job's key in the queue.
fn queue_key(job: &Job) -> String {
    let rank = MIDDLE_RANK - job.schedule.priority;
    format!("{rank:03}:{}", job.id)
}

/// A job's key among those that somebody must act on at a moment.
fn timed_key(at_ms: i64, id: &JobId) -> String {
    format!("{:020}:{id}", at_ms.max(0))
}

/// What a key that [`timed_key`] made says.
pub(super) fn timed(key: &str) -> Option<Timed> {
    let (at_ms, id) = key.split_once(':')?;
    Some(Timed {
        at_ms: at_ms.parse().ok()?,
        id: JobId::new(id).ok()?,
    })
}

/// The key of a job that waits for another one.
pub(super) fn awaited_key(before: &JobId, follower: &str) -> String {
    format!("{before}:{follower}")
}

/// The job that is waited for, and the one that waits for it.
pub(super) fn awaited(key: &str) -> Option<(JobId, JobId)> {
    let (before, follower) = key.split_once(':')?;
    Some((JobId::new(before).ok()?, JobId::new(follower).ok()?))
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

    if let Some(deadline_ms) = job.open_deadline_ms() {
        enter(DEADLINES.to_owned(), &timed_key(deadline_ms, &job.id));
    }

    let queue = &job.schedule.queue;
    match job.state {
        State::Queued => {
            enter(queued_in(queue), &id);
            places.extend(queue_places(job));
        }
        State::Running | State::Cancelling => enter(held_in(queue), &id),
        State::Succeeded | State::Failed | State::Cancelled => {}
    }

    places
}

/// Where a queued job stands: among those that wait for other jobs, for a
/// moment, for the end of a pause, or in the lane that workers are served from.
fn queue_places(job: &Job) -> Vec<Place> {
    let mut places = Vec::new();
    let mut enter = |index: &str, key: String| {
        places.push(Place {
            index: index.to_owned(),
            key,
        });
    };
    for before in &job.waits.jobs {
        enter(AWAITED, awaited_key(before, job.id.as_str()));
    }

    if !job.waits.jobs.is_empty() {
        return places;
    }

    if let Some(until_ms) = job.waits.until_ms {
        enter(STARTS, timed_key(until_ms, &job.id));
    } else if !job.pause().is_zero() {
        enter(PAUSED, queue_key(job));
    } else {
        let lane = Lane::of(job);
        enter(&lane.index(), queue_key(job));
        if lane != Lane::default() {
            places.push(lane.place());
        }
    }

    places
}

/// Moves a job from the places it had to those it has now.
pub(super) fn moved(commit: &mut Commit, before: &[Place], job: &Job) {
    let now = places(job);
    for place in before {
        // Others stand in the same lane.
        if place.index != LANES && !now.contains(place) {
            commit.left.push(place.clone());
        }
    }

    for place in now {
        if !before.contains(&place) {
            commit.entered.push(place);
        }
    }
}

/// Every place that a job may have that depends on where it stands, as far as
/// its id tells.
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
            key: format!("{MIDDLE_RANK}:{id}"),
        });
    }

    places
}

/// Every place that a job may have that depends on where it stands.
pub(super) fn all_passing_places(job: &Job) -> Vec<Place> {
    let mut places = passing_places(&job.id);
    let mut enter = |index: String, key: String| {
        places.push(Place { index, key });
    };
    let schedule = &job.schedule;
    enter(held_in(&schedule.queue), job.id.to_string());
    enter(queued_in(&schedule.queue), job.id.to_string());
    enter(PAUSED.to_owned(), queue_key(job));
    enter(Lane::of(job).index(), queue_key(job));
    for before in &schedule.after {
        enter(AWAITED.to_owned(), awaited_key(before, job.id.as_str()));
    }

    if let Some(start_ms) = schedule.start_after_ms {
        enter(STARTS.to_owned(), timed_key(start_ms, &job.id));
    }

    if let Some(deadline_ms) = schedule.deadline_ms {
        enter(DEADLINES.to_owned(), timed_key(deadline_ms, &job.id));
    }

    places
}
