//! Jobs that pause after a failed attempt: once its pause is over, a job goes
//! back into its lane.

use domain::Event;

use crate::error::Error;
use crate::train_job::TrainJobs;

impl TrainJobs {
    /// Notes when the jobs that pause are due: the pause begins when this
    /// coordinator first sees it.
    pub(crate) async fn note_pauses(&self) -> Result<(), Error> {
        let jobs = &self.storage.jobs;
        let paused = jobs.paused().await?;
        let unknown = self.queue.forget_all_but(&paused);
        for job in jobs.get_all(&unknown).await? {
            self.queue.note(&job);
        }

        Ok(())
    }

    /// Puts the jobs whose pause is over into their lanes.
    pub(super) async fn end_pauses(&self) -> Result<(), Error> {
        if !self.queue.has_due_pause() {
            return Ok(());
        }

        for id in self.storage.jobs.paused().await? {
            if self.queue.is_due(&id) {
                self.apply_if_fitting(&id, &Event::Due).await?;
            }
        }

        Ok(())
    }
}
