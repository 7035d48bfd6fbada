//! Jobs, their progress and their ends.

use std::collections::{BTreeMap, HashMap};

use domain::{
    Cause, CauseKind, EndOfAttempt, EpochReport, Invalid, Job, Outage, Part,
    Progress, Spent, StageReport, State, shortened,
};

use crate::convert::enums::no_value;
use crate::convert::name::{job_name, timestamp, version_name};
use crate::pb;

impl From<&Job> for pb::Job {
    fn from(job: &Job) -> Self {
        let worker = job.lease.as_ref().map(|lease| lease.worker.clone());
        let mut metrics = HashMap::with_capacity(job.metrics.len());
        for (name, value) in &job.metrics {
            metrics.insert(name.clone(), *value);
        }

        Self {
            name: job_name(&job.id),
            spec: Some((&job.spec).into()),
            state: pb::job::State::from(job.state).into(),
            create_time: Some(timestamp(job.created_ms)),
            update_time: Some(timestamp(job.updated_ms)),
            progress: Some((&job.progress).into()),
            attempts: job.attempts,
            worker: worker.unwrap_or_default(),
            cause: job.cause.as_ref().map(Into::into),
            metrics,
            model_version: job
                .version
                .as_ref()
                .map(version_name)
                .unwrap_or_default(),
            n_events: job.n_events,
            notes: Vec::new(),
            outage: job.outage.as_ref().map(Into::into),
            schedule: (!job.schedule.is_default())
                .then(|| (&job.schedule).into()),
            awaits: job.waits.jobs.iter().map(job_name).collect(),
            no_taker: String::new(),
        }
    }
}

impl From<&Outage> for pb::Outage {
    fn from(outage: &Outage) -> Self {
        Self {
            since: Some(timestamp(outage.since_ms)),
            next_try: Some(timestamp(outage.next_ms)),
            until: Some(timestamp(outage.until_ms)),
            n_attempts: outage.n_attempts,
        }
    }
}

impl pb::job::State {
    /// True for a state that a job leaves only when it is retried.
    pub fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
            Self::Unspecified
            | Self::Queued
            | Self::Running
            | Self::Cancelling => false,
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

/// Reads the state that a list is filtered by; `None` where all are wanted.
pub fn state(field: &str, number: i32) -> Result<Option<State>, Invalid> {
    use pb::job::State as Wire;
    let Ok(state) = Wire::try_from(number) else {
        return Err(no_value(field, number, Wire::as_str_name));
    };
    Ok(match state {
        Wire::Unspecified => None,
        Wire::Queued => Some(State::Queued),
        Wire::Running => Some(State::Running),
        Wire::Cancelling => Some(State::Cancelling),
        Wire::Succeeded => Some(State::Succeeded),
        Wire::Failed => Some(State::Failed),
        Wire::Cancelled => Some(State::Cancelled),
    })
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
            CauseKind::Unavailable => Kind::Unavailable,
            CauseKind::WorkerCrashed => Kind::WorkerCrashed,
            CauseKind::DeadlinePassed => Kind::DeadlinePassed,
            CauseKind::DependencyFailed => Kind::DependencyFailed,
        };

        Self {
            kind: kind.into(),
            message: cause.message.clone(),
        }
    }
}

impl From<pb::Cause> for Cause {
    /// A kind that only a newer worker knows counts as internal: the attempt is
    /// over either way.
    fn from(cause: pb::Cause) -> Self {
        use pb::cause::Kind;
        let kind = match cause.kind() {
            Kind::WorkerLost => CauseKind::WorkerLost,
            Kind::BadData => CauseKind::BadData,
            Kind::BadBackbone => CauseKind::BadBackbone,
            Kind::Diverged => CauseKind::Diverged,
            Kind::OutOfMemory => CauseKind::OutOfMemory,
            Kind::Unspecified | Kind::Internal => CauseKind::Internal,
            Kind::Unavailable => CauseKind::Unavailable,
            Kind::WorkerCrashed => CauseKind::WorkerCrashed,
            Kind::DeadlinePassed => CauseKind::DeadlinePassed,
            Kind::DependencyFailed => CauseKind::DependencyFailed,
        };

        Self {
            kind,
            message: shortened(cause.message, LONGEST_MESSAGE),
        }
    }
}

/// Bytes of a worker's message that are kept with the job, about.
const LONGEST_MESSAGE: usize = 4_000;
/// Bytes of a name that a worker tells, about.
const LONGEST_NAME: usize = 256;

