//! How often and for how long a job is tried again. What ended an attempt says
//! which budget it is taken from, and none takes from another:
//!
//! - what time mends (a store, a disk or a hub out of reach) has time;
//! - what the attempt itself met has attempts, [`max_attempts`] of them;
//! - a lost worker is the machine's fault, unless the job loses one worker
//!   after the other in the same place and gets no further;
//! - giving the job back in good order costs nothing.
//!
//! [`max_attempts`]: crate::train_spec::TrainSpec::max_attempts

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::ArtifactId;
use crate::job::progress::Progress;
use crate::job::state::{Cause, CauseKind};
use crate::job::{Job, Lease};

/// First pause after a failed attempt; doubles with each further one.
pub(super) const FIRST_PAUSE_MS: i64 = 1_000;
/// Longest pause after a failed attempt.
const LONGEST_PAUSE_MS: i64 = 120_000;
/// At most so much of an outage passes between two attempts beside the pause:
/// a clock that jumps does not use up the budget.
const LONGEST_ATTEMPT_MS: i64 = 300_000;
/// Workers that a job may lose in one stage without getting further.
const MAX_LOST_IN_PLACE: u32 = 2;

/// What a failed attempt is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Budget {
    /// The time that the job may wait for what is out of reach.
    Time,
    /// The number of attempts.
    Attempts,
    /// None: a repeat would end the same way.
    Nothing,
}

impl CauseKind {
    fn budget(self) -> Budget {
        match self {
            Self::Unavailable => Budget::Time,
            Self::WorkerLost | Self::OutOfMemory | Self::Internal => {
                Budget::Attempts
            }
            Self::BadData
            | Self::BadBackbone
            | Self::Diverged
            | Self::DeadlinePassed
            | Self::DependencyFailed
            | Self::WorkerCrashed => Budget::Nothing,
        }
    }
}

/// Something that the job needs has been out of reach, and nothing has come
/// through since. All times are milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// When the first attempt met it.
    pub since_ms: i64,
    /// When the latest attempt met it.
    pub latest_ms: i64,
    /// When the next attempt may begin.
    pub next_ms: i64,
    /// When the job is given up, if nothing changes.
    pub until_ms: i64,
    /// How much of the budget is used, in milliseconds.
    pub spent_ms: i64,
    /// How many attempts met it.
    pub n_attempts: u32,
}

/// Where a job lost its workers without getting further in between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// The stage in which the latest one was lost.
    pub stage: String,
    /// Workers lost in this stage, one after the other.
    pub in_stage: u32,
    /// Workers lost in any stage.
    pub in_all: u32,
    /// How far any of them was, 0 to 1.
    pub done: f64,
    /// The checkpoint that the job had then.
    pub checkpoint: Option<ArtifactId>,
}

impl Losses {
    /// Notes that one more worker was lost.
    fn after(
        before: Option<&Self>,
        progress: &Progress,
        checkpoint: Option<&ArtifactId>,
    ) -> Self {
        let mut losses = Self {
            stage: progress.stage.clone(),
            in_stage: 1,
            in_all: 1,
            done: progress.done,
            checkpoint: checkpoint.cloned(),
        };
        let Some(before) = before else { return losses };
        let got_further = progress.done > before.done
            || checkpoint != before.checkpoint.as_ref();
        if got_further {
            return losses;
        }

        losses.done = before.done;
        losses.in_all += before.in_all;
        if losses.stage == before.stage {
            losses.in_stage += before.in_stage;
        }

        losses
    }
}

impl Losses {
    /// One more lease ended that no worker ever renewed: perhaps none got the
    /// answer. It counts, but in no stage.
    fn and_one_unconfirmed(&self) -> Self {
        Self {
            in_all: self.in_all + 1,
            ..self.clone()
        }
    }
}

/// A failed attempt, as the budgets see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    pub(super) now_ms: i64,
    /// How long a job waits for what is out of reach.
    pub(super) patience: Duration,
}

