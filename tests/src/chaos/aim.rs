//! Waits for the moment that a fault is aimed at, by what a worker leaves on
//! disks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proto::pb;
use proto::pb::job::State;

use crate::chaos::chance::Chance;
use crate::chaos::kind::Phase;
use crate::chaos::site::Site;
use crate::damage::entries;

/// Where to look for what a job does.
#[derive(Debug, Clone)]
pub(super) struct Aim {
    artifacts: PathBuf,
    scratch: PathBuf,
    n_backbones: usize,
    n_models: usize,
}

/// Longer than a job takes.
const JOB_TIME: Duration = Duration::from_secs(60);
/// A job of a site takes at least so long.
const SHORTEST_JOB_MS: usize = 1_500;
/// By then a job has not stored its last checkpoint.
const FIRST_MS: usize = 600;
/// Shorter than an upload takes.
const BETWEEN_LOOKS: Duration = Duration::from_micros(100);

impl Aim {
    /// Remembers what is stored before a job is submitted.
    pub(super) fn before(site: &Site) -> Self {
        let artifacts = site.cluster.artifacts();
        Self {
            n_backbones: entries(&artifacts.join("backbones")).len(),
            n_models: entries(&artifacts.join("models")).len(),
            artifacts,
            scratch: site.scratch(),
        }
    }

    /// Waits until the job is in a phase; false when it was over before anybody
    /// saw it.
    pub(super) async fn reach(
        &self,
        phase: Phase,
        at: (&Site, &str),
        chance: &mut Chance,
    ) -> bool {
        let (site, job) = at;
        match phase {
            Phase::AnyMoment => {
                tokio::time::sleep(chance.up_to_ms(SHORTEST_JOB_MS)).await;
                return true;
            }
            Phase::Step => {
                let job = site.cluster.job_when(job, JOB_TIME, has_begun);
                return job.await.state() == State::Running;
            }
            Phase::AfterCommit => {
                site.cluster.ended(job).await;
                return true;
            }
            Phase::CheckpointWrite | Phase::CheckpointUpload => {
                // Not always the first.
                tokio::time::sleep(chance.up_to_ms(FIRST_MS)).await;
            }
            Phase::BackboneUpload
            | Phase::ModelUpload
            | Phase::BeforeCommit => {}
        }
        let aim = self.clone();
        let look = tokio::task::spawn_blocking(move || aim.watch(phase));
        look.await.unwrap()
    }

    fn watch(&self, phase: Phase) -> bool {
        let until = Instant::now() + JOB_TIME;
        while Instant::now() < until {
            if self.is_in(phase) {
                return true;
            }
            if self.is_stored() {
                return false;
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        false
    }

    fn is_in(&self, phase: Phase) -> bool {
        match phase {
            Phase::CheckpointWrite => self.has_written("checkpoint-"),
            Phase::CheckpointUpload => {
                self.is_uploading() && !self.has_written("model")
            }
            Phase::BackboneUpload => {
                self.is_uploading()
                    && self.has_written("model")
                    && self.count("backbones") == self.n_backbones
            }
            Phase::ModelUpload => {
                self.is_uploading()
                    && self.count("backbones") > self.n_backbones
            }
            Phase::BeforeCommit => self.is_stored(),
            Phase::AnyMoment | Phase::Step | Phase::AfterCommit => true,
        }
    }

    /// True while somebody uploads, or after a worker was stopped while it did.
    pub(super) fn is_uploading(&self) -> bool {
        self.count("staging") > 0
    }

    fn is_stored(&self) -> bool {
        self.count("models") > self.n_models
    }

    fn count(&self, kind: &str) -> usize {
        names(&self.artifacts.join(kind)).len()
    }

    /// True when a worker has a folder that begins so on its disk.
    fn has_written(&self, begin: &str) -> bool {
        for worker in names(&self.scratch) {
            for attempt in names(&worker) {
                for folder in names(&attempt) {
                    let name = folder.file_name().unwrap_or_default();
                    if name.to_string_lossy().starts_with(begin) {
                        return true;
                    }
                }
            }
        }
        false
    }
}

fn has_begun(job: &pb::Job) -> bool {
    let progress = job.progress.as_ref();
    let is_training = progress.is_some_and(|now| now.step > 0);
    is_training || job.state() == State::Succeeded
}

/// What is in a folder; things come and go there.
fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        names.push(entry.path());
    }
    names
}
