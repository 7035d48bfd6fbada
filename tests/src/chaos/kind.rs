//! The kinds of faults, by the names that `--only` takes.

use std::fmt;

/// A fault that is inflicted on one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The worker gets SIGKILL.
    WorkerKilled(Phase),
    /// The worker gets SIGSTOP, another one takes the job, and the first goes
    /// on (SIGCONT) when that has ended.
    WorkerStopped(Phase),
    /// The only coordinator gets SIGKILL and is started again.
    CoordinatorKilled,
    /// The only coordinator gets SIGSTOP, and SIGCONT after seconds.
    CoordinatorStopped,
    /// SIGKILL for one of two coordinators.
    OneOfTwoKilled,
    /// SIGSTOP for one of two coordinators.
    OneOfTwoStopped,
    /// The Redis gets SIGKILL and is started again.
    StoreKilled,
    /// The Redis gets SIGSTOP, and SIGCONT after seconds.
    StoreFrozen,
    /// The Redis is out of memory for seconds.
    StoreFull,
    /// The Redis takes no writes for seconds: it follows one that is away.
    StoreReadOnly,
    /// The artifacts' file system is full for seconds.
    ArtifactsFull,
    /// The artifacts' file system is read-only for seconds.
    ArtifactsReadOnly,
    /// The scratch folder's file system is full for seconds.
    ScratchFull,
    /// All wall clocks are ten minutes fast or slow for seconds.
    ClocksJump,
    /// The wall clock of a second coordinator is ten minutes fast or slow.
    ClocksApart,
    /// SIGTERM for all services at once, and another start.
    Deploy,
    /// SIGKILL for everything at once, Redis as well, and another start.
    EverythingKilled,
    /// A file has other bytes than somebody wrote.
    Damaged(Target),
    /// `cllm4rec up`, all services over an embedded store, gets SIGKILL and is
    /// started again.
    UpKilled,
    /// The disk of `cllm4rec up` is full for seconds: store, artifacts and
    /// scratch.
    UpDiskFull,
}

/// What a worker is doing when the fault comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Whatever it does.
    AnyMoment,
    /// A training step.
    Step,
    /// A checkpoint is written on the worker's disk.
    CheckpointWrite,
    /// A checkpoint is uploaded.
    CheckpointUpload,
    /// The backbone is uploaded.
    BackboneUpload,
    /// The model is uploaded.
    ModelUpload,
    /// The model is stored, and not committed.
    BeforeCommit,
    /// The job has just ended.
    AfterCommit,
}

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The checkpoints that a job may go on from.
    Checkpoint,
    /// The encoded texts on the worker's disk.
    Words,
    /// A file of a published model.
    Model,
    /// A file of a published model's backbone.
    Backbone,
    /// The index of a published model or backbone.
    Index,
    /// The data set that a job learns from.
    Dataset,
}

const PHASES: [Phase; 8] = [
    Phase::AnyMoment,
    Phase::Step,
    Phase::CheckpointWrite,
    Phase::CheckpointUpload,
    Phase::BackboneUpload,
    Phase::ModelUpload,
    Phase::BeforeCommit,
    Phase::AfterCommit,
];

const TARGETS: [Target; 6] = [
    Target::Checkpoint,
    Target::Words,
    Target::Model,
    Target::Backbone,
    Target::Index,
    Target::Dataset,
];

impl Kind {
    /// All kinds.
    pub(super) fn all() -> Vec<Self> {
        let mut all = PHASES.map(Self::WorkerKilled).to_vec();
        all.extend(PHASES.map(Self::WorkerStopped));
        all.extend([
            Self::CoordinatorKilled,
            Self::CoordinatorStopped,
            Self::OneOfTwoKilled,
            Self::OneOfTwoStopped,
            Self::StoreKilled,
            Self::StoreFrozen,
            Self::StoreFull,
            Self::StoreReadOnly,
            Self::ArtifactsFull,
            Self::ArtifactsReadOnly,
            Self::ScratchFull,
            Self::ClocksJump,
            Self::ClocksApart,
            Self::Deploy,
            Self::EverythingKilled,
        ]);
        all.extend(TARGETS.map(Self::Damaged));
        all.extend([Self::UpKilled, Self::UpDiskFull]);
        all
    }

    /// True where the fault needs folders on file systems of their own.
    pub(super) fn needs_volumes(self) -> bool {
        matches!(
            self,
            Self::ArtifactsFull
                | Self::ArtifactsReadOnly
                | Self::ScratchFull
                | Self::UpDiskFull
        )
    }

    /// True where the fault needs clocks that can be put wrong.
    pub(super) fn needs_clocks(self) -> bool {
        matches!(self, Self::ClocksJump | Self::ClocksApart)
    }

    /// True where the fault is one of `cllm4rec up`, which has no Redis.
    pub(super) fn is_of_up(self) -> bool {
        matches!(self, Self::UpKilled | Self::UpDiskFull)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{self:?}").replace('(', "-").replace(')', "");
        f.pad(&kebab(&name))
    }
}

/// `OneOfTwo` as `one-of-two`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        let is_inside = !kebab.is_empty() && !kebab.ends_with('-');
        if letter.is_uppercase() && is_inside {
            kebab.push('-');
        }
        kebab.extend(letter.to_lowercase());
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_by_what_happens_and_when() {
        let kind = Kind::WorkerKilled(Phase::BeforeCommit);
        assert_eq!(kind.to_string(), "worker-killed-before-commit");
        assert_eq!(Kind::OneOfTwoStopped.to_string(), "one-of-two-stopped");
    }
}