impl Job {
    /// Takes a failed attempt from its budget: the pause before the next one in
    /// milliseconds, or `None` where there is no next one.
    pub(super) fn pause_after(
        &mut self,
        cause: &mut Cause,
        failed: Failed,
    ) -> Option<i64> {
        match cause.kind.budget() {
            Budget::Nothing => None,
            Budget::Time => self.pause_of_outage(cause, failed),
            Budget::Attempts => {
                self.failures += 1;
                let again = self.failures < self.spec.max_attempts;
                again.then(|| doubled(self.failures - 1))
            }
        }
    }

    fn pause_of_outage(
        &mut self,
        cause: &mut Cause,
        failed: Failed,
    ) -> Option<i64> {
        let Failed { now_ms, patience } = failed;
        let budget_ms = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        let mut outage = match self.outage.take() {
            Some(outage) => outage.goes_on(now_ms),
            None => Outage::begins(now_ms),
        };
        let left_ms = budget_ms.saturating_sub(outage.spent_ms);
        outage.until_ms = now_ms.saturating_add(left_ms);
        let pause = doubled(outage.n_attempts - 1).min(left_ms);
        outage.next_ms = now_ms.saturating_add(pause);
        let is_over = left_ms <= 0;
        if is_over {
            let seconds = outage.spent_ms / 1_000;
            let told = format!(
                "; it was waited for {seconds} s; once it is back, \
                 `cllm4rec train retry` goes on from the last checkpoint"
            );
            cause.message.push_str(&told);
        }

        self.outage = Some(outage);
        (!is_over).then_some(pause)
    }

    /// Notes that the worker of a lease was lost; the cause says so, or that
    /// the job is what ends its workers.
    pub(super) fn loses(&mut self, lease: &Lease) -> (Cause, Option<i64>) {
        let worker = &lease.worker;
        let is_confirmed = lease.n_beats > 0;
        let checkpoint = self.checkpoint.as_ref();
        let losses = match &self.losses {
            Some(before) if !is_confirmed => before.and_one_unconfirmed(),
            before => {
                Losses::after(before.as_ref(), &self.progress, checkpoint)
            }
        };
        let is_crashed = losses.in_stage >= MAX_LOST_IN_PLACE
            || losses.in_all > MAX_LOST_IN_PLACE;
        let pause = Some(doubled(losses.in_all - 1));
        let n_lost = losses.in_all;
        self.losses = Some(losses);
        if !is_crashed {
            let message = format!(
                "worker {worker} stopped sending heartbeats; see its log"
            );
            let kind = CauseKind::WorkerLost;
            return (Cause { kind, message }, pause);
        }

        let stage = match self.progress.stage.as_str() {
            "" => "before its first stage",
            stage => stage,
        };
        let message = format!(
            "{n_lost} workers stopped sending heartbeats without getting further ({stage}), \
             the last one was {worker}; see their logs and how much memory they had; \
             `cllm4rec train retry` goes on from the last checkpoint"
        );
        let kind = CauseKind::WorkerCrashed;
        (Cause { kind, message }, None)
    }

    /// Fills all budgets again.
    pub(super) fn begin_anew(&mut self) {
        self.failures = 0;
        self.outage = None;
        self.losses = None;
        self.cause = None;
    }
}

impl Outage {
    fn begins(now_ms: i64) -> Self {
        Self {
            since_ms: now_ms,
            latest_ms: now_ms,
            next_ms: now_ms,
            until_ms: now_ms,
            spent_ms: 0,
            n_attempts: 1,
        }
    }

    /// One more attempt met it.
    fn goes_on(self, now_ms: i64) -> Self {
        let pause = self.next_ms - self.latest_ms;
        let longest = pause.saturating_add(LONGEST_ATTEMPT_MS);
        let passed = now_ms.saturating_sub(self.latest_ms);
        Self {
            latest_ms: now_ms,
            spent_ms: self.spent_ms + passed.clamp(0, longest),
            n_attempts: self.n_attempts.saturating_add(1),
            ..self
        }
    }
}

/// The first pause, doubled so often.
fn doubled(n_times: u32) -> i64 {
    (FIRST_PAUSE_MS << n_times.min(20)).min(LONGEST_PAUSE_MS)
}
