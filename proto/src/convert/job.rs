//! Jobs, their progress and their ends.

use std::collections::HashMap;

use domain::{
    Cause, CauseKind, EpochReport, Invalid, Job, Part, Progress, Spent, StageReport, State,
};

use crate::convert::{job_name, timestamp, version_name};
use crate::pb;

impl From<&Job> for pb::Job {
    fn from(job: &Job) -> Self {
        Self {
            name: job_name(&job.id),
            spec: Some((&job.spec).into()),
            state: pb::job::State::from(job.state).into(),
            create_time: Some(timestamp(job.created_ms)),
            update_time: Some(timestamp(job.updated_ms)),
            progress: Some((&job.progress).into()),
            attempts: job.attempts,
            worker: job
                .lease
                .as_ref()
                .map(|lease| lease.worker.clone())
                .unwrap_or_default(),
            cause: job.cause.as_ref().map(Into::into),
            metrics: job
                .metrics
                .iter()
                .map(|(name, value)| (name.clone(), *value))
                .collect::<HashMap<_, _>>(),
            model_version: job.version.as_ref().map(version_name).unwrap_or_default(),
            n_events: job.n_events,
            notes: Vec::new(),
        }
    }
}

impl From<State> for pb::job::State {
    fn from(state: State) -> Self {
        match state {
            State::Queued => Self::Queued,
            State::Running => Self::Running,
            State::Cancelling => Self::Cancelling,
            State::Succeeded => Self::Succeeded,
            State::Failed => Self::Failed,
            State::Cancelled => Self::Cancelled,
        }
    }
}

impl From<&Cause> for pb::Cause {
    fn from(cause: &Cause) -> Self {
        use pb::cause::Kind;
        let kind = match cause.kind {
            CauseKind::WorkerLost => Kind::WorkerLost,
            CauseKind::BadData => Kind::BadData,
            CauseKind::BadBackbone => Kind::BadBackbone,
            CauseKind::Diverged => Kind::Diverged,
            CauseKind::OutOfMemory => Kind::OutOfMemory,
            CauseKind::Internal => Kind::Internal,
        };
        Self {
            kind: kind.into(),
            message: cause.message.clone(),
        }
    }
}

impl From<pb::Cause> for Cause {
    fn from(cause: pb::Cause) -> Self {
        use pb::cause::Kind;
        let kind = match cause.kind() {
            Kind::WorkerLost => CauseKind::WorkerLost,
            Kind::BadData => CauseKind::BadData,
            Kind::BadBackbone => CauseKind::BadBackbone,
            Kind::Diverged => CauseKind::Diverged,
            Kind::OutOfMemory => CauseKind::OutOfMemory,
            Kind::Unspecified | Kind::Internal => CauseKind::Internal,
        };
        Self {
            kind,
            message: cause.message,
        }
    }
}

fn small(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl From<&Progress> for pb::Progress {
    fn from(progress: &Progress) -> Self {
        Self {
            stage: progress.stage.clone(),
            epoch: small(progress.epoch),
            n_epochs: small(progress.n_epochs),
            step: small(progress.step),
            n_steps: small(progress.n_steps),
            loss: progress.loss,
            tokens_per_second: progress.tokens_per_second,
            done: progress.done,
            eta_seconds: progress.eta_seconds,
            device: progress.device.clone(),
            stages: progress
                .stages
                .iter()
                .map(|stage| pb::StageReport {
                    stage: stage.stage.clone(),
                    first_loss: stage.first_loss,
                    last_loss: stage.last_loss,
                    n_epochs: small(stage.n_epochs),
                })
                .collect(),
            epochs: progress
                .epochs
                .iter()
                .map(|epoch| pb::EpochReport {
                    stage: epoch.stage.clone(),
                    epoch: small(epoch.epoch),
                    loss: epoch.loss,
                    valid_ndcg_100: epoch.valid_ndcg_100,
                })
                .collect(),
            parts: progress
                .parts
                .iter()
                .map(|(part, spent)| {
                    (
                        part.name().to_owned(),
                        pb::Spent {
                            seconds: spent.seconds,
                            n_tokens: spent.n_tokens,
                        },
                    )
                })
                .collect(),
            tokens_at_once: small(progress.tokens_at_once),
        }
    }
}

/// Progress is for people: a number that JSON has no word for is shown as 0 rather than losing the
/// job's record.
fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { 0.0 }
}

impl From<pb::Progress> for Progress {
    fn from(progress: pb::Progress) -> Self {
        Self {
            stage: progress.stage,
            epoch: progress.epoch as usize,
            n_epochs: progress.n_epochs as usize,
            step: progress.step as usize,
            n_steps: progress.n_steps as usize,
            loss: finite(progress.loss),
            tokens_per_second: finite(progress.tokens_per_second),
            done: finite(progress.done),
            eta_seconds: finite(progress.eta_seconds),
            device: progress.device,
            stages: progress
                .stages
                .into_iter()
                .map(|stage| StageReport {
                    stage: stage.stage,
                    first_loss: finite(stage.first_loss),
                    last_loss: finite(stage.last_loss),
                    n_epochs: stage.n_epochs as usize,
                })
                .collect(),
            epochs: progress
                .epochs
                .into_iter()
                .map(|epoch| EpochReport {
                    stage: epoch.stage,
                    epoch: epoch.epoch as usize,
                    loss: finite(epoch.loss),
                    valid_ndcg_100: epoch.valid_ndcg_100.map(finite),
                })
                .collect(),
            parts: progress
                .parts
                .into_iter()
                .filter_map(|(part, spent)| {
                    let spent = Spent {
                        seconds: finite(spent.seconds),
                        n_tokens: finite(spent.n_tokens),
                    };
                    Some((Part::named(&part)?, spent))
                })
                .collect(),
            tokens_at_once: progress.tokens_at_once as usize,
        }
    }
}

/// Why a worker gives a job back without a model.
#[derive(Debug, Clone, PartialEq)]
pub enum EndOfAttempt {
    /// It failed.
    Failed(Cause),
    /// It was cancelled.
    Cancelled,
    /// The worker is shutting down.
    Released,
}

impl TryFrom<Option<pb::end_attempt_request::Reason>> for EndOfAttempt {
    type Error = Invalid;

    fn try_from(reason: Option<pb::end_attempt_request::Reason>) -> Result<Self, Invalid> {
        use pb::end_attempt_request::Reason;
        match reason {
            Some(Reason::Failed(cause)) => Ok(Self::Failed(cause.into())),
            Some(Reason::Cancelled(_)) => Ok(Self::Cancelled),
            Some(Reason::Released(_)) => Ok(Self::Released),
            None => Err(Invalid::one(
                "reason",
                "must be one of failed, cancelled, released",
            )),
        }
    }
}

impl From<EndOfAttempt> for pb::end_attempt_request::Reason {
    fn from(end: EndOfAttempt) -> Self {
        match end {
            EndOfAttempt::Failed(cause) => Self::Failed((&cause).into()),
            EndOfAttempt::Cancelled => Self::Cancelled(pb::end_attempt_request::Cancelled {}),
            EndOfAttempt::Released => Self::Released(pb::end_attempt_request::Released {}),
        }
    }
}
