//! One step of a job, and what it says to people.

use domain::{Event, Job, State};

use crate::error::Error;

/// Applies an event to a job; with a message, it becomes a numbered event that
/// people read. `now_ms` is only written down.
pub(crate) fn step(
    job: &mut Job,
    event: &Event,
    now_ms: i64,
) -> Result<Option<String>, Error> {
    let at_once = job.progress.tokens_at_once;
    let waited_for_moment = job.waits.until_ms.is_some();
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
        Event::AttemptFailed { .. } | Event::LeaseEnded { .. } => failed(job),
        Event::Stopped { .. } | Event::Released { .. }
            if job.state == State::Failed =>
        {
            failed(job)
        }
        Event::Stopped { .. } => Some("stopped".to_owned()),
        Event::Released { .. } => {
            Some("given back by a worker that is shutting down".to_owned())
        }
        Event::Due => {
            waited_for_moment.then(|| "its start time has come".to_owned())
        }
        Event::Followed { job } => Some(format!("jobs/{job} has succeeded")),
        Event::CannotFollow { .. } => failed(job),
        Event::DeadlinePassed if job.state == State::Failed => failed(job),
        Event::DeadlinePassed => Some(
            "its deadline has passed: its worker is told to stop".to_owned(),
        ),
        Event::Committed { version, .. } => {
            Some(format!("model version {version} published"))
        }
        Event::CancelRequested => Some("cancel requested".to_owned()),
        Event::RetryRequested => {
            Some("put back into the queue to be tried again".to_owned())
        }
    })
}

/// Says why an attempt, or the job, has failed.
fn failed(job: &Job) -> Option<String> {
    let cause = job.cause.as_ref()?;
    let what = if job.state.is_final() {
        "failed"
    } else {
        "attempt failed, will be tried again"
    };

    Some(format!("{what}: {}", cause.message))
}
