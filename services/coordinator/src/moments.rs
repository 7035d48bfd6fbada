//! Moments that jobs wait for, and deadlines, by the coordinator's clock. Looked at
//! with each sweep: the next one that is due, not all that wait.

use domain::{Event, JobId};

use crate::error::Error;
use crate::train_job::TrainJobs;

impl TrainJobs {
    /// Lets jobs begin whose moment has come, and ends those whose deadline has
    /// passed.
    pub(crate) async fn act_on_moments(&self) -> Result<(), Error> {
        let jobs = &self.storage.jobs;
        let now_ms = self.clock.now_ms();
        for timed in jobs.starting().await? {
            if timed.at_ms > now_ms {
                break;
            }

            self.happens(&timed.id, &Event::Due).await?;
        }

        for timed in jobs.with_deadline().await? {
            if timed.at_ms > now_ms {
                break;
            }

            self.happens(&timed.id, &Event::DeadlinePassed).await?;
        }

        Ok(())
    }

    /// Applies an event; a job that it does not fit, or that cannot be read, is
    /// put where it belongs, so that nobody meets it here again.
    async fn happens(&self, id: &JobId, event: &Event) -> Result<(), Error> {
        if !self.apply_if_fitting(id, event).await? {
            self.storage.jobs.mend(id).await?;
        }

        Ok(())
    }
}
