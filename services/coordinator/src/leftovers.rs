//! Removes what attempts left behind: at once when a job ends, and again and
//! again for what nobody saw end.
//!
//! A checkpoint says which job it is of. One counts while its job goes on and
//! names it, and for a while after the job ended without a model: whoever
//! tries the job again goes on from it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{ArtifactId, Job, JobId, State};
use proto::job_id;
use serde::Deserialize;
use storage::{Kind, now_ms};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::train_job::TrainJobs;

/// Time between two looks at everything.
const LOOK_AROUND: Duration = Duration::from_secs(600);
/// What nobody has touched for so long was given up: uploads are written to all
/// the time, and a checkpoint is committed right after it was stored.
const GIVEN_UP: Duration = Duration::from_secs(3_600);
/// Where a checkpoint says whose it is.
const STATE: &str = "state.json";

/// Whose the checkpoints are; each is asked once. Clones share what they know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checkpoints {
    owners: Arc<Mutex<HashMap<ArtifactId, JobId>>>,
}

/// The part of a checkpoint's state that says whose it is.
#[derive(Deserialize)]
struct Owned {
    /// The name of the job: jobs/{job}
    job: String,
}

impl TrainJobs {
    /// Removes what the attempts at a job that has ended left: half-made
    /// uploads, and checkpoints that it will not go on from. Failing to costs
    /// space, not correctness.
    pub(crate) async fn tidy(&self, job: &Job) {
        if let Err(error) = self.try_to_tidy(job).await {
            let error = service::chain(&error);
            tracing::warn!(job = %job.id, error, "cannot tidy up");
        }
    }

    /// Removes what came too late: an attempt that slept goes on for a moment
    /// after others have ended its job.
    pub(crate) async fn tidy_after_the_end(&self, id: &JobId) {
        let Ok(job) = self.get(id).await else { return };
        if job.state.is_final() {
            self.tidy(&job).await;
        }
    }

    async fn try_to_tidy(&self, job: &Job) -> Result<(), Error> {
        let artifacts = &self.storage.artifacts;
        artifacts.sweep_job(job.id.as_str()).await?;
        let kept = match job.state {
            State::Succeeded => None,
            State::Queued
            | State::Running
            | State::Cancelling
            | State::Failed
            | State::Cancelled => job.checkpoint.as_ref(),
        };

        for checkpoint in artifacts.list(Kind::Checkpoint).await? {
            let owner = self.owner(&checkpoint).await?;
            if owner.as_ref() == Some(&job.id) && kept != Some(&checkpoint) {
                self.delete_checkpoint(&checkpoint).await;
            }
        }

        Ok(())
    }

    /// Deletes a checkpoint that nobody needs any more; failing to costs space.
    pub(crate) async fn delete_checkpoint(&self, checkpoint: &ArtifactId) {
        self.checkpoints.forget(checkpoint);
        let artifacts = &self.storage.artifacts;
        match artifacts.delete(Kind::Checkpoint, checkpoint).await {
            Ok(()) | Err(storage::Error::NotFound { .. }) => {}
            Err(error) => {
                let error = service::chain(&error);
                tracing::warn!(%checkpoint, error, "cannot delete a checkpoint");
            }
        }
    }

    /// The job that a checkpoint is of; `None` where it does not say so.
    async fn owner(
        &self,
        checkpoint: &ArtifactId,
    ) -> Result<Option<JobId>, Error> {
        if let Some(owner) = self.checkpoints.owner(checkpoint) {
            return Ok(Some(owner));
        }

        let artifacts = &self.storage.artifacts;
        let read = artifacts.read(Kind::Checkpoint, checkpoint, STATE).await;
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(
                storage::Error::NotFound { .. }
                | storage::Error::Corrupt { .. },
            ) => return Ok(None),
            Err(error) => return Err(error.into()),
        };

        let owner = owner_in(&bytes);
        if let Some(owner) = &owner {
            self.checkpoints.note(checkpoint, owner);
        }

