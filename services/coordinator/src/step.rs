//! One step of a job, and what it says to people.

use domain::{Cause, Event, Job};

use crate::error::Error;

/// Applies an event to a job; with a message, it becomes a numbered event that
/// people read. `now_ms` is only written down.
pub(crate) fn step(
    job: &mut Job,
    event: &Event,
    now_ms: i64,
) -> Result<Option<String>, Error> {
    let at_once = job.progress.tokens_at_once;
    let before = (job.state, job.progress.stage.clone(), job.progress.epoch);
    job.apply(event.clone(), now_ms)?;
    let after = (job.state, job.progress.stage.clone(), job.progress.epoch);
    Ok(match event {
        Event::Heartbeat { progress, .. } => {
            let now = progress.tokens_at_once;
            if now > 0 && now < at_once {
                Some(format!(
                    "the device's memory is full: {now} tokens at once from now on, \
                     {at_once} before"
                ))
            } else if before == after {
                None
            } else {
                let (epoch, n_epochs) = (progress.epoch, progress.n_epochs);
                Some(format!("{} epoch {epoch} of {n_epochs}", progress.stage))
            }
        }
        Event::Leased { worker, .. } => {
            Some(format!("leased by {worker}, attempt {}", job.attempts))
        }
        Event::Checkpointed { .. } => Some("checkpoint saved".to_owned()),
        Event::AttemptFailed { cause, .. } => Some(ended_early(job, cause)),
        Event::LeaseEnded { .. } => {
            job.cause.as_ref().map(|cause| ended_early(job, cause))
        }
        Event::Stopped { .. } => Some("stopped".to_owned()),
        Event::Released { .. } => {
            Some("given back by a worker that is shutting down".to_owned())
        }
        Event::Committed { version, .. } => {
            Some(format!("model version {version} published"))
        }
        Event::CancelRequested => Some("cancel requested".to_owned()),
        Event::RetryRequested => {
            Some("put back into the queue to be tried again".to_owned())
        }
    })
}

fn ended_early(job: &Job, cause: &Cause) -> String {
    let what = if job.state.is_final() {
        "failed"
    } else {
        "attempt failed, will be tried again"
    };

    format!("{what}: {}", cause.message)
}
