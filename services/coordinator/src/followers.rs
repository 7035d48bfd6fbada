//! Jobs that follow others: when a job has ended, those that wait for it may go
//! on, or fail as well.
//!
//! Whoever ends a job looks for its followers afterwards; whoever adds a follower
//! looks at the job afterwards: one of the two sees the other. What neither
//! does, since its process ended in between, is made up for every minute.

use domain::{Event, Invalid, Job, JobId, Schedule, State};

use crate::error::Error;
use crate::step::step;
use crate::train_job::TrainJobs;

/// What became of a job that others wait for.
struct Outcome {
    id: JobId,
    /// Nothing where it has succeeded; why its followers cannot, else.
    failure: Option<String>,
}

impl TrainJobs {
    /// Looks at the jobs that a new job is to follow: those that have not ended
    /// yet are waited for. One that ended without a model is refused.
    pub(crate) async fn awaited_by(
        &self,
        schedule: &Schedule,
    ) -> Result<Vec<JobId>, Error> {
        let mut awaited = Vec::new();
        for (place, id) in schedule.after.iter().enumerate() {
            let field = format!("schedule.after[{place}]");
            let job = match self.storage.jobs.get(id).await {
                Ok(job) => job,
                Err(storage::Error::NotFound { .. }) => {
                    let reason = format!("jobs/{id} does not exist");
                    return Err(Invalid::one(field, reason).into());
                }
                Err(error) => return Err(error.into()),
            };
            match outcome(&job) {
                None => awaited.push(id.clone()),
                Some(Outcome { failure: None, .. }) => {}
                Some(Outcome {
                    failure: Some(why), ..
                }) => {
                    let job = id.clone();
                    return Err(Error::CannotFollow { field, job, why });
                }
            }
        }

        Ok(awaited)
    }

    /// Tells the followers of a job that it has ended, and the followers of
    /// those that fail by that.
    pub(crate) async fn tell_followers(&self, job: &Job) -> Result<(), Error> {
        match outcome(job) {
            Some(outcome) => self.settle(outcome).await,
            None => Ok(()),
        }
    }

    /// Looks at every job that others wait for: one may have ended, or have been
    /// removed, without anybody telling them.
    pub(crate) async fn tell_all_followers(&self) -> Result<(), Error> {
        for id in self.storage.jobs.awaited().await? {
            match self.storage.jobs.get(&id).await {
                Ok(job) => self.tell_followers(&job).await?,
                Err(storage::Error::NotFound { .. }) => {
                    let failure = Some("does not exist any more".to_owned());
                    self.settle(Outcome { id, failure }).await?;
                }
                // Nobody knows what became of it.
                Err(storage::Error::Corrupt { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }

        Ok(())
    }

    async fn settle(&self, ended: Outcome) -> Result<(), Error> {
        let mut ended = vec![ended];
        while let Some(Outcome { id, failure }) = ended.pop() {
            let event = match failure {
                None => Event::Followed { job: id.clone() },
                Some(why) => Event::CannotFollow {
                    job: id.clone(),
                    why,
                },
            };
            for follower in self.storage.jobs.followers(&id).await? {
                let told = self.tell(&follower, &event).await?;
                ended.extend(told.as_ref().and_then(outcome));
            }
        }

        Ok(())
    }

    /// Tells one follower; `None` where it did not wait any more.
    async fn tell(
        &self,
        follower: &JobId,
        event: &Event,
    ) -> Result<Option<Job>, Error> {
        let now_ms = self.clock.now_ms();
        let change = |job: &mut Job| step(job, event, now_ms);
        match self.storage.jobs.update(follower, change).await {
            Ok(job) => {
                self.note(&job);
                tracing::info!(job = %job.id, state = ?job.state, "a job that it follows has ended");
                Ok(Some(job))
            }
            Err(Error::Refused(_)) => {
                self.storage.jobs.mend(follower).await?;
                Ok(None)
            }
            Err(Error::Storage(
                storage::Error::NotFound { .. }
                | storage::Error::Corrupt { .. },
            )) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What became of a job, once it has ended.
fn outcome(job: &Job) -> Option<Outcome> {
    let failure = match job.state {
        State::Succeeded => None,
        State::Failed => Some("has failed".to_owned()),
        State::Cancelled => Some("was cancelled".to_owned()),
        State::Queued | State::Running | State::Cancelling => return None,
    };
    Some(Outcome {
        id: job.id.clone(),
        failure,
    })
}