        Ok(owner)
    }

    /// Removes what nobody will ever need, now and then until `shutdown`.
    /// Checkpoints of jobs that ended without a model are kept for `keep`.
    pub(crate) async fn collect_until(
        &self,
        keep: Duration,
        shutdown: CancellationToken,
    ) {
        loop {
            match self.collect(keep).await {
                Ok(0) => {}
                Ok(n) => tracing::info!(n, "left-overs of attempts removed"),
                Err(error) => {
                    let error = service::chain(&error);
                    tracing::warn!(error, "cannot look for left-overs");
                }
            }

            let pause = tokio::time::sleep(LOOK_AROUND);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// Returns how many things were removed.
    pub(crate) async fn collect(&self, keep: Duration) -> Result<usize, Error> {
        let artifacts = &self.storage.artifacts;
        let mut n_removed = artifacts.sweep(GIVEN_UP).await?;
        let checkpoints = artifacts.list(Kind::Checkpoint).await?;
        self.checkpoints.keep_only(&checkpoints);
        for checkpoint in checkpoints {
            if !self.is_needed(&checkpoint, keep).await? {
                self.delete_checkpoint(&checkpoint).await;
                n_removed += 1;
            }
        }

        Ok(n_removed)
    }

    /// True where nobody will go on from a checkpoint, however new it is: the
    /// call that ended its job was not heard to its end.
    async fn is_of_a_succeeded_job(
        &self,
        checkpoint: &ArtifactId,
    ) -> Result<bool, Error> {
        let Some(owner) = self.owner(checkpoint).await? else {
            return Ok(false);
        };

        match self.get(&owner).await {
            Ok(job) => Ok(job.state == State::Succeeded),
            Err(Error::Storage(
                storage::Error::NotFound { .. }
                | storage::Error::Corrupt { .. },
            )) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// True for a checkpoint that its job may go on from, or that nobody knows
    /// enough about.
    async fn is_needed(
        &self,
        checkpoint: &ArtifactId,
        keep: Duration,
    ) -> Result<bool, Error> {
        let artifacts = &self.storage.artifacts;
        let age = match artifacts.age(Kind::Checkpoint, checkpoint).await {
            // A clock that was set back says nothing.
            Ok(age) => age.unwrap_or_default(),
            Err(storage::Error::Corrupt { .. }) => return Ok(false),
            Err(storage::Error::NotFound { .. }) => return Ok(true),
            Err(error) => return Err(error.into()),
        };

        if age < GIVEN_UP {
            return Ok(!self.is_of_a_succeeded_job(checkpoint).await?);
        }

        // It may be of a program or a store that this one knows nothing of.
        let Some(owner) = self.owner(checkpoint).await? else {
            return Ok(age < keep);
        };

        let job = match self.get(&owner).await {
            Ok(job) => job,
            Err(Error::Storage(storage::Error::NotFound { .. })) => {
                return Ok(age < keep);
            }
            // Nobody knows whether the job needs it.
            Err(Error::Storage(storage::Error::Corrupt { .. })) => {
                return Ok(true);
            }
            Err(error) => return Err(error),
        };

        if job.checkpoint.as_ref() != Some(checkpoint) {
            return Ok(false);
        }

        let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        Ok(match job.state {
            State::Queued | State::Running | State::Cancelling => true,
            State::Succeeded => false,
            State::Failed | State::Cancelled => {
                now_ms().saturating_sub(job.updated_ms) < keep_ms
            }
        })
    }
}

impl Checkpoints {
    fn owner(&self, checkpoint: &ArtifactId) -> Option<JobId> {
        let owners = self.owners.lock();
        let owners = owners.unwrap_or_else(PoisonError::into_inner);
        owners.get(checkpoint).cloned()
    }

    fn note(&self, checkpoint: &ArtifactId, owner: &JobId) {
        let owners = self.owners.lock();
        let mut owners = owners.unwrap_or_else(PoisonError::into_inner);
        owners.insert(checkpoint.clone(), owner.clone());
    }

    /// Forgets those that another coordinator has deleted.
    fn keep_only(&self, there: &[ArtifactId]) {
        let owners = self.owners.lock();
        let mut owners = owners.unwrap_or_else(PoisonError::into_inner);
        owners.retain(|checkpoint, _| there.binary_search(checkpoint).is_ok());
    }

    fn forget(&self, checkpoint: &ArtifactId) {
        let owners = self.owners.lock();
        let mut owners = owners.unwrap_or_else(PoisonError::into_inner);
        owners.remove(checkpoint);
    }
}

fn owner_in(state: &[u8]) -> Option<JobId> {
    let owned: Owned = serde_json::from_slice(state).ok()?;
    job_id("job", &owned.job).ok()
}