fn small(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl From<&Progress> for pb::Progress {
    fn from(progress: &Progress) -> Self {
        let mut parts = HashMap::new();
        for (part, spent) in &progress.parts {
            parts.insert(part.name().to_owned(), spent.into());
        }

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
            stages: progress.stages.iter().map(Into::into).collect(),
            epochs: progress.epochs.iter().map(Into::into).collect(),
            parts,
            tokens_at_once: small(progress.tokens_at_once),
        }
    }
}

impl From<&StageReport> for pb::StageReport {
    fn from(stage: &StageReport) -> Self {
        Self {
            stage: stage.stage.clone(),
            first_loss: stage.first_loss,
            last_loss: stage.last_loss,
            n_epochs: small(stage.n_epochs),
        }
    }
}

impl From<&EpochReport> for pb::EpochReport {
    fn from(epoch: &EpochReport) -> Self {
        Self {
            stage: epoch.stage.clone(),
            epoch: small(epoch.epoch),
            loss: epoch.loss,
            valid_ndcg_100: epoch.valid_ndcg_100,
        }
    }
}

impl From<&Spent> for pb::Spent {
    fn from(spent: &Spent) -> Self {
        Self {
            seconds: spent.seconds,
            n_tokens: spent.n_tokens,
        }
    }
}

/// Replaces a number that JSON has no word for by 0, rather than losing the
/// job's record: progress is for people.
fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { 0.0 }
}

impl From<pb::Progress> for Progress {
    /// A part that only a newer worker knows is left out.
    fn from(progress: pb::Progress) -> Self {
        let mut parts = BTreeMap::new();
        for (name, spent) in progress.parts {
            if let Some(part) = Part::named(&name) {
                parts.insert(part, spent.into());
            }
        }

        Self {
            stage: shortened(progress.stage, LONGEST_NAME),
            epoch: progress.epoch as usize,
            n_epochs: progress.n_epochs as usize,
            step: progress.step as usize,
            n_steps: progress.n_steps as usize,
            loss: finite(progress.loss),
            tokens_per_second: finite(progress.tokens_per_second),
            done: finite(progress.done),
            eta_seconds: finite(progress.eta_seconds),
            device: shortened(progress.device, LONGEST_NAME),
            stages: progress.stages.into_iter().map(Into::into).collect(),
            epochs: progress.epochs.into_iter().map(Into::into).collect(),
            parts,
            tokens_at_once: progress.tokens_at_once as usize,
        }
    }
}

impl From<pb::StageReport> for StageReport {
    fn from(stage: pb::StageReport) -> Self {
        Self {
            stage: shortened(stage.stage, LONGEST_NAME),
            first_loss: finite(stage.first_loss),
            last_loss: finite(stage.last_loss),
            n_epochs: stage.n_epochs as usize,
        }
    }
}

impl From<pb::EpochReport> for EpochReport {
    fn from(epoch: pb::EpochReport) -> Self {
        Self {
            stage: shortened(epoch.stage, LONGEST_NAME),
            epoch: epoch.epoch as usize,
            loss: finite(epoch.loss),
            valid_ndcg_100: epoch.valid_ndcg_100.map(finite),
        }
    }
}

impl From<pb::Spent> for Spent {
    fn from(spent: pb::Spent) -> Self {
        Self {
            seconds: finite(spent.seconds),
            n_tokens: finite(spent.n_tokens),
        }
    }
}

impl TryFrom<pb::EndAttemptRequest> for EndOfAttempt {
    type Error = Invalid;

    fn try_from(request: pb::EndAttemptRequest) -> Result<Self, Invalid> {
        use pb::end_attempt_request::Reason;
        match request.reason {
            Some(Reason::Failed(cause)) => Ok(Self::Failed(cause.into())),
            Some(Reason::Cancelled(_)) => Ok(Self::Cancelled),
            Some(Reason::Released(_)) => Ok(Self::Released),
            None => {
                let reason = "must be one of failed, cancelled, released";
                Err(Invalid::one("reason", reason))
            }
        }
    }
}

impl From<EndOfAttempt> for pb::end_attempt_request::Reason {
    fn from(end: EndOfAttempt) -> Self {
        match end {
            EndOfAttempt::Failed(cause) => Self::Failed((&cause).into()),
            EndOfAttempt::Cancelled => {
                Self::Cancelled(pb::end_attempt_request::Cancelled {})
            }
            EndOfAttempt::Released => {
                Self::Released(pb::end_attempt_request::Released {})
            }
        }
    }
}
